/*
 * Reading a ratings relation into memory: one pass by cursor, ids to dense indices on the way.
 *
 * The relation may be anything that can be selected from; who reads it is the caller's choice
 * (sql.h). Memory: the result is in the context that is current on entry; each batch of rows has one
 * of its own, so that what the id types' functions leave behind goes with it. Locking: AccessShareLock
 * by the query.
 */
#include "source/load_ratings.h"

#include "source/budget.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "parser/parse_type.h"
#include "pg/sql.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define ROWS_PER_FETCH 10000

static void
check_relation_kind(Oid relation)
{
	char kind = get_rel_relkind(relation);

	if (kind == '\0')
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the ratings relation (OID %u) does not exist", relation),
						errhint("Name another with ratings => '...'.")));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
		kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a table or view", get_rel_name(relation))));
}

static bool
is_boolean_column(Oid relation, const char *column)
{
	return getBaseType(get_atttype(relation, get_attnum(relation, column))) == BOOLOID;
}

static bool
is_number_type(Oid type)
{
	char category;
	bool preferred;

	get_type_category_preferred(getBaseType(type), &category, &preferred);
	return category == TYPCATEGORY_NUMERIC && getBaseType(type) != OIDOID;
}

static void
check_number_column(Oid relation, const char *column, const char *option)
{
	AttrNumber number = fm_column_number(relation, column, option);
	Oid type = get_atttype(relation, number);

	if (!is_number_type(type))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of relation \"%s\" is of type %s, not a number",
							   column, get_rel_name(relation), format_type_be(type)),
						errhint("Make a view of the relation that casts the column to real.")));
}

/* A number; in a classification it may also be a boolean. */
static void
check_rating_column(const FmDefinition *definition)
{
	Oid relation = definition->ratings;
	const char *column = definition->rating_column;

	(void) fm_column_number(relation, column, "rating_column");
	if (!is_boolean_column(relation, column))
		check_number_column(relation, column, "rating_column");
	else if (!fm_is_classification(definition->task))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of relation \"%s\" is of type boolean, not a number",
							   column, get_rel_name(relation)),
						errhint("Learn how probable a yes is with task => 'classification'.")));
}

void
fm_check_ratings_relation(const FmDefinition *definition, FmIdType *user_type, FmIdType *item_type)
{
	Oid relation = definition->ratings;

	check_relation_kind(relation);
	fm_id_type_of_column(relation,
						 fm_column_number(relation, definition->user_column, "user_column"),
						 user_type);
	fm_id_type_of_column(relation,
						 fm_column_number(relation, definition->item_column, "item_column"),
						 item_type);
	if (!fm_is_ranking(definition->task))
		check_rating_column(definition);
	if (definition->weight_column != NULL)
		check_number_column(relation, definition->weight_column, "weight_column");
	fm_check_context_columns(definition);
	if (definition->time_column != NULL)
		(void) fm_column_number(relation, definition->time_column, "time_column");
}

/* Whether a row is among the latest, as many as are to be held out; those of no known time are not. */
static void
append_is_late(StringInfo sql, const FmDefinition *definition)
{
	const char *column = quote_identifier(definition->time_column);

	appendStringInfo(sql,
					 ", coalesce(r.%s > (SELECT pg_catalog.percentile_disc(%.9g) WITHIN GROUP "
					 "(ORDER BY %s) FROM %s), false)",
					 column, 1 - (double) definition->test_size, column,
					 fm_relation_sql(definition->ratings));
}

/* Whether a column is there, with numbers in it or, if they will do, booleans. */
static bool
has_numbers(Oid relation, const char *column, bool or_booleans)
{
	Oid type = get_atttype(relation, get_attnum(relation, column));

	return OidIsValid(type) &&
		   (is_number_type(type) || (or_booleans && getBaseType(type) == BOOLOID));
}

