/*
 * What many users have rated, user by user: for users who are folded in.
 *
 * One query joins the ids, an array, to the ratings relation and sorts by user. So an index on the
 * user column serves a few users, one scan many, and what is too large for memory is on disk.
 * Memory: the current context at opening, for one fetch and the ratings of one user. Locking: that
 * of the query.
 */
#include "serve/many_ratings.h"

#include "serve/items.h"
#include "source/ratings_columns.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#define ROWS_PER_FETCH 10000

/* What is read of a rating; the last two unless the ratings do not count. */
enum
{
	MANY_USER,
	MANY_ITEM,
	MANY_RATING,
	MANY_WEIGHT,
	NUM_MANY_COLUMNS
};

struct FmManyRatings
{
	const FmLoaded *loaded;
	FmDefinition definition; /* with the task of the version */
	bool readable;			 /* ratings count */
	bool seen;
	Portal cursor; /* NULL: there are no ratings */
	FmColumn columns[NUM_MANY_COLUMNS];
	int num_columns;
	FmRows rows;
	bool has_row; /* rows.row is of a user who has not been asked for yet */
	FmOwnRating *ratings;
	int64 capacity;
};

void
fm_add_ids(FmSqlParameters *parameters, const FmIdType *id_type, const Datum *ids, int32 count)
{
	Oid type = getBaseType(id_type->type);
	int16 length;
	bool by_value;
	char alignment;

	get_typlenbyvalalign(type, &length, &by_value, &alignment);
	fm_add_parameter(parameters, get_array_type(type),
					 PointerGetDatum(construct_array(unconstify(Datum *, ids), count, type, length,
													 by_value, alignment)),
					 false);
}

static void
choose_columns(FmManyRatings *stream)
{
	const FmDefinition *definition = &stream->definition;
	const char *item = definition->item_column;
	const FmLoaded *loaded = stream->loaded;

	stream->columns[MANY_USER] = (FmColumn){"n.number", INT8OID};
	if (loaded->item_type.is_integer)
		stream->columns[MANY_ITEM] =
			fm_id_column(psprintf("r.%s", quote_identifier(item)),
						 get_atttype(definition->ratings, get_attnum(definition->ratings, item)),
						 &loaded->item_type);
	else
		stream->columns[MANY_ITEM] = (FmColumn){"i.idx", INT4OID};
	stream->num_columns = MANY_RATING;
	if (stream->readable)
		stream->num_columns += fm_value_columns(definition, stream->columns + MANY_RATING);
}

static char *
many_query(const FmManyRatings *stream, const FmModel *model)
{
	const FmDefinition *definition = &stream->definition;
	const FmLoaded *loaded = stream->loaded;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "SELECT %s FROM pg_catalog.unnest($1) WITH ORDINALITY AS n (id, number) "
					 "JOIN %s r ON ",
					 fm_select_list(stream->columns, stream->num_columns),
					 fm_relation_sql(definition->ratings));
	fm_append_equality(&sql, psprintf("r.%s", quote_identifier(definition->user_column)),
					   loaded->user_type.type, "n.id");
	if (!loaded->item_type.is_integer)
	{
		appendStringInfo(&sql, " JOIN %s i ON i.version = $2 AND ",
						 fm_relation_sql(model->item_table));
		fm_append_equality(&sql, "i.item_id", loaded->item_type.type,
						   psprintf("r.%s", quote_identifier(definition->item_column)));
	}
	appendStringInfoString(&sql, " ORDER BY n.number");
	return sql.data;
}

static void
fetch_rows(FmManyRatings *stream)
{
	fm_rows_end(&stream->rows);
	SPI_cursor_fetch(stream->cursor, true, ROWS_PER_FETCH);
	fm_rows_begin(&stream->rows, stream->columns, stream->num_columns);
}

/* Read the next row; false after the last. */
static bool
next_row(FmManyRatings *stream)
{
	if (fm_rows_next(&stream->rows))
		return true;
	if (stream->rows.count == 0)
		return false;
	fetch_rows(stream);
	return fm_rows_next(&stream->rows);
}

