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
		if (get_atttype(definition->ratings, number) != types[i])
			ereport(
				ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s now, but model \"%s\" was "
						"trained on type %s",
						columns[i], relation,
						format_type_be(get_atttype(definition->ratings, number)),
						serving->model.name, format_type_be(types[i])),
				 errhint("Train the model under another name, or use exclude_seen => false.")));
	}
}

/* Return the query for a user's items; with ratings and weights if `values` is given. */
static char *
seen_query(const FmServing *serving, const FmDefinition *values)
{
	const FmLoaded *loaded = serving->loaded;
	const FmModel *model = &serving->model;
	char *ratings = fm_relation_sql(model->definition.ratings);
	char *user = psprintf("r.%s", quote_identifier(model->definition.user_column));
	char *item = psprintf("r.%s", quote_identifier(model->definition.item_column));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s", loaded->item_type.is_integer ? item : "i.idx");
	if (values != NULL)
		fm_append_values(&sql, values);
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

/* Return the type of the item column of these queries: ids, or idx after the join. */
static Oid
seen_item_type(const FmLoaded *loaded)
{
	return loaded->item_type.is_integer ? loaded->item_type.type : INT4OID;
}

/* Return the idx of an item in a row of the last result, or -1. */
static inline int32
seen_item(const FmLoaded *loaded, Datum value)
{
	if (!loaded->item_type.is_integer)
		return fm_loaded_check_idx(loaded, DatumGetInt32(value));
	return fm_image_find_integer(loaded->image, fm_id_as_int64(&loaded->item_type, value));
}

void
fm_add_seen_items(const FmServing *serving, Datum user_id, uint64 *set)
{
	FmLoaded *loaded = serving->loaded;
	const Oid columns[] = {seen_item_type(loaded)};
	Oid types[] = {loaded->user_type.type, INT4OID};
	Datum values[] = {user_id, Int32GetDatum(loaded->version)};

	if (!fm_knows_seen(serving))
		return;
	fm_check_ratings(serving);
	fm_plan_execute(&loaded->seen_plan, seen_query(serving, NULL),
					loaded->item_type.is_integer ? 1 : 2, types, values, serving->read_only);
	fm_spi_expect(columns, 1);
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		int32 item = seen_item(loaded, fm_spi_value_not_null(r, 1));

		if (item >= 0)
			fm_bitset_add(set, item);
	}
	SPI_freetuptable(SPI_tuptable);
}

FmOwnRating *
fm_own_ratings(const FmServing *serving, Datum user_id, int64 *count)
{
	FmLoaded *loaded = serving->loaded;
	FmDefinition definition = serving->model.definition;
	const Oid columns[] = {seen_item_type(loaded), FLOAT8OID, FLOAT8OID};
	Oid types[] = {loaded->user_type.type, INT4OID};
	Datum values[] = {user_id, Int32GetDatum(loaded->version)};
	FmOwnRating *ratings;

	*count = 0;
	/* the task of the version, not that of a later definition */
	definition.task = loaded->is_ranking		  ? FM_TASK_RANKING
					  : loaded->is_classification ? FM_TASK_CLASSIFICATION
												  : FM_TASK_REGRESSION;
	if (!fm_ratings_are_readable(&definition, loaded->user_type.type, loaded->item_type.type))
		return NULL;
	fm_plan_execute(&loaded->own_plan, seen_query(serving, &definition),
					loaded->item_type.is_integer ? 1 : 2, types, values, serving->read_only);
	fm_spi_expect(columns, definition.weight_column == NULL ? 2 : 3);
	ratings = MemoryContextAllocHuge(CurrentMemoryContext,
									 (SPI_processed + 1) * sizeof(FmOwnRating));
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		Datum row[3];
		bool nulls[3];
		double rating;
		double weight;
		int32 item;

		heap_deform_tuple(SPI_tuptable->vals[r], SPI_tuptable->tupdesc, row, nulls);
		item = nulls[0] ? -1 : seen_item(loaded, row[0]);
		if (fm_take_values(&definition, row + 1, nulls + 1, &rating, &weight) && item >= 0)
			ratings[(*count)++] = (FmOwnRating){item, (float) rating, (float) weight};
	}
	SPI_freetuptable(SPI_tuptable);
	return ratings;
}
