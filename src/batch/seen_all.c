/*
 * The items that every user has rated, read live from the ratings relation.
 *
 * The relation is read once, in any order, into pairs (pairs.c). That takes memory for every user
 * and every pair. If it would exceed maintenance_work_mem, the pairs are dropped, and a query
 * reads the relation again, joined with the users and sorted; the executor spills to disk. A batch
 * with workers usually fills the pairs by a parallel scan (seen_scan.c). Memory: a context of the
 * stream.
 */
#include "batch/seen_all.h"

#include "batch/users.h"
#include "catalog/pg_type.h"
#include "core/bitset.h"
#include "serve/items.h"
#include "serve/seen.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define ROWS_PER_FETCH 10000

struct FmSeenStream
{
	const FmLoaded *loaded;
	MemoryContext context;
	FmPairs *pairs; /* NULL: read by the cursor */
	Portal cursor;
	FmRows rows;
	bool has_row; /* rows.row is of a user who has not been asked for yet */
};

/* All pairs, while they are read. */
typedef struct Reading
{
	const FmServing *serving;
	MemoryContext context;
	FmIdMap *users; /* numbered by idx, like the items */
	FmIdMap *items;
	FmPairs *pairs;
	bool too_large;
} Reading;

static bool
has_room(MemoryContext context)
{
	return MemoryContextMemAllocated(context, true) / 1024 < maintenance_work_mem;
}

/* FmRowReader: a user, in ascending order of idx. */
static bool
add_user(void *state, const FmRow *row)
{
	Reading *reading = state;
	int32 idx = fm_idmap_count(reading->users);

	if (fm_row_is_null(row, USER_IDX) || fm_row_is_null(row, USER_ID) ||
		fm_row_integer(row, USER_IDX) != idx ||
		fm_idmap_intern(reading->users, fm_row_value(row, USER_ID)) != idx)
		fm_users_damaged(reading->serving);
	reading->too_large = idx % FM_PAIR_BUCKET_USERS == 0 && !has_room(reading->context);
	return !reading->too_large;
}

/* What read_pairs reads of a rating. */
enum
{
	PAIR_USER,
	PAIR_ITEM
};

/* FmRowReader: a rating. Skip users and items that the model does not know. */
static bool
add_pair(void *state, const FmRow *row)
{
	Reading *reading = state;
	int32 user;
	int32 item;

	if (fm_row_is_null(row, PAIR_USER) || fm_row_is_null(row, PAIR_ITEM))
		return true;
	user = fm_idmap_find(reading->users, fm_row_value(row, PAIR_USER));
	item = fm_idmap_find(reading->items, fm_row_value(row, PAIR_ITEM));
	return user < 0 || item < 0 || fm_pairs_add(reading->pairs, user, item);
}

static void
read_items(Reading *reading)
{
	const FmLoaded *loaded = reading->serving->loaded;

	for (int32 item = 0; item < loaded->version.num_items; item++)
		if (fm_idmap_intern(reading->items, fm_loaded_item_id(loaded, item)) != item)
			fm_model_damaged(&reading->serving->model, "it has an item twice");
	fm_idmap_seal(reading->items);
	reading->too_large = !has_room(reading->context);
}

/* Return a column of ids, as the type that they have in the model. */
static FmColumn
id_column(const FmDefinition *definition, const char *column, const FmIdType *id_type)
{
	return fm_id_column(quote_identifier(column),
						get_atttype(definition->ratings, get_attnum(definition->ratings, column)),
						id_type);
}

static void
read_pairs(Reading *reading)
{
	const FmDefinition *definition = &reading->serving->model.definition;
	const FmLoaded *loaded = reading->serving->loaded;
	const FmColumn columns[] = {[PAIR_USER] = id_column(definition, definition->user_column,
														&loaded->user_type),
								[PAIR_ITEM] = id_column(definition, definition->item_column,
														&loaded->item_type)};

	fm_sql_scan(psprintf("SELECT %s FROM %s", fm_select_list(columns, lengthof(columns)),
						 fm_relation_sql(definition->ratings)),
				NULL, reading->serving->read_only, columns, lengthof(columns), add_pair, reading);
	fm_pairs_finish(reading->pairs);
}

