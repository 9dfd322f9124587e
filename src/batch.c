/*
 * The best x items for every user of a model; and fm_top_x_all, which returns them as a set.
 *
 * Users come from the user table and seen items from the ratings relation, both by cursor in the order
 * of the users' idx, and are merged on the way, in blocks of users that are scanned together. Memory: a
 * block, what the stream of seen items takes (serve.h), and one context per user, reset after his list is
 * handed over.
 */
#include "batch.h"

#include "catalog/pg_type.h"
#include "host_pg.h"
#include "realarray.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_top_x_all);

#define USERS_PER_FETCH 1000
#define MAX_BLOCK_USERS 256
#define BLOCK_SIZE (8 * 1024 * 1024) /* bytes, unless one user needs more */

struct FmUserWalk
{
	const FmLoaded *loaded;
	Portal cursor;
	SPITupleTable *rows;
	uint64 num_rows;
	uint64 next;
	FmBatchUser user;
};

static void
fetch_users(FmUserWalk *walk)
{
	const Oid columns[] = {INT4OID, walk->loaded->user_type.type, FLOAT4OID, FLOAT4ARRAYOID};

	SPI_freetuptable(walk->rows);
	SPI_cursor_fetch(walk->cursor, true, USERS_PER_FETCH);
	fm_spi_expect(columns, 4);
	walk->rows = SPI_tuptable;
	walk->num_rows = SPI_processed;
	walk->next = 0;
}

FmUserWalk *
fm_users_open(const FmServing *serving)
{
	const FmLoaded *loaded = serving->loaded;
	FmUserWalk *walk = palloc0(sizeof(FmUserWalk));
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(loaded->version)};
	char *sql = psprintf("SELECT idx, user_id, w, v FROM %s WHERE version = $1 ORDER BY idx",
						 fm_relation_sql(serving->model.user_table));

	walk->loaded = loaded;
	walk->user.vector.query = palloc0((loaded->num_factors + 1) * sizeof(float));
	walk->user.vector.query[loaded->num_factors] = 1;
	walk->cursor = SPI_cursor_open_with_args(NULL, sql, 1, types, values, NULL, serving->read_only,
											 0);
	fetch_users(walk);
	return walk;
}

const FmBatchUser *
fm_users_next(FmUserWalk *walk)
{
	Datum values[4];
	bool nulls[4];

	if (walk->next == walk->num_rows && walk->num_rows > 0)
		fetch_users(walk);
	if (walk->num_rows == 0)
		return NULL;
	heap_deform_tuple(walk->rows->vals[walk->next++], walk->rows->tupdesc, values, nulls);
	if (nulls[0] || nulls[1] || nulls[2] || nulls[3])
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a row of the model's user table contains NULL"),
						errhint("Train the model again.")));
	walk->user.idx = DatumGetInt32(values[0]);
	walk->user.id = values[1];
	walk->user.vector.base = walk->loaded->b + DatumGetFloat4(values[2]);
	fm_read_real_array(values[3], walk->loaded->num_factors, "a user's v", walk->user.vector.query);
	return &walk->user;
}

void
fm_users_close(FmUserWalk *walk)
{
	SPI_freetuptable(walk->rows);
	SPI_cursor_close(walk->cursor);
}

/*
 * A block of users on its way through the scan: their vectors and seen items, then their hits. Arrays are
 * flat, an entry a user.
 */
typedef struct UserBlock
{
	int32 max_users;
	int32 count;
	MemoryContext ids; /* of by-reference ids */
	FmBatchUser *users;
	float *queries;
	uint64 *sets; /* NULL: nothing is excluded */
	const uint64 **excluded;
	FmHit *hits;
	int32 *counts;
} UserBlock;

static Size
set_words(const FmLoaded *loaded)
{
	return loaded->num_items / 64 + 1;
}

static UserBlock *
create_block(const FmLoaded *loaded, int32 length, bool exclude_seen)
{
	Size query = (loaded->num_factors + 1) * sizeof(float);
	Size set = exclude_seen ? set_words(loaded) * sizeof(uint64) : 0;
	Size per_user = query + set + (Size) length * sizeof(FmHit);
	MemoryContext context = CurrentMemoryContext;
	UserBlock *block = palloc0(sizeof(UserBlock));

	block->max_users = Max(1, Min(MAX_BLOCK_USERS, BLOCK_SIZE / per_user));
	block->ids = AllocSetContextCreate(context, "fmtopx ids of a block", ALLOCSET_DEFAULT_SIZES);
	block->users = palloc(block->max_users * sizeof(FmBatchUser));
	block->queries = MemoryContextAllocHuge(context, block->max_users * query);
	block->counts = palloc(block->max_users * sizeof(int32));
	block->excluded = palloc0(block->max_users * sizeof(uint64 *));
	block->hits = MemoryContextAllocHuge(context,
										 Max(1, (Size) block->max_users * length) * sizeof(FmHit));
	if (exclude_seen)
	{
		block->sets = MemoryContextAllocHuge(context, block->max_users * set);
		for (int32 i = 0; i < block->max_users; i++)
			block->excluded[i] = block->sets + i * set_words(loaded);
	}
	return block;
}

