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
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define ROWS_PER_FETCH 10000

/* What is read of a row: first these, then the contexts, then whether the row is late, its time. */
enum
{
	RATING_USER,
	RATING_ITEM,
	RATING_VALUES
};

typedef struct RatingColumns
{
	FmColumn *columns;
	int first_context;
	int late; /* only with a split column */
	int time; /* only with a time column */
	int count;
} RatingColumns;

/*
 * Return SQL for whether a row is among the latest test_size of all rows; one without a time is
 * not.
 */
static char *
late_sql(const FmDefinition *definition)
{
	const char *column = quote_identifier(definition->split_column);

	return psprintf("coalesce(r.%s > (SELECT pg_catalog.percentile_disc(%.9g) WITHIN GROUP "
					"(ORDER BY %s) FROM %s), false)",
					column, 1 - (double) definition->test_size, column,
					fm_relation_sql(definition->ratings));
}

/* Return the column of the ids of one side, as the type of their map. */
static FmColumn
id_column(const FmDefinition *definition, const char *column, const FmIdMap *ids)
{
	return fm_id_column(psprintf("r.%s", quote_identifier(column)),
						get_atttype(definition->ratings, get_attnum(definition->ratings, column)),
						fm_idmap_type(ids));
}

static RatingColumns
list_columns(const FmDefinition *definition, const FmRatingReading *reading)
{
	int num_contexts = definition->num_context_columns;
	RatingColumns list = {palloc((RATING_VALUES + 4 + num_contexts) * sizeof(FmColumn))};
	FmColumn *columns = list.columns;

	columns[RATING_USER] = id_column(definition, definition->user_column, reading->users);
	columns[RATING_ITEM] = id_column(definition, definition->item_column, reading->items);
	list.first_context = RATING_VALUES + fm_value_columns(definition, columns + RATING_VALUES);
	list.late = list.first_context + num_contexts;
	for (int c = 0; c < num_contexts; c++)
		columns[list.first_context + c] = (FmColumn){
			psprintf("r.%s::pg_catalog.text", quote_identifier(definition->context_columns[c])),
			TEXTOID};
	list.count = list.late;
	if (definition->split_column != NULL)
		columns[list.count++] = (FmColumn){late_sql(definition), BOOLOID};
	list.time = list.count;
	if (definition->time_column != NULL)
		columns[list.count++] = (FmColumn){fm_time_sql(definition), FLOAT8OID};
	return list;
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
	if (definition->time_column != NULL)
		reading->time = palloc(reading->capacity * sizeof(double));
	fm_rating_reading_rewind(reading, 0);
	return reading;
}

void
fm_rating_reading_rewind(FmRatingReading *reading, double center)
{
	reading->triples.count = 0;
	reading->skipped = 0;
	reading->min = INFINITY;
	reading->max = -INFINITY;
	reading->center = center;
	reading->least = INFINITY;
	reading->greatest = -INFINITY;
	reading->sum_from_first = 0;
	reading->total_weight = 0;
}

/* Into how many parts the range is divided to round the mean. */
#define MEAN_PARTS 65536

double
fm_rating_reading_mean(const FmRatingReading *reading)
{
	double mean = reading->first + reading->sum_from_first / reading->total_weight;
	double range = reading->greatest - reading->least;

	return reading->least +
		   round((mean - reading->least) / range * MEAN_PARTS) / MEAN_PARTS * range;
}

/* Keep what the mean and the range of the ratings are computed from. */
static inline void
count_rating(FmRatingReading *reading, double rating, double weight)
{
	if (reading->triples.count == 0)
		reading->first = rating;
	reading->sum_from_first += weight * (rating - reading->first);
	reading->total_weight += weight;
	reading->least = Min(reading->least, rating);
	reading->greatest = Max(reading->greatest, rating);
	reading->min = Min(reading->min, (float) rating);
	reading->max = Max(reading->max, (float) rating);
}

/* Return a rating relative to the center, which other ratings than these may have determined. */
static float
relative_value(const FmRatingReading *reading, double rating)
{
	float value = (float) (rating - reading->center);

	if (!isfinite(value))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("the rating %g is too far from the mean rating %g for type real",
							   rating, reading->center),
						errhint("Filter such rows out with a view.")));
	return value;
}

/* Append a triple, with indices in place of the ids. */
static void
add_rating(FmRatingReading *reading, Datum user, Datum item, double rating, double weight,
		   int32 context, bool is_late, double time)
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
		if (reading->time != NULL)
			reading->time = repalloc_huge(reading->time, reading->capacity * sizeof(double));
	}
	count_rating(reading, rating, weight);
	if (triples->weight != NULL)
		triples->weight[triples->count] = (float) weight;
	if (triples->context != NULL)
		triples->context[triples->count] = context;
	if (reading->is_late != NULL)
		reading->is_late[triples->count] = is_late;
	if (reading->time != NULL)
		reading->time[triples->count] = time;
	triples->user[triples->count] = fm_idmap_intern(reading->users, user);
	triples->item[triples->count] = fm_idmap_intern(reading->items, item);
	triples->value[triples->count++] = relative_value(reading, rating);
}

/* Add one row to the reading; returns false if it is skipped. */
static bool
read_row(const FmDefinition *definition, const RatingColumns *columns, const FmRow *row,
		 FmRatingReading *reading)
{
	double rating;
	double weight;
	int32 context = 0;

	if (fm_row_is_null(row, RATING_USER) || fm_row_is_null(row, RATING_ITEM) ||
		!fm_take_values(definition, row->values + RATING_VALUES, row->nulls + RATING_VALUES,
						&rating, &weight))
		return false;
	if (reading->contexts != NULL)
		context = fm_intern_context(reading->contexts, row->values + columns->first_context,
									row->nulls + columns->first_context);
	add_rating(reading, fm_row_value(row, RATING_USER), fm_row_value(row, RATING_ITEM), rating,
			   weight, context, reading->is_late != NULL && fm_row_boolean(row, columns->late),
			   reading->time != NULL ? fm_row_double_or(row, columns->time, NAN) : NAN);
	return true;
}

/* Read the rows that have been fetched; returns false if there are none. */
static bool
read_batch(const FmDefinition *definition, const RatingColumns *columns, FmRatingReading *reading)
{
	FmRows rows;

	fm_rows_begin(&rows, columns->columns, columns->count);
	while (fm_rows_next(&rows))
		if (!read_row(definition, columns, &rows.row, reading))
			reading->skipped++;
	if (rows.count > 0 && reading->is_training)
		fm_check_budget_while_reading(definition, reading->triples.count,
									  fm_context_reading_size(reading->contexts));
	fm_rows_end(&rows);
	return rows.count > 0;
}

void
fm_read_ratings(const FmDefinition *definition, bool read_only, FmRatingReading *reading)
{
	RatingColumns columns = list_columns(definition, reading);
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "fmtopx ratings batch",
												ALLOCSET_DEFAULT_SIZES);
	Portal cursor = fm_sql_open(psprintf("SELECT %s FROM %s r",
										 fm_select_list(columns.columns, columns.count),
										 fm_relation_sql(definition->ratings)),
								NULL, read_only);
	MemoryContext previous = MemoryContextSwitchTo(batch);

	do
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(batch);
		SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH);
	} while (read_batch(definition, &columns, reading));
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
