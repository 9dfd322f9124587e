/*
 * A block of users on its way through the scan.
 *
 * A block has no pointers in it, so the processes that fill it, scan it and take its lists may be
 * different ones (ring.c). Users whose ratings the model was not trained on are folded in by the
 * process that scans. Where only some items may be in lists, these are scanned as a matrix of their
 * own, and the block's seeds are items of that one. Memory: a scanner has one bitset of items for
 * each user of a block, with a part of the items two, and what the scan itself needs.
 */
#include "batch/batch_block.h"

#include "core/bitset.h"
#include "core/layout.h"
#include "core/scan/scan.h"
#include "pg/host_pg.h"
#include "serve/list_score.h"
#include "utils/memutils.h"

#define MAX_USERS 256
#define BLOCK_SIZE (8 * 1024 * 1024) /* bytes; more if one user needs more */
#define RATINGS_PER_USER 64			 /* for which a block has room, on average */

struct FmBlockScanner
{
	FmBlockShape shape;
	FmScanSource source;
	const FmScanMatrix *matrix;
	const FmHost *host;
	Size set_words; /* of a set of all items */
	uint64 *sets;
	Size part_words; /* of a set of the part's items */
	uint64 *part_sets;
	const uint64 **excluded; /* NULL: nothing is */
	FmFoldCache *cache;
	MemoryContext per_user;
};

FmBlockShape
fm_block_shape(const FmLoaded *loaded, const FmListRules *rules, int32 num_items, bool folds)
{
	FmBlockShape shape = {.length = Min(rules->x, num_items),
						  .query_length = fm_query_length(loaded),
						  .num_items = loaded->version.num_items,
						  .num_factors = loaded->version.num_factors,
						  .interest_factors = loaded->version.interest_factors,
						  .novelty = rules->novelty,
						  .exclude_seen = rules->exclude_seen};
	Size per_user = shape.query_length * sizeof(float) +
					fm_bitset_words(shape.num_items) * sizeof(uint64) +
					(Size) shape.length * (sizeof(FmHit) + sizeof(int32));

	shape.max_users = Max(1, Min(MAX_USERS, BLOCK_SIZE / per_user));
	if (folds) /* the set of one user fits, too */
		shape.room = Max(RATINGS_PER_USER * shape.max_users * sizeof(FmOwnRating),
						 fm_bitset_words(shape.num_items) * sizeof(uint64));
	return shape;
}

/* Add an array to the layout; return where it begins, or NULL if there is no memory yet. */
static void *
place(FmLayout *layout, char *memory, Size count, Size size)
{
	Size offset = fm_layout_add(layout, count, size);

	return memory != NULL ? memory + offset : NULL;
}

/* Place the arrays of a block; return its size. */
static Size
lay_out(const FmBlockShape *shape, char *memory, FmBlock *block)
{
	Size users = shape->max_users;
	FmLayout layout = {0};

	block->count = place(&layout, memory, 1, sizeof(int32));
	block->idx = place(&layout, memory, users, sizeof(int32));
	block->queries = place(&layout, memory, users * shape->query_length, sizeof(float));
	block->seeds = place(&layout, memory, users * shape->length, sizeof(int32));
	block->hits = place(&layout, memory, users * shape->length, sizeof(FmHit));
	block->counts = place(&layout, memory, users, sizeof(int32));
	if (shape->room == 0)
		return layout.bytes;
	block->uses = place(&layout, memory, users, sizeof(int32));
	block->start = place(&layout, memory, users + 1, sizeof(int32));
	block->ratings = place(&layout, memory, shape->room, 1);
	block->bases = place(&layout, memory, users, 2 * sizeof(double));
	block->v = place(&layout, memory, users * shape->num_factors, sizeof(float));
	block->interest_v = place(&layout, memory, users * shape->interest_factors, sizeof(float));
	return layout.bytes;
}

Size
fm_block_size(const FmBlockShape *shape)
{
	FmBlock block = {0};

	return lay_out(shape, NULL, &block);
}

FmBlock
fm_block_at(const FmBlockShape *shape, char *memory)
{
	FmBlock block = {0};

	(void) lay_out(shape, memory, &block);
	return block;
}

FmUserVector
fm_block_vector(const FmBlockShape *shape, const FmBlock *block, int32 user)
{
	FmUserVector vector = {block->v + (Size) user * shape->num_factors, block->bases[2 * user]};

	if (shape->interest_factors > 0)
	{
		vector.interest_v = block->interest_v + (Size) user * shape->interest_factors;
		vector.interest_base = block->bases[2 * user + 1];
	}
	return vector;
}

static void
create_sets(FmBlockScanner *scanner, MemoryContext context)
{
	const FmScanPart *part = scanner->source.part;
	Size users = scanner->shape.max_users;

	scanner->set_words = fm_bitset_words(scanner->shape.num_items);
	scanner->sets = MemoryContextAllocHuge(context, users * scanner->set_words * sizeof(uint64));
	if (part != NULL)
	{
		scanner->part_words = fm_bitset_words(fm_scan_matrix_items(scanner->matrix));
		scanner->part_sets = MemoryContextAllocHuge(context,
													users * scanner->part_words * sizeof(uint64));
	}
	scanner->excluded = MemoryContextAlloc(context, users * sizeof(uint64 *));
	for (Size i = 0; i < users; i++)
		scanner->excluded[i] = part == NULL ? scanner->sets + i * scanner->set_words
											: scanner->part_sets + i * scanner->part_words;
}

