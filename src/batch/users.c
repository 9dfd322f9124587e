/*
 * The users that lists are for: those of a model, read from its user table, and those who are new.
 *
 * Rows come through a cursor, USERS_PER_FETCH at a time. Memory: one fetch of rows and one vector,
 * in the context that is current when the walk is opened; of chosen users, the ids of those wanted
 * and of those folded in. Locking: that of the queries.
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
	bool again;

	const FmUserChoice *choice; /* NULL: all users, none of whom is folded in */
	const FmContext *context;
	FmManyRatings *ratings;
	int32 num_folded; /* so far */
	int32 num_met;
};

/*
 * Return the condition that a user u is wanted: all are, or those in the array $2. $1 is the
 * version.
 */
static const char *
is_wanted(const FmServing *serving, FmIdMap *wanted, FmSqlParameters *parameters)
{
	const FmIdType *type = &serving->loaded->user_type;
	StringInfoData sql;
	Datum *ids;

	fm_add_integer(parameters, serving->loaded->version.number);
	if (wanted == NULL)
		return "";
	ids = MemoryContextAllocHuge(CurrentMemoryContext,
								 ((Size) fm_idmap_count(wanted) + 1) * sizeof(Datum));
	for (int32 i = 0; i < fm_idmap_count(wanted); i++)
		ids[i] = fm_idmap_id(wanted, i);
	fm_add_ids(parameters, type, ids, fm_idmap_count(wanted));
	pfree(ids);
	initStringInfo(&sql);
	appendStringInfoString(&sql, " AND EXISTS (SELECT FROM pg_catalog.unnest($2) g (id) WHERE ");
	fm_append_equality(&sql, "u.user_id", type->type, "g.id");
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* What is read to choose users. */
enum
{
	CHOSEN_IDX,
	CHOSEN_ID,
	CHOSEN_DIGEST
};

typedef struct Choosing
{
	const FmServing *serving;
	FmUserChoice *choice;
	MemoryContext context;
	bool *known; /* by index of the wanted; NULL: all users are wanted */
	int32 capacity;
} Choosing;

static void
add_folded(Choosing *choosing, int32 idx, Datum id)
{
	FmUserChoice *choice = choosing->choice;

	if (choice->num_folded == choosing->capacity)
	{
		choosing->capacity *= 2;
		choice->idx = repalloc_huge(choice->idx, choosing->capacity * sizeof(int32));
		choice->ids = repalloc_huge(choice->ids, choosing->capacity * sizeof(Datum));
	}
	choice->idx[choice->num_folded] = idx;
	choice->ids[choice->num_folded++] = fm_id_copy(&choosing->serving->loaded->user_type, id,
												   choosing->context);
}

/* FmRowReader: a user of the model. A digest of 0 says that the training had no ratings of them. */
static bool
choose_known(void *state, const FmRow *row)
{
	Choosing *choosing = state;
	int32 index;

	for (int c = 0; c <= CHOSEN_DIGEST; c++)
		if (fm_row_is_null(row, c))
			fm_users_damaged(choosing->serving);
	if (choosing->known != NULL)
	{
		index = fm_idmap_find(choosing->choice->wanted, fm_row_value(row, CHOSEN_ID));
		if (index >= 0)
			choosing->known[index] = true;
	}
	if (fm_row_bigint(row, CHOSEN_DIGEST) == 0)
		add_folded(choosing, fm_row_integer(row, CHOSEN_IDX), fm_row_value(row, CHOSEN_ID));
	return true;
}

/* Add the wanted users whom the model does not know, in the order of their ids. */
static void
choose_unknown(Choosing *choosing)
{
	FmIdMap *wanted = choosing->choice->wanted;
	int32 *order = fm_idmap_order(wanted);

	for (int32 r = 0; r < fm_idmap_count(wanted); r++)
		if (!choosing->known[order[r]])
			add_folded(choosing, -1, fm_idmap_id(wanted, order[r]));
	pfree(order);
}

FmUserChoice *
fm_users_choose(const FmServing *serving, FmIdMap *wanted)
{
	const FmColumn columns[] = {[CHOSEN_IDX] = {"idx", INT4OID},
								[CHOSEN_ID] = {"user_id", serving->loaded->user_type.type},
								[CHOSEN_DIGEST] = {"digest", INT8OID}};
	FmUserChoice *choice = palloc0(sizeof(FmUserChoice));
	Choosing choosing = {serving, choice, CurrentMemoryContext, NULL, 1024};
	FmSqlParameters parameters = {0};
	int guc_nest_level = fm_sort_like_maintenance();
	const char *condition = is_wanted(serving, wanted, &parameters);

	choice->wanted = wanted;
	choice->idx = palloc(choosing.capacity * sizeof(int32));
	choice->ids = palloc(choosing.capacity * sizeof(Datum));
	if (wanted != NULL)
		choosing.known = MemoryContextAllocExtended(CurrentMemoryContext,
													(Size) fm_idmap_count(wanted) + 1,
													MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	fm_sql_scan(psprintf("SELECT %s FROM %s u WHERE version = $1 %s ORDER BY idx",
						 fm_select_list(columns, lengthof(columns)),
						 fm_relation_sql(serving->model.user_table),
						 wanted == NULL ? "AND digest = 0" : condition),
				&parameters, serving->read_only, columns, lengthof(columns), choose_known,
				&choosing);
	AtEOXact_GUC(false, guc_nest_level);
	choice->num_known = choice->num_folded;
	if (wanted != NULL)
		choose_unknown(&choosing);
	return choice;
}

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
fm_users_open_chosen(const FmServing *serving, bool xmins, const FmUserChoice *choice,
					 const FmContext *context, FmManyRatings *ratings)
{
	FmSqlParameters parameters = {0};
	const char *condition = is_wanted(serving, choice->wanted, &parameters);
	FmUserWalk *walk = fm_users_open_where(serving, xmins, condition, &parameters);

	walk->choice = choice;
	walk->context = context;
	walk->ratings = ratings;
	return walk;
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

/* Read the next row; false after the last. */
static bool
next_row(FmUserWalk *walk)
{
	if (fm_rows_next(&walk->rows))
		return true;
	if (walk->rows.count == 0)
		return false;
	fetch_users(walk);
	return fm_rows_next(&walk->rows);
}

static void
read_user(FmUserWalk *walk)
{
	const FmRow *row = &walk->rows.row;

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
}

/* Make the user of the walk one whom the model does not know. */
static void
meet_unknown(FmUserWalk *walk)
{
	const FmVersion *version = &walk->loaded->version;
	FmUserVector *vector = &walk->user.vector;

	walk->last_idx = Max(walk->last_idx, version->num_users - 1) + 1;
	walk->user.idx = walk->last_idx;
	walk->user.id = walk->choice->ids[walk->num_folded];
	walk->user.xmin = InvalidTransactionId;
	vector->base = version->b;
	memset(vector->v, 0, version->num_factors * sizeof(float));
	if (version->interest_factors > 0)
	{
		vector->interest_base = version->interest_b;
		memset(vector->interest_v, 0, version->interest_factors * sizeof(float));
	}
}

/* Give a user who is folded in their ratings, and others the context. */
static void
complete_user(FmUserWalk *walk, bool known)
{
	const FmUserChoice *choice = walk->choice;
	FmBatchUser *user = &walk->user;

	user->folds = !known || (walk->num_folded < choice->num_known &&
							 choice->idx[walk->num_folded] == user->idx);
	user->expected = known;
	if (user->folds)
		user->ratings = fm_many_ratings_next(walk->ratings, walk->num_folded++, &user->num_ratings);
	else if (walk->context != NULL)
		fm_context_add(walk->loaded, walk->context, &user->vector);
}

const FmBatchUser *
fm_users_next(FmUserWalk *walk)
{
	bool known;

	if (walk->again)
	{
		walk->again = false;
		return &walk->user;
	}
	known = next_row(walk);
	if (known)
		read_user(walk);
	else if (walk->choice == NULL || walk->num_folded == walk->choice->num_folded)
		return NULL;
	else
		meet_unknown(walk);
	if (walk->choice != NULL)
		complete_user(walk, known);
	walk->num_met++;
	return &walk->user;
}

void
fm_users_again(FmUserWalk *walk)
{
	walk->again = true;
}

int32
fm_users_met(const FmUserWalk *walk)
{
	return walk->num_met;
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