FmPairs *
fm_seen_read(const FmServing *serving, MemoryContext context, FmPairsMaker make, void *make_state)
{
	const FmLoaded *loaded = serving->loaded;
	Reading reading = {serving, context};

	if (loaded->version.num_items > FM_PAIR_MAX_ITEMS)
		return NULL;
	reading.users = fm_idmap_create(&loaded->user_type, context);
	reading.items = fm_idmap_create(&loaded->item_type, context);
	read_items(&reading);
	if (!reading.too_large)
		fm_users_scan(serving, add_user, &reading);
	if (reading.too_large)
		return NULL;
	fm_idmap_seal(reading.users);
	reading.pairs = make(make_state, fm_idmap_count(reading.users), context);
	if (reading.pairs == NULL)
		return NULL;
	read_pairs(&reading);
	return fm_pairs_too_many(reading.pairs) ? NULL : reading.pairs;
}

/* FmPairsMaker */
static FmPairs *
make_local_pairs(void *state, int32 num_users, MemoryContext context)
{
	return fm_pairs_create(num_users, context);
}

/* What the sorted query reads of a rating. */
enum
{
	SORTED_USER,
	SORTED_ITEM
};

static const FmColumn sorted_columns[] = {
	[SORTED_USER] = {"u.idx", INT4OID}, [SORTED_ITEM] = {"i.idx", INT4OID}};

static char *
sorted_query(const FmServing *serving)
{
	const FmLoaded *loaded = serving->loaded;
	const FmModel *model = &serving->model;
	char *user = psprintf("r.%s", quote_identifier(model->definition.user_column));
	char *item = psprintf("r.%s", quote_identifier(model->definition.item_column));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s FROM %s r JOIN %s u ON u.version = $1 AND ",
					 fm_select_list(sorted_columns, lengthof(sorted_columns)),
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
	fm_rows_end(&stream->rows);
	SPI_cursor_fetch(stream->cursor, true, ROWS_PER_FETCH);
	fm_rows_begin(&stream->rows, sorted_columns, lengthof(sorted_columns));
}

/* Read the next row; false after the last. */
static bool
next_row(FmSeenStream *stream)
{
	if (!fm_rows_next(&stream->rows))
	{
		if (stream->rows.count > 0)
			fetch_rows(stream);
		if (!fm_rows_next(&stream->rows))
			return false;
	}
	return true;
}

static void
add_from_cursor(FmSeenStream *stream, int32 user_idx, uint64 *set)
{
	const FmRow *row = &stream->rows.row;

	while (stream->has_row && fm_row_integer(row, SORTED_USER) <= user_idx)
	{
		if (fm_row_integer(row, SORTED_USER) == user_idx)
			fm_bitset_add(set,
						  fm_loaded_check_idx(stream->loaded, fm_row_integer(row, SORTED_ITEM)));
		stream->has_row = next_row(stream);
	}
}

FmSeenStream *
fm_seen_open(const FmServing *serving)
{
	FmSeenStream *stream = palloc0(sizeof(FmSeenStream));
	FmSqlParameters parameters = {0};

	stream->loaded = serving->loaded;
	stream->context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx seen items",
											ALLOCSET_DEFAULT_SIZES);
	if (!fm_knows_seen(serving))
		return stream;
	fm_check_ratings(serving);
	stream->pairs = fm_seen_read(serving, stream->context, make_local_pairs, NULL);
	if (stream->pairs != NULL)
		return stream;
	MemoryContextReset(stream->context);
	fm_add_integer(&parameters, serving->loaded->version.number);
	stream->cursor = fm_sql_open(sorted_query(serving), &parameters, serving->read_only);
	fetch_rows(stream);
	stream->has_row = next_row(stream);
	return stream;
}

FmSeenStream *
fm_seen_of_pairs(FmPairs *pairs)
{
	FmSeenStream *stream = palloc0(sizeof(FmSeenStream));

	stream->pairs = pairs;
	return stream;
}

void
fm_seen_add_next(FmSeenStream *stream, int32 user_idx, uint64 *set)
{
	if (stream->pairs != NULL)
		fm_pairs_add_to_set(stream->pairs, user_idx, set);
	else
		add_from_cursor(stream, user_idx, set);
}

void
fm_seen_add_users(FmSeenStream *stream, int32 first, int32 count, uint64 *sets, Size set_words)
{
	if (stream->pairs != NULL)
		fm_pairs_add_to_sets(stream->pairs, first, count, sets, set_words);
	else
		for (int32 i = 0; i < count; i++)
			fm_seen_add_next(stream, first + i, sets + i * set_words);
}

void
fm_seen_close(FmSeenStream *stream)
{
	if (stream->cursor != NULL)
	{
		fm_rows_end(&stream->rows);
		SPI_cursor_close(stream->cursor);
	}
	if (stream->context != NULL)
		MemoryContextDelete(stream->context);
	pfree(stream);
}