FmBlockScanner *
fm_scanner_create(const FmBlockShape *shape, const FmScanSource *source, MemoryContext context)
{
	FmBlockScanner *scanner = MemoryContextAllocZero(context, sizeof(FmBlockScanner));

	scanner->shape = *shape;
	scanner->source = *source;
	scanner->matrix = source->part != NULL ? fm_scan_part_matrix(source->part)
										   : source->loaded->matrix;
	scanner->host = fm_pg_host(context);
	if (shape->exclude_seen)
		create_sets(scanner, context);
	if (shape->room == 0)
		return scanner;
	scanner->cache = fm_fold_cache_create(source->loaded, (Size) maintenance_work_mem * 1024,
										  context);
	scanner->per_user = AllocSetContextCreate(context, "fmtopx user being folded in",
											  ALLOCSET_DEFAULT_SIZES);
	return scanner;
}

/* Return the ratings of a user that count, in the current context. */
static FmOwnRating *
usable_ratings(const FmBlock *block, int32 user, int64 *count)
{
	int32 end = block->start[user + 1];
	FmOwnRating *usable = palloc((end - block->start[user] + 1) * sizeof(FmOwnRating));

	*count = 0;
	for (int32 r = block->start[user]; r < end; r++)
		if (block->ratings[r].weight != FM_ONLY_SEEN)
			usable[(*count)++] = block->ratings[r];
	return usable;
}

/* Fold a user in: replace the vector, which says what is expected, and make the query. */
static void
fold_user(const FmBlockScanner *scanner, const FmBlock *block, int32 user)
{
	const FmBlockShape *shape = &scanner->shape;
	const FmLoaded *loaded = scanner->source.loaded;
	FmUserVector kept = fm_block_vector(shape, block, user);
	MemoryContext previous = MemoryContextSwitchTo(scanner->per_user);
	int64 count;
	FmOwnRating *ratings = usable_ratings(block, user, &count);
	FmUserVector vector = fm_serve_fold(loaded, scanner->cache,
										block->uses[user] == FM_USE_EXPECTED ? &kept : NULL,
										ratings, count);

	fm_context_add(loaded, &scanner->source.context, &vector);
	if (vector.v != kept.v)
		memcpy(kept.v, vector.v, shape->num_factors * sizeof(float));
	block->bases[2 * user] = vector.base;
	block->bases[2 * user + 1] = vector.interest_base;
	fm_set_query(loaded, &vector, shape->novelty,
				 block->queries + (Size) user * shape->query_length);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(scanner->per_user);
}

static int32
use_of(const FmBlockScanner *scanner, const FmBlock *block, int32 user)
{
	return scanner->shape.room == 0 ? FM_USE_QUERY : block->uses[user];
}

/* Fill a set with what a user has seen. Users' idx ascend. */
static void
fill_set(const FmBlockScanner *scanner, const FmBlock *block, int32 user)
{
	uint64 *set = scanner->sets + user * scanner->set_words;

	switch (use_of(scanner, block, user))
	{
		case FM_USE_QUERY:
			fm_seen_add_next(scanner->source.seen, block->idx[user], set);
			break;
		case FM_USE_SET:
			memcpy(set, block->ratings, scanner->set_words * sizeof(uint64));
			break;
		default:
			for (int32 r = block->start[user]; r < block->start[user + 1]; r++)
				fm_bitset_add(set, block->ratings[r].item);
	}
}

/* Return whether the users have consecutive idx, and none is folded in. */
static bool
is_plain(const FmBlockScanner *scanner, const FmBlock *block)
{
	int32 last = *block->count - 1;

	if (block->idx[last] - block->idx[0] != last)
		return false;
	for (int32 i = 0; i <= last; i++)
		if (use_of(scanner, block, i) != FM_USE_QUERY)
			return false;
	return true;
}

/* Fill the sets of all users; with a part, also those of its items. */
static void
fill_sets(const FmBlockScanner *scanner, const FmBlock *block)
{
	int32 count = *block->count;
	const FmScanPart *part = scanner->source.part;
	const int32 *items = part == NULL ? NULL : fm_scan_part_items(part);
	int32 num_items = fm_scan_matrix_items(scanner->matrix);

	memset(scanner->sets, 0, count * scanner->set_words * sizeof(uint64));
	if (is_plain(scanner, block))
		fm_seen_add_users(scanner->source.seen, block->idx[0], count, scanner->sets,
						  scanner->set_words);
	else
		for (int32 i = 0; i < count; i++)
			fill_set(scanner, block, i);
	if (part == NULL)
		return;
	memset(scanner->part_sets, 0, count * scanner->part_words * sizeof(uint64));
	for (int32 i = 0; i < count; i++)
		for (int32 p = 0; p < num_items; p++)
			if (fm_bitset_has(scanner->sets + i * scanner->set_words, items[p]))
				fm_bitset_add(scanner->part_sets + i * scanner->part_words, p);
}

/* Turn the hits in a part into items of the model. */
static void
name_hits(const FmBlockScanner *scanner, const FmBlock *block)
{
	const int32 *items = fm_scan_part_items(scanner->source.part);

	for (int32 i = 0; i < *block->count; i++)
		for (int32 h = 0; h < block->counts[i]; h++)
		{
			FmHit *hit = &block->hits[(Size) i * scanner->shape.length + h];

			hit->item = items[hit->item];
		}
}

void
fm_scanner_run(FmBlockScanner *scanner, const FmBlock *block)
{
	int32 count = *block->count;

	for (int32 i = 0; i < count; i++)
		if (use_of(scanner, block, i) >= FM_USE_RATINGS)
			fold_user(scanner, block, i);
	if (scanner->shape.exclude_seen && count > 0)
		fill_sets(scanner, block);
	fm_scan_batch_top_x(scanner->matrix, block->queries, count, scanner->shape.length,
						scanner->excluded, block->seeds, scanner->host, block->hits, block->counts);
	if (scanner->source.part != NULL)
		name_hits(scanner, block);
}
