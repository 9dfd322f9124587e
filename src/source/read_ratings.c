/*
 * Reading a ratings relation into memory, in one pass by cursor. Ids become dense indices on the
 * way.
 *
 * The relation may be anything that can be selected from. The caller chooses the role that reads it
 * (pg/sql.h). Memory: the result is in the context that is current on entry. Each batch of rows has
 * a context of its own, which also frees what the functions of the id types allocate. Locking:
 * AccessShareLock by the query.
 */
#include "source/read_ratings.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "pg/sql.h"
#include "source/budget.h"
#include "source/ratings_columns.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define ROWS_PER_FETCH 10000

/* Append whether a row is among the latest test_size of all rows. A row without a time is not. */
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

FmRatingReading *
fm_rating_reading_create(const FmIdType *user_type, const FmIdType *item_type,
						 const FmDefinition *definition)
{
	FmRatingReading *reading = palloc0(sizeof(FmRatingReading));

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

/* Append a triple, with indices in place of the ids. */
static void
add_rating(FmRatingReading *reading, Datum user, Datum item, double rating, double weight,
		   int32 context, bool is_late)
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

/* Add one row to the reading; returns false if it is skipped. */
static bool
read_row(const FmDefinition *definition, const Datum *values, const bool *nulls,
		 FmRatingReading *reading)
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
read_batch(const FmDefinition *definition, FmRatingReading *reading)
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
fm_read_ratings(const FmDefinition *definition, bool read_only, FmRatingReading *reading)
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

void
fm_label_ratings(const FmDefinition *definition, FmRatingReading *reading, float no, float yes)
{
	FmTriples *triples = &reading->triples;

	for (int64 r = 0; r < triples->count; r++)
		triples->value[r] = fm_label(definition, no, yes, triples->value[r]);
}