bool
fm_ratings_are_readable(const FmDefinition *definition, Oid user_type, Oid item_type)
{
	Oid relation = definition->ratings;

	return get_rel_name(relation) != NULL &&
		   get_atttype(relation, get_attnum(relation, definition->user_column)) == user_type &&
		   get_atttype(relation, get_attnum(relation, definition->item_column)) == item_type &&
		   (fm_is_ranking(definition->task) ||
			has_numbers(relation, definition->rating_column,
						fm_is_classification(definition->task))) &&
		   (definition->weight_column == NULL ||
			has_numbers(relation, definition->weight_column, false));
}

void
fm_append_values(StringInfo sql, const FmDefinition *definition)
{
	if (fm_is_ranking(definition->task))
		appendStringInfoString(sql, ", 1::pg_catalog.float8");
	else
		appendStringInfo(sql, ", r.%s%s::pg_catalog.float8",
						 quote_identifier(definition->rating_column),
						 is_boolean_column(definition->ratings, definition->rating_column)
							 ? "::pg_catalog.int4"
							 : "");
	if (definition->weight_column != NULL)
		appendStringInfo(sql, ", r.%s::pg_catalog.float8",
						 quote_identifier(definition->weight_column));
}

static char *
ratings_query(const FmDefinition *definition)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT r.%s, r.%s", quote_identifier(definition->user_column),
					 quote_identifier(definition->item_column));
	fm_append_values(&sql, definition);
	for (int c = 0; c < definition->num_context_columns; c++)
		appendStringInfo(&sql, ", r.%s::pg_catalog.text",
						 quote_identifier(definition->context_columns[c]));
	if (definition->time_column != NULL)
		append_is_late(&sql, definition);
	appendStringInfo(&sql, " FROM %s r", fm_relation_sql(definition->ratings));
	return sql.data;
}

static void
check_rating(const FmDefinition *definition, double rating)
{
	if (isfinite(rating) && isfinite((float) rating))
		return;
	ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					errmsg("column \"%s\" of relation \"%s\" holds the rating %s",
						   definition->rating_column, get_rel_name(definition->ratings),
						   DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(rating)))),
					errdetail("Ratings must be finite and fit the type real."),
					errhint("Filter such rows out with a view.")));
}

static void
check_weight(const FmDefinition *definition, double weight)
{
	if (isfinite((float) weight) && weight >= 0)
		return;
	ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					errmsg("column \"%s\" of relation \"%s\" holds the weight %s",
						   definition->weight_column, get_rel_name(definition->ratings),
						   DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(weight)))),
					errdetail("Weights must be finite, not negative, and fit the type real."),
					errhint("Filter such rows out with a view.")));
}

bool
fm_take_values(const FmDefinition *definition, const Datum *values, const bool *nulls,
			   double *rating, double *weight)
{
	*weight = 1;
	if (definition->weight_column != NULL && !nulls[1])
	{
		*weight = DatumGetFloat8(values[1]);
		check_weight(definition, *weight);
	}
	/* a weight that a real cannot tell from 0 is none */
	if (nulls[0] || (definition->weight_column != NULL && nulls[1]) || (float) *weight == 0)
		return false;
	*rating = DatumGetFloat8(values[0]);
	check_rating(definition, *rating);
	return true;
}

FmReading *
fm_reading_create(const FmIdType *user_type, const FmIdType *item_type,
				  const FmDefinition *definition)
{
	FmReading *reading = palloc0(sizeof(FmReading));

	reading->users = fm_idmap_create(user_type, CurrentMemoryContext);
	reading->items = fm_idmap_create(item_type, CurrentMemoryContext);
	reading->capacity = 1024;
	reading->triples.user = palloc(reading->capacity * sizeof(int32));
	reading->triples.item = palloc(reading->capacity * sizeof(int32));
	reading->triples.value = palloc(reading->capacity * sizeof(float));
	if (definition->weight_column != NULL)
		reading->triples.weight = palloc(reading->capacity * sizeof(float));
	reading->contexts = fm_context_reading_create(definition);
	if (reading->contexts != NULL)
		reading->triples.context = palloc(reading->capacity * sizeof(int32));
	reading->min = INFINITY;
	reading->max = -INFINITY;
	return reading;
}

