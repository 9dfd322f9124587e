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
#include "pg/sql_input.h"
#include "pg/sql_rows.h"
#include "store/tables.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* The columns of the table, without the version. */
enum
{
	COL_IDX,
	COL_NAME,
	COL_SIDE,
	COL_FEATURE,
	COL_LEVEL,
	COL_MEAN,
	COL_W,
	COL_V,
	NUM_FIRST_COLUMNS,
	COL_INTEREST_W = NUM_FIRST_COLUMNS, /* these only with an interest head */
	COL_INTEREST_V,
	NUM_COLUMNS
};

static const FmColumn columns[NUM_COLUMNS] = {
	[COL_IDX] = {"idx", INT4OID},
	[COL_NAME] = {"name", TEXTOID},
	[COL_SIDE] = {"side", TEXTOID},
	[COL_FEATURE] = {"feature", TEXTOID},
	[COL_LEVEL] = {"level", TEXTOID},
	[COL_MEAN] = {"mean", FLOAT8OID},
	[COL_W] = {"w", FLOAT4OID},
	[COL_V] = {"v", FLOAT4ARRAYOID},
	[COL_INTEREST_W] = {"interest_w", FLOAT4OID},
	[COL_INTEREST_V] = {"interest_v", FLOAT4ARRAYOID},
};

static TupleDesc
level_row_desc(int num_columns)
{
	TupleDesc desc = CreateTemplateTupleDesc(num_columns);

	for (int c = 0; c < num_columns; c++)
		TupleDescInitEntry(desc, (AttrNumber) (c + 1), columns[c].sql, columns[c].type, -1, 0);
	return desc;
}

/* Rows that are collected for the table. */
typedef struct LevelRows
{
	Tuplestorestate *store;
	TupleDesc desc;
	int32 count;
	int num_columns;
	/* of the current side: each head's w and v; those of contexts have no interest */
	const float *w[2];
	const float *v[2];
	int num_factors[2];
	MemoryContext row_context;
} LevelRows;

/* The heads of LevelRows. */
enum
{
	RATING,
	INTEREST
};

/* Set w and v of one head of a level; zeros if the side has none. */
static void
set_head(const LevelRows *rows, int head, int32 row, double deviation, Datum *w, Datum *v)
{
	int k = rows->num_factors[head];
	float *scaled = palloc0(k * sizeof(float));

	*w = Float4GetDatum(rows->w[head] == NULL ? 0 : (float) (rows->w[head][row] / deviation));
	for (int f = 0; rows->v[head] != NULL && f < k; f++)
		scaled[f] = (float) (rows->v[head][(Size) row * k + f] / deviation);
	*v = fm_real_array(scaled, k);
}

/*
 * Collect one level or, if feature is NULL, what is added to the sum of all levels of the side. The
 * solver's w and v of a number apply to the standardised number; those stored apply to the number
 * itself less its mean.
 */
static void
put_level(LevelRows *rows, const char *side, int32 row, const char *feature, const char *level,
		  double mean, double deviation)
{
	MemoryContext previous = MemoryContextSwitchTo(rows->row_context);
	bool nulls[NUM_COLUMNS] = {false};
	Datum values[NUM_COLUMNS];
	StringInfoData name;

	initStringInfo(&name);
	appendStringInfoString(&name, side);
	if (feature != NULL)
		appendStringInfo(&name, ".%s", feature);
	if (level != NULL)
		appendStringInfo(&name, " = %s", level);
	values[COL_IDX] = Int32GetDatum(rows->count++);
	values[COL_NAME] = CStringGetTextDatum(name.data);
	values[COL_SIDE] = CStringGetTextDatum(side);
	nulls[COL_FEATURE] = feature == NULL;
	values[COL_FEATURE] = feature == NULL ? (Datum) 0 : CStringGetTextDatum(feature);
	nulls[COL_LEVEL] = level == NULL;
	values[COL_LEVEL] = level == NULL ? (Datum) 0 : CStringGetTextDatum(level);
	values[COL_MEAN] = Float8GetDatum(mean);
	set_head(rows, RATING, row, deviation, &values[COL_W], &values[COL_V]);
	if (rows->num_columns == NUM_COLUMNS)
		set_head(rows, INTEREST, row, deviation, &values[COL_INTEREST_W], &values[COL_INTEREST_V]);
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

/* Collect the levels of contexts. For the value NULL, the level is NULL, but not the feature. */
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

/* Collect the levels of both sides and of the contexts. */
static void
put_levels(LevelRows *rows, const FmResult *result)
{
	const FmParameters *heads[] = {result->parameters, result->interest};

	for (int side = 0; side < 2; side++)
	{
		for (int head = 0; head < 2 && heads[head] != NULL; head++)
		{
			rows->w[head] = heads[head]->level_w[side];
			rows->v[head] = heads[head]->level_v[side];
		}
		put_side_levels(rows, side == FM_USERS ? "user" : "item", result->data->features[side],
						result->features[side].num_levels);
	}
	rows->w[RATING] = result->parameters->context_w;
	rows->v[RATING] = result->parameters->context_v;
	rows->w[INTEREST] = rows->v[INTEREST] = NULL;
	put_context_levels(rows, result->data->ratings->contexts);
}

static bool
has_levels(const FmResult *result)
{
	const FmFeatures *features = result->features;

	return result->data->ratings->contexts != NULL ||
		   (features != NULL &&
			(features[FM_USERS].num_levels > 0 || features[FM_ITEMS].num_levels > 0));
}

/* Return a statement that inserts rows of a version into the table, from a relation of levels. */
static char *
insert_sql(const FmModel *model, int num_columns, const char *from)
{
	char *list = fm_select_list(columns, num_columns);

	return psprintf("INSERT INTO %s (version, %s) SELECT $1, %s FROM %s",
					fm_relation_sql(model->level_table), list, list, from);
}

static void
insert_levels(const FmModel *model, int version, const LevelRows *rows)
{
	FmInput input = {"new_rows", rows->desc, rows->store, rows->count};
	FmInputWay way = fm_input_way(model->level_table);
	FmSqlParameters parameters = {0};

	fm_add_integer(&parameters, version);
	fm_input_run(insert_sql(model, rows->num_columns,
							psprintf("%s n", fm_input_sql(&input, way, parameters.count))),
				 &parameters, &input, way);
}

void
fm_store_levels(FmModel *model, const FmResult *result)
{
	LevelRows rows = {.num_columns = result->interest != NULL ? NUM_COLUMNS : NUM_FIRST_COLUMNS,
					  .num_factors = {result->parameters->num_factors,
									  result->interest != NULL ? result->interest->num_factors
															   : 0}};

	if (!has_levels(result))
		return;
	if (!OidIsValid(model->level_table))
		fm_store_create_level_table(model);
	rows.desc = level_row_desc(rows.num_columns);
	rows.store = tuplestore_begin_heap(true, false, work_mem);
	rows.row_context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx row",
											 ALLOCSET_SMALL_SIZES);
	put_levels(&rows, result);
	insert_levels(model, result->version.number, &rows);
	tuplestore_end(rows.store);
	MemoryContextDelete(rows.row_context);
}

int64
fm_store_copy_levels(const FmModel *model, int version, int from_version)
{
	FmSqlParameters parameters = {0};

	if (!OidIsValid(model->level_table))
		return 0;
	fm_add_integer(&parameters, version);
	fm_add_integer(&parameters, from_version);
	fm_sql_run(insert_sql(model, NUM_COLUMNS,
						  psprintf("%s WHERE version = $2", fm_relation_sql(model->level_table))),
			   &parameters, false);
	return (int64) SPI_processed;
}
