/*
 * The users of a model, read from its user table.
 *
 * Rows come through a cursor, USERS_PER_FETCH at a time. Memory: one fetch of rows and one vector,
 * in the context that is current when the walk is opened. Locking: that of the query.
 */
#include "batch/users.h"

#include "catalog/pg_type.h"
#include "pg/real_array.h"

#define USERS_PER_FETCH 1000

struct FmUserWalk
{
	const FmLoaded *loaded;
	Portal cursor;
	SPITupleTable *rows;
	uint64 num_rows;
	uint64 next;
	bool xmins;
	int32 last_idx; /* -1 before the first user */
	const FmServing *serving;
	FmBatchUser user;
};

static void
fetch_users(FmUserWalk *walk)
{
	const Oid columns[] = {INT4OID, walk->loaded->user_type.type, FLOAT4OID, FLOAT4ARRAYOID,
						   XIDOID};

	SPI_freetuptable(walk->rows);
	SPI_cursor_fetch(walk->cursor, true, USERS_PER_FETCH);
	fm_spi_expect(columns, walk->xmins ? 5 : 4);
	walk->rows = SPI_tuptable;
	walk->num_rows = SPI_processed;
	walk->next = 0;
}

FmUserWalk *
fm_users_open(const FmServing *serving, bool xmins)
{
	const FmLoaded *loaded = serving->loaded;
	FmUserWalk *walk = palloc0(sizeof(FmUserWalk));
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(loaded->version.number)};
	char *sql = psprintf("SELECT idx, user_id, w, v%s FROM %s WHERE version = $1 ORDER BY idx",
						 xmins ? ", xmin" : "", fm_relation_sql(serving->model.user_table));
	int guc_nest_level = fm_sort_like_maintenance();

	walk->serving = serving;
	walk->loaded = loaded;
	walk->last_idx = -1;
	walk->xmins = xmins;
	walk->user.vector.query = palloc0((loaded->version.num_factors + 1) * sizeof(float));
	walk->user.vector.query[loaded->version.num_factors] = 1;
	walk->cursor = SPI_cursor_open_with_args(NULL, sql, 1, types, values, NULL, serving->read_only,
											 0);
	fetch_users(walk); /* the first fetch sorts */
	AtEOXact_GUC(false, guc_nest_level);
	return walk;
}

const FmBatchUser *
fm_users_next(FmUserWalk *walk)
{
	Datum values[5];
	bool nulls[5];

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
	if (walk->user.idx <= walk->last_idx)
		fm_users_damaged(walk->serving);
	walk->last_idx = walk->user.idx;
	walk->user.id = values[1];
	walk->user.xmin = walk->xmins ? DatumGetTransactionId(values[4]) : InvalidTransactionId;
	walk->user.vector.base = walk->loaded->version.b + DatumGetFloat4(values[2]);
	fm_read_real_array(values[3], walk->loaded->version.num_factors, "a user's v",
					   walk->user.vector.query);
	return &walk->user;
}

void
fm_users_close(FmUserWalk *walk)
{
	SPI_freetuptable(walk->rows);
	SPI_cursor_close(walk->cursor);
}

void
fm_users_scan(const FmServing *serving, FmRowCallback callback, void *state)
{
	const Oid columns[] = {INT4OID, serving->loaded->user_type.type};
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(serving->loaded->version.number)};
	int guc_nest_level = fm_sort_like_maintenance();

	fm_spi_scan(psprintf("SELECT idx, user_id FROM %s WHERE version = $1 ORDER BY idx",
						 fm_relation_sql(serving->model.user_table)),
				1, types, values, serving->read_only, columns, 2, callback, state);
	AtEOXact_GUC(false, guc_nest_level);
}

void
fm_users_damaged(const FmServing *serving)
{
	fm_model_damaged(&serving->model, "the idx of its users do not run from 0");
}
