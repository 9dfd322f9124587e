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

/* What the walk reads of a user; USER_XMIN only on demand. */
enum
{
	USER_W = USER_ID + 1,
	USER_V,
	USER_XMIN,
	NUM_USER_COLUMNS
};

struct FmUserWalk
{
	const FmLoaded *loaded;
	Portal cursor;
	FmColumn columns[NUM_USER_COLUMNS];
	int num_columns; /* without USER_XMIN or with it */
	FmRows rows;
	int32 last_idx; /* -1 before the first user */
	const FmServing *serving;
	FmBatchUser user;
};

static void
fetch_users(FmUserWalk *walk)
{
	fm_rows_end(&walk->rows);
	SPI_cursor_fetch(walk->cursor, true, USERS_PER_FETCH);
	fm_rows_begin(&walk->rows, walk->columns, walk->num_columns);
}

FmUserWalk *
fm_users_open(const FmServing *serving, bool xmins)
{
	const FmLoaded *loaded = serving->loaded;
	FmUserWalk *walk = palloc0(sizeof(FmUserWalk));
	FmSqlParameters parameters = {0};
	int guc_nest_level = fm_sort_like_maintenance();

	walk->serving = serving;
	walk->loaded = loaded;
	walk->last_idx = -1;
	walk->num_columns = xmins ? USER_XMIN + 1 : USER_XMIN;
	walk->columns[USER_IDX] = (FmColumn){"idx", INT4OID};
	walk->columns[USER_ID] = (FmColumn){"user_id", loaded->user_type.type};
	walk->columns[USER_W] = (FmColumn){"w", FLOAT4OID};
	walk->columns[USER_V] = (FmColumn){"v", FLOAT4ARRAYOID};
	walk->columns[USER_XMIN] = (FmColumn){"xmin", XIDOID};
	walk->user.vector.query = palloc0((loaded->version.num_factors + 1) * sizeof(float));
	walk->user.vector.query[loaded->version.num_factors] = 1;
	fm_add_integer(&parameters, loaded->version.number);
	walk->cursor = fm_sql_open(psprintf("SELECT %s FROM %s WHERE version = $1 ORDER BY idx",
										fm_select_list(walk->columns, walk->num_columns),
										fm_relation_sql(serving->model.user_table)),
							   &parameters, serving->read_only);
	fetch_users(walk); /* the first fetch sorts */
	AtEOXact_GUC(false, guc_nest_level);
	return walk;
}

const FmBatchUser *
fm_users_next(FmUserWalk *walk)
{
	const FmRow *row = &walk->rows.row;

	if (!fm_rows_next(&walk->rows))
	{
		if (walk->rows.count > 0)
			fetch_users(walk);
		if (!fm_rows_next(&walk->rows))
			return NULL;
	}
	if (fm_row_is_null(row, USER_IDX) || fm_row_is_null(row, USER_ID) ||
		fm_row_is_null(row, USER_W) || fm_row_is_null(row, USER_V))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a row of the model's user table contains NULL"),
						errhint("Train the model again.")));
	walk->user.idx = fm_row_integer(row, USER_IDX);
	if (walk->user.idx <= walk->last_idx)
		fm_users_damaged(walk->serving);
	walk->last_idx = walk->user.idx;
	walk->user.id = fm_row_value(row, USER_ID);
	walk->user.xmin = walk->num_columns > USER_XMIN ? fm_row_xid(row, USER_XMIN)
													: InvalidTransactionId;
	walk->user.vector.base = walk->loaded->version.b + fm_row_real(row, USER_W);
	fm_read_real_array(fm_row_value(row, USER_V), walk->loaded->version.num_factors, "a user's v",
					   walk->user.vector.query);
	return &walk->user;
}

void
fm_users_close(FmUserWalk *walk)
{
	fm_rows_end(&walk->rows);
	SPI_cursor_close(walk->cursor);
}

void
fm_users_scan(const FmServing *serving, FmRowReader reader, void *state)
{
	const FmColumn columns[] = {
		[USER_IDX] = {"idx", INT4OID}, [USER_ID] = {"user_id", serving->loaded->user_type.type}};
	FmSqlParameters parameters = {0};
	int guc_nest_level = fm_sort_like_maintenance();

	fm_add_integer(&parameters, serving->loaded->version.number);
	fm_sql_scan(psprintf("SELECT %s FROM %s WHERE version = $1 ORDER BY idx",
						 fm_select_list(columns, lengthof(columns)),
						 fm_relation_sql(serving->model.user_table)),
				&parameters, serving->read_only, columns, lengthof(columns), reader, state);
	AtEOXact_GUC(false, guc_nest_level);
}

void
fm_users_repeated(const FmServing *serving)
{
	fm_model_damaged(&serving->model, "its user table holds a user twice");
}

void
fm_users_damaged(const FmServing *serving)
{
	fm_model_damaged(&serving->model, "the idx of its users do not run from 0 without gaps");
}