/* Append a triple, its ids interned. */
static void
add_rating(FmReading *reading, Datum user, Datum item, double rating, double weight, int32 context,
		   bool is_late)
{
	FmTriples *triples = &reading->triples;

	if (triples->count == reading->capacity)
	{
		reading->capacity *= 2;
		triples->user = repalloc_huge(triples->user, reading->capacity * sizeof(int32));
		triples->item = repalloc_huge(triples->item, reading->capacity * sizeof(int32));
		triples->value = repalloc_huge(triples->value, reading->capacity * sizeof(float));
		if (triples->weight != NULL)
			triples->weight = repalloc_huge(triples->weight, reading->capacity * sizeof(float));
		if (triples->context != NULL)
			triples->context = repalloc_huge(triples->context, reading->capacity * sizeof(int32));
		if (reading->is_late != NULL)
			reading->is_late = repalloc_huge(reading->is_late, reading->capacity * sizeof(bool));
	}
	if (triples->weight != NULL)
		triples->weight[triples->count] = (float) weight;
	if (triples->context != NULL)
		triples->context[triples->count] = context;
	if (reading->is_late != NULL)
		reading->is_late[triples->count] = is_late;
	triples->user[triples->count] = fm_idmap_intern(reading->users, user);
	triples->item[triples->count] = fm_idmap_intern(reading->items, item);
	triples->value[triples->count++] = (float) rating;
	reading->min = Min(reading->min, (float) rating);
	reading->max = Max(reading->max, (float) rating);
}

/* Take in one row; false if it is to be skipped. */
static bool
read_row(const FmDefinition *definition, const Datum *values, const bool *nulls, FmReading *reading)
{
	int first_context = definition->weight_column == NULL ? 3 : 4;
	int last = first_context + definition->num_context_columns;
	double rating;
	double weight;
	int32 context = 0;

	if (nulls[0] || nulls[1] ||
		!fm_take_values(definition, values + 2, nulls + 2, &rating, &weight))
		return false;
	if (reading->contexts != NULL)
		context = fm_intern_context(reading->contexts, values + first_context,
									nulls + first_context);
	add_rating(reading, values[0], values[1], rating, weight, context,
			   reading->is_late != NULL && DatumGetBool(values[last]));
	return true;
}

static void
read_batch(const FmDefinition *definition, FmReading *reading)
{
	SPITupleTable *rows = SPI_tuptable;
	uint64 num_rows = SPI_processed;
	int num_columns = rows->tupdesc->natts;
	Datum *values = palloc(num_columns * sizeof(Datum));
	bool *nulls = palloc(num_columns * sizeof(bool));

	for (uint64 r = 0; r < num_rows; r++)
	{
		heap_deform_tuple(rows->vals[r], rows->tupdesc, values, nulls);
		if (!read_row(definition, values, nulls, reading))
			reading->skipped++;
	}
}

void
fm_read_ratings(const FmDefinition *definition, bool read_only, FmReading *reading)
{
	int first_context = definition->weight_column == NULL ? 3 : 4;
	int num_columns = first_context + definition->num_context_columns;
	Oid *columns = palloc((num_columns + 1) * sizeof(Oid));
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "fmtopx ratings batch",
												ALLOCSET_DEFAULT_SIZES);
	Portal cursor = SPI_cursor_open_with_args(NULL, ratings_query(definition), 0, NULL, NULL, NULL,
											  read_only, 0);
	MemoryContext previous = MemoryContextSwitchTo(batch);

	columns[0] = fm_idmap_type(reading->users)->type;
	columns[1] = fm_idmap_type(reading->items)->type;
	for (int c = 2; c < num_columns; c++)
		columns[c] = c < first_context ? FLOAT8OID : TEXTOID;
	if (definition->time_column != NULL)
		columns[num_columns++] = BOOLOID;
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH);
		fm_spi_expect(columns, num_columns);
		if (SPI_processed == 0)
			break;
		read_batch(definition, reading);
		if (reading->is_training)
			fm_check_budget_while_reading(definition, reading->triples.count,
										  fm_context_reading_size(reading->contexts));
		SPI_freetuptable(SPI_tuptable);
		MemoryContextReset(batch);
	}
	SPI_freetuptable(SPI_tuptable);
	SPI_cursor_close(cursor);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(batch);
}

