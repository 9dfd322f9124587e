/*
 * What one user has rated, read live from the ratings relation.
 *
 * The statement is `WHERE user = $1`, so that an index on the relation's user column serves it. It
 * runs as the model's owner, who may be allowed to read what the caller may not. If item ids are
 * integers, only the ratings relation is read, and the ids are looked up in memory. Other ids are
 * joined to the item table, so that items are the same exactly when SQL calls their ids equal.
 * Memory: the context of the call. Locking: that of the queries.
 */
#include "serve/seen.h"

#include "catalog/pg_type.h"
#include "core/bitset.h"
#include "serve/items.h"
#include "source/ratings_columns.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

void
fm_check_ratings(const FmServing *serving)
{
	const FmDefinition *definition = &serving->model.definition;
	const char *columns[] = {definition->user_column, definition->item_column};
	Oid types[] = {serving->loaded->user_type.type, serving->loaded->item_type.type};
	char *relation = get_rel_name(definition->ratings);

	if (relation == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the ratings relation of model \"%s\" (OID %u) no longer exists",
							   serving->model.name, definition->ratings),
						errhint("Train the model on another relation with ratings => '...', or use "
								"exclude_seen => false.")));
	for (int i = 0; i < lengthof(columns); i++)
	{
		AttrNumber number = get_attnum(definition->ratings, columns[i]);

		if (number == InvalidAttrNumber)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("column \"%s\" of relation \"%s\" no longer exists", columns[i],
								   relation),
							errdetail("Model \"%s\" was trained from it.", serving->model.name),
							errhint("Train the model again, or use exclude_seen => false.")));
		if (!fm_id_types_match(get_atttype(definition->ratings, number), types[i]))
			ereport(
				ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s now, but model \"%s\" was "
						"trained on type %s",
						columns[i], relation,
						format_type_be(get_atttype(definition->ratings, number)),
						serving->model.name, format_type_be(types[i])),
				 errhint("Train the model on it again with ratings => '...', or use "
						 "exclude_seen => false.")));
	}
}

/* The columns of the queries for a user's items; the last two only for the user's ratings. */
enum
{
	SEEN_ITEM,
	OWN_RATING,
	OWN_WEIGHT,
	NUM_OWN_COLUMNS
};

/* Return the item column: the id, or idx after the join. */
static FmColumn
seen_item_column(const FmServing *serving)
{
	const FmDefinition *definition = &serving->model.definition;
	const char *item = definition->item_column;

	if (serving->loaded->item_type.is_integer)
		return fm_id_column(psprintf("r.%s", quote_identifier(item)),
							get_atttype(definition->ratings, get_attnum(definition->ratings, item)),
							&serving->loaded->item_type);
	return (FmColumn){"i.idx", INT4OID};
}

/* Return the query for a user's items. */
static char *
seen_query(const FmServing *serving, const FmColumn *columns, int num_columns)
{
	const FmLoaded *loaded = serving->loaded;
	const FmModel *model = &serving->model;
	char *ratings = fm_relation_sql(model->definition.ratings);
	char *user = psprintf("r.%s", quote_identifier(model->definition.user_column));
	char *item = psprintf("r.%s", quote_identifier(model->definition.item_column));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	fm_append_select_list(&sql, columns, num_columns);
	appendStringInfo(&sql, " FROM %s r ", ratings);
	if (loaded->item_type.is_integer)
		appendStringInfo(&sql, "WHERE %s IS NOT NULL AND ", item);
	else
	{
		appendStringInfo(&sql, "JOIN %s i ON i.version = $2 AND ",
						 fm_relation_sql(model->item_table));
		fm_append_equality(&sql, "i.item_id", loaded->item_type.type, item);
		appendStringInfoString(&sql, " WHERE ");
	}
	fm_append_equality(&sql, user, loaded->user_type.type, "$1");
	return sql.data;
}

/* Run the query and start to read its rows. */
static void
begin_seen_query(FmPlan *plan, const FmServing *serving, Datum user_id, const FmColumn *columns,
				 int num_columns, FmRows *rows)
{
	const FmLoaded *loaded = serving->loaded;
	FmSqlParameters parameters = {0};

	fm_add_parameter(&parameters, loaded->user_type.type, user_id, false);
	if (!loaded->item_type.is_integer)
		fm_add_integer(&parameters, loaded->version.number);
	fm_plan_run(plan, seen_query(serving, columns, num_columns), &parameters, serving->read_only);
	fm_rows_begin(rows, columns, num_columns);
}

/* Return the idx of an item in a row of the last result, or -1. */
static inline int32
seen_item(const FmLoaded *loaded, const FmRow *row)
{
	Datum value;

	if (fm_row_is_null(row, SEEN_ITEM))
		return -1;
	value = fm_row_value(row, SEEN_ITEM);
	if (!loaded->item_type.is_integer)
		return fm_loaded_check_idx(loaded, DatumGetInt32(value));
	return fm_image_find_integer(loaded->image, fm_id_as_int64(&loaded->item_type, value));
}

void
fm_add_seen_items(const FmServing *serving, Datum user_id, uint64 *set)
{
	FmLoaded *loaded = serving->loaded;
	FmColumn column;
	FmRows rows;

	if (!fm_knows_seen(serving))
		return;
	fm_check_ratings(serving);
	column = seen_item_column(serving);
	begin_seen_query(&loaded->seen_plan, serving, user_id, &column, 1, &rows);
	while (fm_rows_next(&rows))
	{
		int32 item = seen_item(loaded, &rows.row);

		if (item >= 0)
			fm_bitset_add(set, item);
	}
	fm_rows_end(&rows);
}

float
fm_own_rating_value(const FmDefinition *definition, const FmVersion *version, double rating)
{
	if (fm_is_classification(version->task))
		return fm_label(definition, version->rating_min, version->rating_max, (float) rating);
	return (float) (fm_plausible_rating(version, rating) - fm_version_center(version));
}

FmOwnRating *
fm_own_ratings(const FmServing *serving, Datum user_id, int64 *count)
{
	FmLoaded *loaded = serving->loaded;
	FmDefinition definition = serving->model.definition;
	FmColumn columns[NUM_OWN_COLUMNS];
	int num_columns;
	FmRows rows;
	FmOwnRating *ratings;

	*count = 0;
	/* the task of the version, not that of a later definition */
	definition.task = loaded->version.task;
	if (!fm_ratings_are_readable(&definition, loaded->user_type.type, loaded->item_type.type))
		return NULL;
	columns[SEEN_ITEM] = seen_item_column(serving);
	num_columns = OWN_RATING + fm_value_columns(&definition, columns + OWN_RATING);
	begin_seen_query(&loaded->own_plan, serving, user_id, columns, num_columns, &rows);
	ratings = MemoryContextAllocHuge(CurrentMemoryContext, (rows.count + 1) * sizeof(FmOwnRating));
	while (fm_rows_next(&rows))
	{
		double rating;
		double weight;
		int32 item = seen_item(loaded, &rows.row);

		if (fm_take_values(&definition, rows.values + OWN_RATING, rows.nulls + OWN_RATING, &rating,
						   &weight) &&
			item >= 0)
			ratings[(*count)++] =
				(FmOwnRating){item, fm_own_rating_value(&definition, &loaded->version, rating),
							  (float) weight};
	}
	fm_rows_end(&rows);
	return ratings;
}
