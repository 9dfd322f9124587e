/*
 * The table of levels: one row for each level of a feature or context in a version.
 *
 * Rows are collected in a tuplestore and inserted by one statement (version_rows.c). Memory: one
 * row at a time has a context of its own; the tuplestore spills to disk beyond work_mem. Locking:
 * the statements' own.
 */
#include "store/levels.h"

#include "catalog/pg_type.h"
#include "pg/real_array.h"
#include "pg/sql.h"
#include "store/tables.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define LEVEL_COLUMNS 8

static TupleDesc
level_row_desc(void)
{
	TupleDesc desc = CreateTemplateTupleDesc(LEVEL_COLUMNS);

	TupleDescInitEntry(desc, 1, "idx", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 2, "name", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 3, "side", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 4, "feature", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 5, "level", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 6, "mean", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, 7, "w", FLOAT4OID, -1, 0);
	TupleDescInitEntry(desc, 8, "v", FLOAT4ARRAYOID, -1, 0);
	return desc;
}

/* Rows for levels on their way to the table. */
typedef struct LevelRows
{
	Tuplestorestate *store;
	TupleDesc desc;
	int32 count;
	const FmParameters *parameters;
	const float *w; /* of the side at hand, as is v */
	const float *v;
	MemoryContext row_context;
} LevelRows;

/*
 * One level, or what is added to the sum of all (feature NULL). A number's w and v are for the
 * number itself, less its mean, not for the standardised one.
 */
static void
put_level(LevelRows *rows, const char *side, int32 row, const char *feature, const char *level,
		  double mean, double deviation)
{
	int k = rows->parameters->num_factors;
	const float *v = rows->v + (Size) row * k;
	MemoryContext previous = MemoryContextSwitchTo(rows->row_context);
	float *scaled = palloc(k * sizeof(float));
	bool nulls[LEVEL_COLUMNS] = {false};
	Datum values[LEVEL_COLUMNS];
	StringInfoData name;

	for (int f = 0; f < k; f++)
		scaled[f] = (float) (v[f] / deviation);
	initStringInfo(&name);
	appendStringInfoString(&name, side);
	if (feature != NULL)
		appendStringInfo(&name, ".%s", feature);
	if (level != NULL)
		appendStringInfo(&name, " = %s", level);
	values[0] = Int32GetDatum(rows->count++);
	values[1] = CStringGetTextDatum(name.data);
	values[2] = CStringGetTextDatum(side);
	nulls[3] = feature == NULL;
	values[3] = feature == NULL ? (Datum) 0 : CStringGetTextDatum(feature);
	nulls[4] = level == NULL;
	values[4] = level == NULL ? (Datum) 0 : CStringGetTextDatum(level);
	values[5] = Float8GetDatum(mean);
	values[6] = Float4GetDatum((float) (rows->w[row] / deviation));
	values[7] = fm_real_array(scaled, k);
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(rows->row_context);
	CHECK_FOR_INTERRUPTS();
}

static void
put_side_levels(LevelRows *rows, const char *side, const FmFeatureReading *reading,
				int32 num_levels)
{
	const FmFeatureEntries *entries;

	if (num_levels == 0)
		return;
	entries = &reading->entries;
	put_level(rows, side, num_levels, NULL, NULL, 0, 1);
	for (int c = 0; c < reading->num_columns; c++)
	{
		const FmFeatureColumn *column = &reading->columns[c];

		for (int32 l = column->first_level; l < column->first_level + column->num_levels; l++)
			if (entries->place[l] >= 0)
				put_level(rows, side, entries->place[l], column->name,
						  fm_feature_level_name(column, l), entries->mean[l],
						  entries->deviation[l]);
	}
}

/* The levels of contexts; one that is NULL has no level, but has a column. */
static void
put_context_levels(LevelRows *rows, const FmContextReading *reading)
{
	for (int32 l = 0; reading != NULL && l < reading->contexts.num_levels; l++)
	{
		int column;
		char *level = fm_context_level_name(reading, l, &column);

		put_level(rows, "context", l, reading->columns[column].name, level, 0, 1);
	}
}

void
fm_store_levels(FmModel *model, int version, const FmResult *result)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(version)};
	const FmContextReading *contexts = result->data->ratings->contexts;
	LevelRows rows = {.parameters = result->parameters};

	if ((result->features == NULL || (result->features[FM_USERS].num_levels == 0 &&
									  result->features[FM_ITEMS].num_levels == 0)) &&
		contexts == NULL)
		return;
	if (!OidIsValid(model->level_table))
		fm_store_create_level_table(model);
	rows.desc = level_row_desc();
	rows.store = tuplestore_begin_heap(true, false, work_mem);
	rows.row_context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx row",
											 ALLOCSET_SMALL_SIZES);
	for (int side = 0; side < 2; side++)
	{
		rows.w = result->parameters->level_w[side];
		rows.v = result->parameters->level_v[side];
		put_side_levels(&rows, side == FM_USERS ? "user" : "item", result->data->features[side],
						result->features[side].num_levels);
	}
	rows.w = result->parameters->context_w;
	rows.v = result->parameters->context_v;
	put_context_levels(&rows, contexts);
	fm_spi_register_rows("new_rows", rows.desc, rows.store, rows.count);
	fm_spi_execute(psprintf("INSERT INTO %s (version, idx, name, side, feature, level, mean, w, v) "
							"SELECT $1, idx, name, side, feature, level, mean, w, v FROM new_rows",
							fm_relation_sql(model->level_table)),
				   1, types, values, NULL, false);
	SPI_unregister_relation("new_rows");
	tuplestore_end(rows.store);
	MemoryContextDelete(rows.row_context);
}

int64
fm_store_copy_levels(const FmModel *model, int version, int from_version)
{
	Oid types[] = {INT4OID, INT4OID};
	Datum values[] = {Int32GetDatum(version), Int32GetDatum(from_version)};
	char *table;

	if (!OidIsValid(model->level_table))
		return 0;
	table = fm_relation_sql(model->level_table);
	fm_spi_execute(psprintf("INSERT INTO %s (version, idx, name, side, feature, level, mean, w, v) "
							"SELECT $1, idx, name, side, feature, level, mean, w, v FROM %s "
							"WHERE version = $2",
							table, table),
				   2, types, values, NULL, false);
	return (int64) SPI_processed;
}
