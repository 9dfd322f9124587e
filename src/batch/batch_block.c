/*
 * A block of users on its way through the scan.
 *
 * A block has no pointers in it, so the processes that fill it, scan it and take its lists may be
 * different ones (ring.c). Memory: a scanner has one bitset of items for each user of a block, and
 * what the scan itself needs.
 */
#include "batch/batch_block.h"

#include "core/bitset.h"
#include "core/layout.h"
#include "core/scan/scan.h"
#include "pg/host_pg.h"
#include "serve/list_score.h"

#define MAX_USERS 256
#define BLOCK_SIZE (8 * 1024 * 1024) /* bytes; more if one user needs more */

struct FmBlockScanner
{
	FmBlockShape shape;
	const FmScanMatrix *matrix;
	FmSeenStream *seen;
	const FmHost *host;
	Size set_words;
	uint64 *sets;
	const uint64 **excluded;
};

FmBlockShape
fm_block_shape(const FmLoaded *loaded, const FmListRules *rules)
{
	FmBlockShape shape = {.length = Min(rules->x, loaded->version.num_items),
						  .query_length = fm_query_length(loaded),
						  .num_items = loaded->version.num_items,
						  .novelty = rules->novelty};
	Size per_user = shape.query_length * sizeof(float) +
					fm_bitset_words(shape.num_items) * sizeof(uint64) +
					(Size) shape.length * (sizeof(FmHit) + sizeof(int32));

	shape.max_users = Max(1, Min(MAX_USERS, BLOCK_SIZE / per_user));
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
	return layout.bytes;
}

Size
fm_block_size(const FmBlockShape *shape)
{
	FmBlock block;

	return lay_out(shape, NULL, &block);
}

FmBlock
fm_block_at(const FmBlockShape *shape, char *memory)
{
	FmBlock block;

	(void) lay_out(shape, memory, &block);
	return block;
}

FmBlockScanner *
fm_scanner_create(const FmBlockShape *shape, const FmScanMatrix *matrix, FmSeenStream *seen,
				  MemoryContext context)
{
	FmBlockScanner *scanner = MemoryContextAllocZero(context, sizeof(FmBlockScanner));

	scanner->shape = *shape;
	scanner->matrix = matrix;
	scanner->seen = seen;
	scanner->host = fm_pg_host(context);
	if (seen == NULL)
		return scanner;
	scanner->set_words = fm_bitset_words(shape->num_items);
	scanner->sets = MemoryContextAllocHuge(context,
										   shape->max_users * scanner->set_words * sizeof(uint64));
	scanner->excluded = MemoryContextAlloc(context, shape->max_users * sizeof(uint64 *));
	for (int32 i = 0; i < shape->max_users; i++)
		scanner->excluded[i] = scanner->sets + i * scanner->set_words;
	return scanner;
}

/* Fill the sets with what the users have seen. Their idx ascend. */
static void
fill_sets(FmBlockScanner *scanner, const int32 *idx, int32 count)
{
	memset(scanner->sets, 0, count * scanner->set_words * sizeof(uint64));
	if (idx[count - 1] - idx[0] == count - 1)
		fm_seen_add_users(scanner->seen, idx[0], count, scanner->sets, scanner->set_words);
	else
		for (int32 i = 0; i < count; i++)
			fm_seen_add_next(scanner->seen, idx[i], scanner->sets + i * scanner->set_words);
}

void
fm_scanner_run(FmBlockScanner *scanner, const FmBlock *block)
{
	int32 count = *block->count;

	if (scanner->seen != NULL && count > 0)
		fill_sets(scanner, block->idx, count);
	fm_scan_batch_top_x(scanner->matrix, block->queries, count, scanner->shape.length,
						scanner->excluded, block->seeds, scanner->host, block->hits, block->counts);
}
