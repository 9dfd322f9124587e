/*
 * What every user has rated, read live from the ratings relation, and told user by user.
 *
 * The relation is read once, as it comes, and its pairs are dealt into buckets of 256 users, four bytes a
 * pair: no sort, no join. That takes an entry in memory for every user and every pair; when it would
 * exceed maintenance_work_mem, the buckets are dropped and the relation is read again, joined with the
 * users and sorted by the executor, which spills to disk as it sees fit. Memory: a context of the stream.
 */
#include "serve.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define ROWS_PER_FETCH 10000

/* A pair is (user's place in the bucket) << ITEM_BITS | item. */
#define ITEM_BITS 24
#define BUCKET_USERS (1 << (32 - ITEM_BITS))

#define CHUNK_PAIRS 508 /* makes a chunk 2 kB */

typedef struct PairChunk
{
	struct PairChunk *next;
	uint32 count;
	uint32 pairs[CHUNK_PAIRS];
} PairChunk;

/* All pairs, by bucket; and one bucket in the order of its users, once it is asked for. */
typedef struct Buckets
{
	const FmServing *serving;
	MemoryContext context;
	FmIdMap *users; /* index: idx */
	FmIdMap *items;
	PairChunk **chunks; /* by bucket */
	int32 num_buckets;
	bool too_large;

	int32 sorted; /* which bucket is in `seen`, or -1 */
	int64 start[BUCKET_USERS + 1];
	int32 *seen;
	int64 capacity;
} Buckets;

struct FmSeenStream
{
	const FmLoaded *loaded;
	MemoryContext context;
	Buckets *buckets; /* NULL: the cursor */
	Portal cursor;
	SPITupleTable *rows; /* the batch at hand */
	uint64 num_rows;
	uint64 next;
};

static bool
has_room(MemoryContext context)
{
	return MemoryContextMemAllocated(context, true) / 1024 < maintenance_work_mem;
}

/* FmRowCallback: a user, in the order of idx. */
static bool
add_user(void *state, TupleTableSlot *row)
{
	Buckets *buckets = state;
	int32 idx = fm_idmap_count(buckets->users);

	if (row->tts_isnull[0] || row->tts_isnull[1] || DatumGetInt32(row->tts_values[0]) != idx ||
		fm_idmap_intern(buckets->users, row->tts_values[1]) != idx)
		ereport(
			ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("version %d of model \"%s\" is damaged: the idx of its users do not run from 0",
					buckets->serving->model.version, buckets->serving->model.name),
			 errhint("Train the model again.")));
	buckets->too_large = idx % BUCKET_USERS == 0 && !has_room(buckets->context);
	return !buckets->too_large;
}

/* FmRowCallback: a rating; of users and items that the model does not know there is nothing to say. */
static bool
add_pair(void *state, TupleTableSlot *row)
{
	Buckets *buckets = state;
	PairChunk *chunk;
	int32 user;
	int32 item;

	if (row->tts_isnull[0] || row->tts_isnull[1])
		return true;
	user = fm_idmap_find(buckets->users, row->tts_values[0]);
	item = fm_idmap_find(buckets->items, row->tts_values[1]);
	if (user < 0 || item < 0)
		return true;
	chunk = buckets->chunks[user / BUCKET_USERS];
	if (chunk == NULL || chunk->count == CHUNK_PAIRS)
	{
		buckets->too_large = !has_room(buckets->context);
		if (buckets->too_large)
			return false;
		chunk = MemoryContextAlloc(buckets->context, sizeof(PairChunk));
		chunk->next = buckets->chunks[user / BUCKET_USERS];
		chunk->count = 0;
		buckets->chunks[user / BUCKET_USERS] = chunk;
	}
	chunk->pairs[chunk->count++] = (uint32) (user % BUCKET_USERS) << ITEM_BITS | item;
	return true;
}

static void
read_users(Buckets *buckets)
{
	const FmServing *serving = buckets->serving;
	const Oid columns[] = {INT4OID, serving->loaded->user_type.type};
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(serving->loaded->version)};

	fm_spi_scan(psprintf("SELECT idx, user_id FROM %s WHERE version = $1 ORDER BY idx",
						 fm_relation_sql(serving->model.user_table)),
				1, types, values, serving->read_only, columns, 2, add_user, buckets);
}

static void
read_items(Buckets *buckets)
{
	const FmLoaded *loaded = buckets->serving->loaded;

	for (int32 item = 0; item < loaded->num_items; item++)
		fm_idmap_intern(buckets->items, fm_loaded_item_id(loaded, item));
	fm_idmap_seal(buckets->items);
	buckets->too_large = !has_room(buckets->context);
}

static void
read_pairs(Buckets *buckets)
{
	const FmDefinition *definition = &buckets->serving->model.definition;
	const FmLoaded *loaded = buckets->serving->loaded;
	const Oid columns[] = {loaded->user_type.type, loaded->item_type.type};

	fm_spi_scan(psprintf("SELECT r.%s, r.%s FROM %s r", quote_identifier(definition->user_column),
						 quote_identifier(definition->item_column),
						 fm_relation_sql(definition->ratings)),
				0, NULL, NULL, buckets->serving->read_only, columns, 2, add_pair, buckets);
}

