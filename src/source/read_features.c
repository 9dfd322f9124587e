/*
 * Reading a relation of features into memory, in one pass by cursor. Ids and levels become indices
 * on the way.
 *
 * Numbers are read as float8, everything else as text: the text form of a value is its level, and
 * is stored readably in the model's tables. Memory: the result is in the context that is current on
 * entry; each batch of rows has a context of its own. Locking: AccessShareLock by the query.
 */
#include "source/read_features.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "pg/sql.h"
#include "source/budget.h"
#include "source/ratings_columns.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define ROWS_PER_FETCH 10000

/* Memory: an entry as it is read, in two sorted orders, and in its final place. */
#define BYTES_PER_ENTRY 48

/* Memory: the entry of a level in its id map and, estimated, its text. */
#define BYTES_PER_LEVEL 128

/* The state of fm_read_features. */
typedef struct Reading
{
	FmFeatureReading *result;
	FmIdMap *ids;
	int64 capacity;	 /* of the entries */
	int32 *column;	 /* of each entry, whose level is an index in the map of its column */
	int32 num_rated; /* ids that the ratings have */
	bool has_rows;
	bool has_rated; /* a row is of such an id */
} Reading;

/* What is read of a row: the id, then the columns of features. */
enum
{
	FEATURES_ID,
	FEATURES_FIRST
};

static FmColumn *
list_columns(const FmFeatureReading *reading, const char *key_column, const FmIdType *id_type)
{
	static const struct
	{
		const char *cast;
		Oid type;
	} kinds[] = {[FM_FEATURE_NUMBER] = {"float8", FLOAT8OID},
				 [FM_FEATURE_CATEGORY] = {"text", TEXTOID},
				 [FM_FEATURE_BAG] = {"text[]", TEXTARRAYOID}};
	FmColumn *columns = palloc((FEATURES_FIRST + reading->num_columns) * sizeof(FmColumn));

	columns[FEATURES_ID] = fm_id_column(quote_identifier(key_column),
										get_atttype(reading->relation,
													get_attnum(reading->relation, key_column)),
										id_type);
	for (int c = 0; c < reading->num_columns; c++)
	{
		const FmFeatureColumn *column = &reading->columns[c];

		columns[FEATURES_FIRST + c].type = kinds[column->kind].type;
		columns[FEATURES_FIRST + c].sql =
			psprintf("%s::pg_catalog.%s", quote_identifier(column->name), kinds[column->kind].cast);
	}
	return columns;
}

static void
add_entry(Reading *reading, int32 entity, int column, int32 level, float value)
{
	FmFeatureEntries *entries = &reading->result->entries;

	if (entries->count == reading->capacity)
	{
		reading->capacity *= 2;
		entries->entity = repalloc_huge(entries->entity, reading->capacity * sizeof(int32));
		entries->level = repalloc_huge(entries->level, reading->capacity * sizeof(int32));
		entries->value = repalloc_huge(entries->value, reading->capacity * sizeof(float));
		reading->column = repalloc_huge(reading->column, reading->capacity * sizeof(int32));
	}
	entries->entity[entries->count] = entity;
	entries->level[entries->count] = level;
	entries->value[entries->count] = value;
	reading->column[entries->count++] = column;
}

static void
add_number(Reading *reading, int32 entity, int column, double value)
{
	FmFeatureReading *result = reading->result;

	if (!isfinite((float) value))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("column \"%s\" of relation \"%s\" holds the number %s",
						result->columns[column].name, result->relation_name,
						DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(value)))),
				 errdetail("Features must be finite and fit the type real."),
				 errhint("Make a view of the relation that has NULL instead.")));
	result->columns[column].least = Min(result->columns[column].least, value);
	result->columns[column].greatest = Max(result->columns[column].greatest, value);
	add_entry(reading, entity, column, 0, (float) (value - result->columns[column].center));
}

static void
add_bag(Reading *reading, int32 entity, int column, ArrayType *array)
{
	FmIdMap *levels = reading->result->columns[column].levels;
	Datum *elements;
	bool *nulls;
	int length;
	int present = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &length);
	for (int i = 0; i < length; i++)
		present += !nulls[i];
	for (int i = 0; i < length; i++)
		if (!nulls[i])
			add_entry(reading, entity, column, fm_idmap_intern(levels, elements[i]),
					  (float) (1 / sqrt(present)));
}

