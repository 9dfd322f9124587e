/*
 * The users of a model, read from its user table.
 *
 * Rows come through a cursor, USERS_PER_FETCH at a time. Memory: one fetch of rows and one vector,
 * in the context that is current when the walk is opened. Locking: that of the query.
 */
#include "batch/users.h"

#include "catalog/pg_type.h"

#define USERS_PER_FETCH 1000

/* What the walk reads of a user: what makes the vector, and on demand xmin, which is the last. */
enum
{
	FIRST_VECTOR_COLUMN = USER_ID + 1,
	MAX_USER_COLUMNS = FIRST_VECTOR_COLUMN + FM_MAX_VECTOR_COLUMNS + 1
};

struct FmUserWalk
{
	const FmLoaded *loaded;
	Portal cursor;
	FmColumn columns[MAX_USER_COLUMNS];
	int num_columns;
	int xmin_column; /* 0: it is not read */
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
	FmSqlParameters parameters = {0};

	fm_add_integer(&parameters, serving->loaded->version.number);
	return fm_users_open_where(serving, xmins, "", &parameters);
}

FmUserWalk *
fm_users_open_where(const FmServing *serving, bool xmins, const char *condition,
					const FmSqlParameters *parameters)
{
	const FmLoaded *loaded = serving->loaded;
	FmUserWalk *walk = palloc0(sizeof(FmUserWalk));
	int guc_nest_level = fm_sort_like_maintenance();

	walk->serving = serving;
	walk->loaded = loaded;
	walk->last_idx = -1;
	walk->columns[USER_IDX] = (FmColumn){"idx", INT4OID};
	walk->columns[USER_ID] = (FmColumn){"user_id", loaded->user_type.type};
	walk->num_columns = FIRST_VECTOR_COLUMN +
						fm_vector_columns(loaded, walk->columns + FIRST_VECTOR_COLUMN);
	if (xmins)
	{
		walk->xmin_column = walk->num_columns++;
		walk->columns[walk->xmin_column] = (FmColumn){"xmin", XIDOID};
	}
	walk->user.vector = fm_empty_user(loaded);
	walk->cursor = fm_sql_open(psprintf("SELECT %s FROM %s u WHERE version = $1 %s ORDER BY idx",
										fm_select_list(walk->columns, walk->num_columns),
										fm_relation_sql(serving->model.user_table), condition),
							   parameters, serving->read_only);
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
	for (int c = 0; c < walk->num_columns; c++)
		if (fm_row_is_null(row, c))
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("a row of the model's user table contains NULL"),
							errhint("Train the model again.")));
	walk->user.idx = fm_row_integer(row, USER_IDX);
	if (walk->user.idx <= walk->last_idx)
		fm_users_damaged(walk->serving);
	walk->last_idx = walk->user.idx;
	walk->user.id = fm_row_value(row, USER_ID);
	walk->user.xmin = walk->xmin_column > 0 ? fm_row_xid(row, walk->xmin_column)
											: InvalidTransactionId;
	fm_read_vector(walk->loaded, row, FIRST_VECTOR_COLUMN, &walk->user.vector);
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