/* All pairs in memory; NULL when that is too large. */
static Buckets *
fill_buckets(const FmServing *serving, MemoryContext context)
{
	const FmLoaded *loaded = serving->loaded;
	Buckets *buckets;

	if (loaded->num_items > 1 << ITEM_BITS)
		return NULL;
	buckets = MemoryContextAllocZero(context, sizeof(Buckets));
	buckets->serving = serving;
	buckets->context = context;
	buckets->sorted = -1;
	buckets->users = fm_idmap_create(&loaded->user_type, context);
	buckets->items = fm_idmap_create(&loaded->item_type, context);
	read_items(buckets);
	if (!buckets->too_large)
		read_users(buckets);
	if (!buckets->too_large)
	{
		fm_idmap_seal(buckets->users);
		buckets->num_buckets = fm_idmap_count(buckets->users) / BUCKET_USERS + 1;
		buckets->chunks = MemoryContextAllocExtended(context,
													 buckets->num_buckets * sizeof(PairChunk *),
													 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
		read_pairs(buckets);
	}
	return buckets->too_large ? NULL : buckets;
}

/* Put one bucket's pairs in the order of the users. */
static void
sort_bucket(Buckets *buckets, int32 bucket)
{
	int64 at[BUCKET_USERS + 1] = {0};
	int64 total = 0;

	for (PairChunk *chunk = buckets->chunks[bucket]; chunk != NULL; chunk = chunk->next)
		for (uint32 i = 0; i < chunk->count; i++)
			at[chunk->pairs[i] >> ITEM_BITS]++;
	for (int user = 0; user <= BUCKET_USERS; user++)
	{
		int64 count = at[user];

		at[user] = buckets->start[user] = total;
		total += count;
	}
	if (total > buckets->capacity)
	{
		if (buckets->seen != NULL)
			pfree(buckets->seen);
		buckets->seen = MemoryContextAllocHuge(buckets->context, total * sizeof(int32));
		buckets->capacity = total;
	}
	for (PairChunk *chunk = buckets->chunks[bucket]; chunk != NULL; chunk = chunk->next)
		for (uint32 i = 0; i < chunk->count; i++)
			buckets->seen[at[chunk->pairs[i] >> ITEM_BITS]++] = chunk->pairs[i] &
																((UINT32_C(1) << ITEM_BITS) - 1);
	buckets->sorted = bucket;
}

static void
add_from_buckets(Buckets *buckets, int32 user_idx, uint64 *set)
{
	int user = user_idx % BUCKET_USERS;

	if (user_idx < 0 || user_idx >= fm_idmap_count(buckets->users))
		return;
	if (buckets->sorted != user_idx / BUCKET_USERS)
		sort_bucket(buckets, user_idx / BUCKET_USERS);
	fm_add_items(set, buckets->seen + buckets->start[user],
				 buckets->start[user + 1] - buckets->start[user]);
}

static char *
sorted_query(const FmServing *serving)
{
	const FmLoaded *loaded = serving->loaded;
	const FmModel *model = &serving->model;
	char *user = psprintf("r.%s", quote_identifier(model->definition.user_column));
	char *item = psprintf("r.%s", quote_identifier(model->definition.item_column));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT u.idx, i.idx FROM %s r JOIN %s u ON u.version = $1 AND ",
					 fm_relation_sql(model->definition.ratings),
					 fm_relation_sql(model->user_table));
	fm_append_equality(&sql, "u.user_id", loaded->user_type.type, user);
	appendStringInfo(&sql, " JOIN %s i ON i.version = $1 AND ", fm_relation_sql(model->item_table));
	fm_append_equality(&sql, "i.item_id", loaded->item_type.type, item);
	appendStringInfoString(&sql, " ORDER BY u.idx");
	return sql.data;
}

static void
fetch_rows(FmSeenStream *stream)
{
	const Oid columns[] = {INT4OID, INT4OID};

	SPI_freetuptable(stream->rows);
	SPI_cursor_fetch(stream->cursor, true, ROWS_PER_FETCH);
	fm_spi_expect(columns, 2);
	stream->rows = SPI_tuptable;
	stream->num_rows = SPI_processed;
	stream->next = 0;
}

static void
add_from_cursor(FmSeenStream *stream, int32 user_idx, uint64 *set)
{
	while (stream->num_rows > 0)
	{
		for (; stream->next < stream->num_rows; stream->next++)
		{
			HeapTuple row = stream->rows->vals[stream->next];
			bool isnull;
			int32 user = DatumGetInt32(SPI_getbinval(row, stream->rows->tupdesc, 1, &isnull));
			int32 item;

			if (user > user_idx)
				return;
			if (user < user_idx)
				continue;
			item = fm_loaded_check_idx(stream->loaded,
									   DatumGetInt32(
										   SPI_getbinval(row, stream->rows->tupdesc, 2, &isnull)));
			fm_add_items(set, &item, 1);
		}
		fetch_rows(stream);
	}
}

FmSeenStream *
fm_seen_open(const FmServing *serving)
{
	FmSeenStream *stream = palloc0(sizeof(FmSeenStream));
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(serving->loaded->version)};

	stream->loaded = serving->loaded;
	stream->context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx seen items",
											ALLOCSET_DEFAULT_SIZES);
	if (!fm_knows_seen(serving))
		return stream;
	fm_check_ratings(serving);
	stream->buckets = fill_buckets(serving, stream->context);
	if (stream->buckets != NULL)
		return stream;
	MemoryContextReset(stream->context);
	stream->cursor = SPI_cursor_open_with_args(NULL, sorted_query(serving), 1, types, values, NULL,
											   serving->read_only, 0);
	fetch_rows(stream);
	return stream;
}

void
fm_seen_add_next(FmSeenStream *stream, int32 user_idx, uint64 *set)
{
	if (stream->buckets != NULL)
		add_from_buckets(stream->buckets, user_idx, set);
	else
		add_from_cursor(stream, user_idx, set);
}

void
fm_seen_close(FmSeenStream *stream)
{
	if (stream->cursor != NULL)
	{
		SPI_freetuptable(stream->rows);
		SPI_cursor_close(stream->cursor);
	}
	MemoryContextDelete(stream->context);
	pfree(stream);
}