/* Replace indices in order of appearance by ranks in order of the ids. */
static void
rank_indices(int32 *indices, int64 count, const int32 *order, int32 num_ids)
{
	int32 *rank = MemoryContextAllocHuge(CurrentMemoryContext, Max(num_ids, 1) * sizeof(int32));

	for (int32 r = 0; r < num_ids; r++)
		rank[order[r]] = r;
	for (int64 i = 0; i < count; i++)
		indices[i] = rank[indices[i]];
	pfree(rank);
}

static void
check_something_read(const FmDefinition *definition, const FmReading *reading)
{
	const char *relation = get_rel_name(definition->ratings);
	StringInfoData columns;

	if (reading->triples.count == 0 && reading->skipped == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("relation \"%s\" has no rows to train on", relation)));
	if (reading->triples.count == 0)
	{
		initStringInfo(&columns);
		appendStringInfo(&columns, "\"%s\"", definition->user_column);
		if (fm_is_ranking(definition->task))
			appendStringInfo(&columns, " or \"%s\"", definition->item_column);
		else
			appendStringInfo(&columns, ", \"%s\" or \"%s\"", definition->item_column,
							 definition->rating_column);
		if (definition->weight_column != NULL)
			appendStringInfo(&columns, ", or no weight in column \"%s\"",
							 definition->weight_column);
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("relation \"%s\" has no ratings to train on", relation),
						errdetail("Each of its %lld rows has NULL in column %s.",
								  (long long) reading->skipped, columns.data)));
	}
	if (reading->min == reading->max && !fm_is_ranking(definition->task))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("all %lld ratings of relation \"%s\" are %g: there is nothing to learn",
						(long long) reading->triples.count, relation, reading->min),
				 fm_is_classification(definition->task)
					 ? errhint(
						   "task => 'classification' needs two: the larger means yes, the smaller "
						   "no. Where there is only one, learn from the rows being there with "
						   "task => 'ranking'.")
					 : errhint("task => 'regression' needs ratings that differ. Where they do not, "
							   "learn from the rows being there with task => 'ranking'.")));
}

/* The smallest rating above `floor`. */
static float
next_rating(const FmTriples *triples, float floor)
{
	float next = INFINITY;

	for (int64 r = 0; r < triples->count; r++)
		if (triples->value[r] > floor && triples->value[r] < next)
			next = triples->value[r];
	return next;
}

static void
check_two_labels(const FmDefinition *definition, const FmReading *reading)
{
	float second = next_rating(&reading->triples, reading->min);
	float third = next_rating(&reading->triples, second);

	if (third == INFINITY)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("column \"%s\" of relation \"%s\" has more than two values: %g, %g, %g%s",
					definition->rating_column, get_rel_name(definition->ratings), reading->min,
					second, third, third < reading->max ? " and more" : ""),
			 errhint(
				 "task => 'classification' needs two: the larger means yes, the smaller no. Make "
				 "a view of the relation that says, for example, rating >= 4 AS rating.")));
}

float
fm_label(const FmDefinition *definition, float no, float yes, float rating)
{
	if (rating != no && rating != yes)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("column \"%s\" of relation \"%s\" holds the rating %g",
						definition->rating_column, get_rel_name(definition->ratings), rating),
				 errdetail("The model was trained on %g (no) and %g (yes).", no, yes),
				 errhint("Make a view of the relation that has no others.")));
	return rating == yes ? 1 : 0;
}

void
fm_label_ratings(const FmDefinition *definition, FmReading *reading, float no, float yes)
{
	FmTriples *triples = &reading->triples;

	for (int64 r = 0; r < triples->count; r++)
		triples->value[r] = fm_label(definition, no, yes, triples->value[r]);
}