static void
read_row(Reading *reading, const FmRow *row)
{
	const FmFeatureReading *result = reading->result;
	int32 entity;

	reading->has_rows = true;
	if (fm_row_is_null(row, FEATURES_ID))
		return;
	entity = fm_idmap_intern(reading->ids, fm_row_value(row, FEATURES_ID));
	reading->has_rated = reading->has_rated || entity < reading->num_rated;
	for (int c = 0; c < result->num_columns; c++)
	{
		Datum value = row->values[FEATURES_FIRST + c];

		if (fm_row_is_null(row, FEATURES_FIRST + c))
			continue;
		if (result->columns[c].kind == FM_FEATURE_NUMBER)
			add_number(reading, entity, c, DatumGetFloat8(value));
		else if (result->columns[c].kind == FM_FEATURE_BAG)
			add_bag(reading, entity, c, DatumGetArrayTypeP(value));
		else
			add_entry(reading, entity, c, fm_idmap_intern(result->columns[c].levels, value), 1);
	}
}

/* Fetch the next rows and add their entries; returns false if there are none. */
static bool
read_batch(Reading *reading, Portal cursor, const FmColumn *columns)
{
	FmRows rows;

	SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH);
	fm_rows_begin(&rows, columns, FEATURES_FIRST + reading->result->num_columns);
	while (fm_rows_next(&rows))
		read_row(reading, &rows.row);
	fm_rows_end(&rows);
	return rows.count > 0;
}

static void
create_level_maps(FmFeatureReading *result)
{
	for (int c = 0; c < result->num_columns; c++)
	{
		FmIdType text;

		if (result->columns[c].kind == FM_FEATURE_NUMBER)
			continue;
		fm_id_type_of_text(result->columns[c].collation, &text);
		result->columns[c].levels = fm_idmap_create(&text, CurrentMemoryContext);
	}
}

/* Record the center of a level of numbers. */
static void
set_center(FmFeatureEntries *entries, int32 level, double center)
{
	if (entries->center == NULL)
		entries->center = MemoryContextAllocExtended(CurrentMemoryContext,
													 entries->num_levels * sizeof(double),
													 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	entries->center[level] = center;
}

/* Number the levels over all columns, within a column in the order of their text. */
static void
number_levels(Reading *reading)
{
	FmFeatureReading *result = reading->result;
	FmFeatureEntries *entries = &result->entries;
	int64 total = 0;
	int32 **rank = palloc(result->num_columns * sizeof(int32 *));

	for (int c = 0; c < result->num_columns; c++)
	{
		FmFeatureColumn *column = &result->columns[c];

		column->first_level = (int32) total;
		column->num_levels = column->levels ? fm_idmap_count(column->levels) : 1;
		total += column->num_levels;
		if (total > PG_INT32_MAX)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("relation \"%s\" has more than %d different values",
								   result->relation_name, PG_INT32_MAX)));
		rank[c] = MemoryContextAllocHuge(CurrentMemoryContext,
										 Max(column->num_levels, 1) * sizeof(int32));
		rank[c][0] = 0;
		if (column->levels)
		{
			column->order = fm_idmap_order(column->levels);
			for (int32 r = 0; r < column->num_levels; r++)
				rank[c][column->order[r]] = r;
		}
	}
	for (int64 i = 0; i < entries->count; i++)
		entries->level[i] = result->columns[reading->column[i]].first_level +
							rank[reading->column[i]][entries->level[i]];
	entries->num_levels = (int32) total;
	entries->num_groups = result->num_columns;
	entries->group = MemoryContextAllocHuge(CurrentMemoryContext, (total + 1) * sizeof(int32));
	entries->is_numeric = MemoryContextAllocHuge(CurrentMemoryContext, total + 1);
	entries->center = NULL;
	for (int c = 0; c < result->num_columns; c++)
		if (result->columns[c].center != 0)
			set_center(entries, result->columns[c].first_level, result->columns[c].center);
	for (int c = 0; c < result->num_columns; c++)
		for (int32 l = 0; l < result->columns[c].num_levels; l++)
		{
			entries->group[result->columns[c].first_level + l] = c;
			entries->is_numeric[result->columns[c].first_level + l] = result->columns[c].kind ==
																	  FM_FEATURE_NUMBER;
		}
	for (int c = 0; c < result->num_columns; c++)
		pfree(rank[c]);
}