static void
open_cursor(FmManyRatings *stream, const FmServing *serving, const Datum *user_ids, int32 count)
{
	FmSqlParameters parameters = {0};
	int guc_nest_level = fm_sort_like_maintenance();

	choose_columns(stream);
	fm_add_ids(&parameters, &stream->loaded->user_type, user_ids, count);
	if (!stream->loaded->item_type.is_integer)
		fm_add_integer(&parameters, stream->loaded->version.number);
	stream->cursor = fm_sql_open(many_query(stream, &serving->model), &parameters,
								 serving->read_only);
	fetch_rows(stream); /* the first fetch sorts */
	stream->has_row = next_row(stream);
	AtEOXact_GUC(false, guc_nest_level);
}

FmManyRatings *
fm_many_ratings_open(const FmServing *serving, const Datum *user_ids, int32 count, bool seen)
{
	FmManyRatings *stream = palloc0(sizeof(FmManyRatings));
	const FmLoaded *loaded = serving->loaded;

	stream->loaded = loaded;
	stream->definition = serving->model.definition;
	stream->definition.task = loaded->version.task;
	stream->readable = fm_knows_seen(serving) &&
					   fm_ratings_are_readable(&stream->definition, loaded->user_type.type,
											   loaded->item_type.type);
	stream->seen = seen;
	stream->capacity = 1024;
	stream->ratings = palloc(stream->capacity * sizeof(FmOwnRating));
	if (count > 0 && (stream->readable || seen))
		open_cursor(stream, serving, user_ids, count);
	return stream;
}

/* Return the idx of the item of a row, or -1. */
static int32
row_item(const FmManyRatings *stream, const FmRow *row)
{
	const FmLoaded *loaded = stream->loaded;

	if (fm_row_is_null(row, MANY_ITEM))
		return -1;
	if (!loaded->item_type.is_integer)
		return fm_loaded_check_idx(loaded, fm_row_integer(row, MANY_ITEM));
	return fm_image_find_integer(loaded->image,
								 fm_id_as_int64(&loaded->item_type, fm_row_value(row, MANY_ITEM)));
}

/* Add the current row to the user's ratings. */
static void
take_row(FmManyRatings *stream, int64 *count)
{
	const FmRow *row = &stream->rows.row;
	FmOwnRating own = {row_item(stream, row), 0, FM_ONLY_SEEN};
	double rating, weight;

	/* in this order, so that the same values are errors as in fm_own_ratings */
	if (stream->readable &&
		fm_take_values(&stream->definition, row->values + MANY_RATING, row->nulls + MANY_RATING,
					   &rating, &weight) &&
		own.item >= 0)
	{
		own.rating = fm_own_rating_value(&stream->definition, &stream->loaded->version, rating);
		own.weight = (float) weight;
	}
	if (own.item < 0 || (own.weight == FM_ONLY_SEEN && !stream->seen))
		return;
	if (*count == stream->capacity)
	{
		stream->capacity *= 2;
		stream->ratings = repalloc_huge(stream->ratings, stream->capacity * sizeof(FmOwnRating));
	}
	stream->ratings[(*count)++] = own;
}

FmOwnRating *
fm_many_ratings_next(FmManyRatings *stream, int32 user, int64 *count)
{
	*count = 0;
	while (stream->has_row && fm_row_bigint(&stream->rows.row, MANY_USER) <= (int64) user + 1)
	{
		if (fm_row_bigint(&stream->rows.row, MANY_USER) == (int64) user + 1)
			take_row(stream, count);
		stream->has_row = next_row(stream);
	}
	return stream->ratings;
}

void
fm_many_ratings_close(FmManyRatings *stream)
{
	if (stream->cursor != NULL)
	{
		fm_rows_end(&stream->rows);
		SPI_cursor_close(stream->cursor);
	}
	pfree(stream->ratings);
	pfree(stream);
}