/* Take the next users, with what they have seen; false if there are none left. */
static bool
fill_block(UserBlock *block, const FmLoaded *loaded, FmUserWalk *walk, FmSeenStream *seen)
{
	Size length = loaded->num_factors + 1;
	Size words = set_words(loaded);
	const FmBatchUser *user;

	MemoryContextReset(block->ids);
	if (seen != NULL)
		memset(block->sets, 0, block->max_users * words * sizeof(uint64));
	for (block->count = 0; block->count < block->max_users; block->count++)
	{
		int32 i = block->count;

		user = fm_users_next(walk);
		if (user == NULL)
			break;
		block->users[i] = *user;
		block->users[i].id = fm_id_copy(&loaded->user_type, user->id, block->ids);
		block->users[i].vector.query = block->queries + i * length;
		memcpy(block->users[i].vector.query, user->vector.query, length * sizeof(float));
		if (seen != NULL)
			fm_seen_add_next(seen, user->idx, block->sets + i * words);
	}
	return block->count > 0;
}

void
fm_batch_top_x(const FmServing *serving, int32 x, bool exclude_seen, FmListCallback callback,
			   void *state)
{
	const FmLoaded *loaded = serving->loaded;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx batch",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	MemoryContext per_user = AllocSetContextCreate(context, "fmtopx list of one user",
												   ALLOCSET_DEFAULT_SIZES);
	int32 length = Min(x, loaded->num_items);
	UserBlock *block = create_block(loaded, length, exclude_seen);
	FmSeenStream *seen = exclude_seen ? fm_seen_open(serving) : NULL;
	FmUserWalk *walk = fm_users_open(serving);
	const FmHost *host = fm_pg_host(context);

	while (fill_block(block, loaded, walk, seen))
	{
		fm_scan_batch_top_x(loaded->matrix, block->queries, block->count, length, block->excluded,
							host, block->hits, block->counts);
		MemoryContextSwitchTo(per_user);
		for (int32 i = 0; i < block->count; i++)
		{
			callback(state, &block->users[i], block->hits + (Size) i * length, block->counts[i]);
			MemoryContextReset(per_user);
		}
		MemoryContextSwitchTo(context);
	}
	fm_users_close(walk);
	if (seen != NULL)
		fm_seen_close(seen);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
}

typedef struct AllRows
{
	FmServing *serving;
	Datum *item_texts; /* by idx */
	ReturnSetInfo *result;
} AllRows;

/* FmListCallback: one row of fm_top_x_all an item. */
static void
put_text_rows(void *state, const FmBatchUser *user, const FmHit *hits, int32 count)
{
	AllRows *rows = state;
	FmLoaded *loaded = rows->serving->loaded;
	bool nulls[4] = {false};
	Datum user_id = CStringGetTextDatum(fm_id_text(&loaded->user_type, user->id));

	for (int32 r = 0; r < count; r++)
	{
		Datum values[] = {user_id, Int32GetDatum(r + 1), rows->item_texts[hits[r].item],
						  Float4GetDatum(
							  (float) fm_serve_score(loaded, user->vector.base + hits[r].score))};

		tuplestore_putvalues(rows->result->setResult, rows->result->setDesc, values, nulls);
	}
}

Datum
fm_top_x_all(PG_FUNCTION_ARGS)
{
	FmServing serving;
	AllRows rows = {&serving, NULL, (ReturnSetInfo *) fcinfo->resultinfo};
	MemoryContext context = CurrentMemoryContext;
	int32 x = fm_x_argument(fcinfo, 0);
	int32 num_items;

	fm_require_argument(fcinfo, 2, "exclude_seen");
	fm_init_materialized_srf(fcinfo);
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), FM_IDS_TEXT,
				   context);
	num_items = serving.loaded->num_items;
	rows.item_texts = MemoryContextAllocHuge(CurrentMemoryContext, num_items * sizeof(Datum));
	for (int32 item = 0; item < num_items; item++)
		rows.item_texts[item] = fm_serve_item_out(&serving, item);
	fm_batch_top_x(&serving, x, PG_GETARG_BOOL(2), put_text_rows, &rows);
	fm_serve_end(&serving);
	return (Datum) 0;
}