double
fm_features_reading_size(const FmFeatureReading *reading)
{
	double levels = 0;

	for (int c = 0; c < reading->num_columns; c++)
		levels += reading->columns[c].levels ? fm_idmap_count(reading->columns[c].levels) : 1;
	return (double) reading->entries.count * BYTES_PER_ENTRY + levels * BYTES_PER_LEVEL;
}

/* Read all rows. */
static void
read_relation(Reading *reading, const FmDefinition *definition, const char *key_column,
			  double bytes)
{
	FmFeatureReading *result = reading->result;
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "fmtopx features batch",
												ALLOCSET_DEFAULT_SIZES);
	FmColumn *columns = list_columns(result, key_column, fm_idmap_type(reading->ids));
	Portal cursor =
		fm_sql_open(psprintf("SELECT %s FROM %s",
							 fm_select_list(columns, FEATURES_FIRST + result->num_columns),
							 fm_relation_sql(result->relation)),
					NULL, false);
	MemoryContext previous = MemoryContextSwitchTo(batch);

	result->entries.count = 0;
	while (read_batch(reading, cursor, columns))
	{
		fm_check_budget_of_features(definition, result->relation,
									bytes + fm_features_reading_size(result));
		MemoryContextReset(batch);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(cursor);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(batch);
}

/*
 * Give a center to each column of numbers that are so far from 0 that reals cannot tell them apart.
 * Return whether there is one. Other columns have none, so that their numbers stay what they are.
 */
static bool
choose_centers(FmFeatureReading *reading)
{
	bool found = false;

	for (int c = 0; c < reading->num_columns; c++)
	{
		FmFeatureColumn *column = &reading->columns[c];
		double range = column->greatest - column->least;

		if (column->kind != FM_FEATURE_NUMBER || !(range > 0) ||
			Max(fabs(column->least), fabs(column->greatest)) <= FM_FAR * range)
			continue;
		column->center = column->least + range / 2;
		found = true;
	}
	return found;
}

FmFeatureReading *
fm_read_features(const FmDefinition *definition, Oid relation, const char *key_column, FmIdMap *ids,
				 double bytes)
{
	FmFeatureReading *result = palloc0(sizeof(FmFeatureReading));
	Reading reading = {.result = result,
					   .ids = ids,
					   .capacity = 1024,
					   .num_rated = fm_idmap_count(ids)};

	result->relation = relation;
	result->relation_name = get_rel_name(relation);
	result->columns = fm_list_feature_columns(relation, get_attnum(relation, key_column),
											  &result->num_columns);
	create_level_maps(result);
	result->entries.entity = palloc(reading.capacity * sizeof(int32));
	result->entries.level = palloc(reading.capacity * sizeof(int32));
	result->entries.value = palloc(reading.capacity * sizeof(float));
	reading.column = palloc(reading.capacity * sizeof(int32));
	read_relation(&reading, definition, key_column, bytes);
	if (choose_centers(result))
		read_relation(&reading, definition, key_column, bytes);
	if (reading.has_rows && !reading.has_rated)
		ereport(NOTICE, (errmsg("no id in column \"%s\" of relation \"%s\" occurs in the ratings",
								key_column, result->relation_name),
						 errdetail("All of its features are of users or items without ratings.")));
	number_levels(&reading);
	pfree(reading.column);
	return result;
}

void
fm_report_idle_columns(const FmFeatureReading *reading)
{
	for (int c = 0; c < reading->num_columns; c++)
	{
		const FmFeatureColumn *column = &reading->columns[c];
		bool idle = true;

		for (int32 l = 0; l < column->num_levels && idle; l++)
			idle = reading->entries.place[column->first_level + l] < 0;
		if (idle)
			ereport(NOTICE, (errmsg("column \"%s\" of relation \"%s\" has no part in the model",
									column->name, reading->relation_name),
							 column->kind == FM_FEATURE_NUMBER
								 ? errdetail("It does not hold two different numbers.")
								 : errdetail("None of its %d values occurs more than once.",
											 column->num_levels)));
	}
}

char *
fm_feature_level_name(const FmFeatureColumn *column, int32 level)
{
	if (column->levels == NULL)
		return NULL;
	return TextDatumGetCString(
		fm_idmap_id(column->levels, column->order[level - column->first_level]));
}
