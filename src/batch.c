/*
 * The best x items for every user of a model; and fm_top_x_all, which returns them as a set.
 *
 * Users come from the user table and seen items from the ratings relation, both by cursor in the order
 * of the users' idx, and are merged on the way: neither is ever whole in memory. Memory: one context
 * per user, reset after his list is handed over.
 */
#include "batch.h"

#include "catalog/pg_type.h"
#include "host_pg.h"
#include "realarray.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_top_x_all);

#define USERS_PER_FETCH 1000

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

void
fm_batch_top_x(const FmServing *serving, int32 x, bool exclude_seen, FmListCallback callback,
			   void *state)
{
	const FmLoaded *loaded = serving->loaded;
	MemoryContext per_user = AllocSetContextCreate(CurrentMemoryContext, "fmtopx list of one user",
												   ALLOCSET_DEFAULT_SIZES);
	int32 length = Min(x, loaded->num_items);
	FmHit *hits = MemoryContextAllocHuge(CurrentMemoryContext, ((Size) length + 1) * sizeof(FmHit));
	uint64 *excluded = fm_new_item_set(loaded);
	FmUserWalk *walk = fm_users_open(serving);
	FmSeenStream *seen = exclude_seen ? fm_seen_open(serving) : NULL;
	const FmBatchUser *user;

	while ((user = fm_users_next(walk)) != NULL)
	{
		MemoryContext previous = MemoryContextSwitchTo(per_user);
		int32 count;

		CHECK_FOR_INTERRUPTS();
		if (seen != NULL)
		{
			memset(excluded, 0, (loaded->num_items / 64 + 1) * sizeof(uint64));
			fm_seen_add_next(seen, user->idx, excluded);
		}
		count = fm_scan_top_x(loaded->matrix, user->vector.query, length, excluded,
							  fm_pg_host(per_user), hits);
		callback(state, user, hits, count);
		MemoryContextSwitchTo(previous);
		MemoryContextReset(per_user);
	}
	if (seen != NULL)
		fm_seen_close(seen);
	fm_users_close(walk);
	MemoryContextDelete(per_user);
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
	bool nulls[4] = {false};
	Datum user_id = CStringGetTextDatum(fm_id_text(&rows->serving->loaded->user_type, user->id));

	for (int32 r = 0; r < count; r++)
	{
		Datum values[] = {user_id, Int32GetDatum(r + 1), rows->item_texts[hits[r].item],
						  Float4GetDatum((float) (user->vector.base + hits[r].score))};

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