void
fm_load_in_order(FmLoad *load)
{
	FmReading *reading = load->reading;
	FmTriples *triples = &reading->triples;

	load->user_order = fm_idmap_order(reading->users);
	load->item_order = fm_idmap_order(reading->items);
	rank_indices(triples->user, triples->count, load->user_order, fm_idmap_count(reading->users));
	rank_indices(triples->item, triples->count, load->item_order, fm_idmap_count(reading->items));
}

int64 *
fm_digest_ratings(const FmLoad *load, int side)
{
	const FmReading *reading = load->reading;
	const FmTriples *triples = &reading->triples;
	const FmIdMap *others = side == FM_USERS ? reading->items : reading->users;
	const int32 *other_order = side == FM_USERS ? load->item_order : load->user_order;
	const int32 *own = side == FM_USERS ? triples->user : triples->item;
	const int32 *other = side == FM_USERS ? triples->item : triples->user;
	int32 num_own = fm_idmap_count(side == FM_USERS ? reading->users : reading->items);
	int32 num_others = fm_idmap_count(others);
	uint64 *digest = MemoryContextAllocExtended(CurrentMemoryContext,
												Max(num_own, 1) * sizeof(uint64),
												MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	uint32 *hash = MemoryContextAllocHuge(CurrentMemoryContext,
										  Max(num_others, 1) * sizeof(uint32));

	for (int32 e = 0; e < num_others; e++)
		hash[e] = fm_idmap_hash(others, other_order[e]);
	for (int64 r = 0; r < triples->count; r++)
	{
		struct
		{
			uint32 other;
			float value;
			float weight;
		} row = {hash[other[r]], triples->value[r],
				 triples->weight != NULL ? triples->weight[r] : 1};

		digest[own[r]] += hash_bytes_extended((const unsigned char *) &row, sizeof(row), 0);
		if (r % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	pfree(hash);
	return (int64 *) digest;
}

/* What the definition's relation says of the users or the items; ids it alone knows become known. */
static FmFeatureReading *
read_features(const FmDefinition *definition, FmReading *reading, int side)
{
	const char *key = side == FM_USERS ? definition->user_column : definition->item_column;
	FmIdMap *ids = side == FM_USERS ? reading->users : reading->items;

	if (!OidIsValid(definition->features[side]))
		return NULL;
	return fm_read_features(definition, definition->features[side], key, ids,
							fm_ratings_in_memory(definition, reading->triples.count,
												 fm_idmap_count(reading->users),
												 fm_idmap_count(reading->items)));
}

void
fm_load_ratings(const FmDefinition *definition, FmLoad *load)
{
	FmReading *reading;
	FmIdType user_type;
	FmIdType item_type;

	fm_check_ratings_relation(definition, &user_type, &item_type);
	fm_check_budget_to_read(definition);
	load->reading = reading = fm_reading_create(&user_type, &item_type, definition);
	reading->is_training = true;
	if (definition->time_column != NULL)
		reading->is_late = palloc(reading->capacity * sizeof(bool));
	fm_read_ratings(definition, false, reading);
	check_something_read(definition, reading);
	if (fm_is_classification(definition->task))
	{
		check_two_labels(definition, reading);
		fm_label_ratings(definition, reading, reading->min, reading->max);
	}

	for (int side = 0; side < 2; side++)
		load->features[side] = read_features(definition, reading, side);
	if (reading->contexts != NULL)
		fm_number_contexts(reading->contexts, &reading->triples);
	fm_load_in_order(load);
	if (load->features[FM_USERS] != NULL)
		rank_indices(load->features[FM_USERS]->entries.entity,
					 load->features[FM_USERS]->entries.count, load->user_order,
					 fm_idmap_count(reading->users));
	if (load->features[FM_ITEMS] != NULL)
		rank_indices(load->features[FM_ITEMS]->entries.entity,
					 load->features[FM_ITEMS]->entries.count, load->item_order,
					 fm_idmap_count(reading->items));
}
