/*
 * fm_predictions: a sample of ratings beside what a model predicts, for charts.
 *
 * The relation is read as the caller, also if it is the model's own: single ratings are shown.
 * Everything else is read as the model's owner. Memory: the sample, in the context of the call.
 */
#include "pg/compat.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "pg/arguments.h"
#include "serve/items.h"
#include "serve/list_score.h"
#include "serve/question_context.h"
#include "source/ratings_columns.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(fm_predictions);

/*
 * A table of more rows than this many times the sample is read in part, by blocks, but never less
 * than LEAST_READ rows of it.
 */
#define ROWS_READ_PER_ROW 4
#define LEAST_READ 40000.0

/* The columns of the sample; after the values come the contexts. */
enum
{
	SAMPLED_USER,
	SAMPLED_ITEM,
	SAMPLED_VALUES
};

typedef struct Sample
{
	FmServing serving;
	FmDefinition definition; /* of the rows */
	int32 rows;
	FmColumn *columns;
	int first_context;
	int num_columns;
} Sample;

/* Set what is read: the relation's own columns, in the text form that questions take. */
static void
list_columns(Sample *sample)
{
	const FmDefinition *definition = &sample->definition;
	FmColumn *columns = palloc((SAMPLED_VALUES + 2 + definition->num_context_columns) *
							   sizeof(FmColumn));
	const char *ids[] = {definition->user_column, definition->item_column};

	for (int side = 0; side < 2; side++)
		columns[SAMPLED_USER + side] = (FmColumn){psprintf("r.%s::pg_catalog.text COLLATE \"C\"",
														   quote_identifier(ids[side])),
												  TEXTOID};
	sample->first_context = SAMPLED_VALUES + fm_value_columns(definition, columns + SAMPLED_VALUES);
	for (int c = 0; c < definition->num_context_columns; c++)
		columns[sample->first_context + c] = (FmColumn){
			psprintf("r.%s::pg_catalog.text", quote_identifier(definition->context_columns[c])),
			TEXTOID};
	sample->columns = columns;
	sample->num_columns = sample->first_context + definition->num_context_columns;
}

/* Set which relation is read, and its columns; the caller may not have the model's own. */
static void
set_source(Sample *sample, FunctionCallInfo fcinfo)
{
	const FmServing *serving = &sample->serving;
	FmDefinition *definition = &sample->definition;
	FmIdType types[2];

	*definition = serving->model.definition;
	definition->task = serving->loaded->version.task;
	if (!PG_ARGISNULL(0))
		definition->ratings = PG_GETARG_OID(0);
	if (fm_is_ranking(definition->task))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("model \"%s\" is a ranking, which predicts no ratings",
							   serving->model.name)));
	if (!OidIsValid(definition->ratings))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\" has no ratings relation", serving->model.name),
						errhint("Name one with ratings => '...'.")));
	if (definition->weight_column != NULL &&
		get_attnum(definition->ratings, definition->weight_column) == InvalidAttrNumber)
		definition->weight_column = NULL;
	for (int c = 0; c < definition->num_context_columns; c++)
		if (get_attnum(definition->ratings, definition->context_columns[c]) == InvalidAttrNumber)
			definition->num_context_columns = 0;
	fm_check_ratings_relation(definition, &types[0], &types[1]);
	list_columns(sample);
}

/*
 * Return the clause that reads a part of a large table, the same one each time; empty for other
 * relations. The server knows about how many rows there are.
 */
static char *
part_clause(const Sample *sample)
{
	Relation relation = fm_open_relation(sample->definition.ratings);
	double rows = relation->rd_rel->reltuples;
	double wanted = Max((double) sample->rows * ROWS_READ_PER_ROW, LEAST_READ);
	char kind = relation->rd_rel->relkind;

	relation_close(relation, AccessShareLock);
	if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE &&
		 kind != RELKIND_MATVIEW) ||
		rows <= wanted)
		return "";
	return psprintf(" TABLESAMPLE SYSTEM (%.9g) REPEATABLE (0)", 100 * wanted / rows);
}

/*
 * Read the sample as the caller, by user: of all rows, or of those blocks, the ones with the least
 * hash of user and item.
 */
static void
read_sample(const Sample *sample)
{
	const FmColumn *columns = sample->columns;
	FmRoleSwitch owner = fm_act_as(sample->serving.caller.role);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT * FROM (SELECT ");
	for (int c = 0; c < sample->num_columns; c++)
		appendStringInfo(&sql, "%s%s AS c%d", c > 0 ? ", " : "", columns[c].sql, c);
	appendStringInfo(&sql,
					 " FROM %s r%s WHERE %s IS NOT NULL AND %s IS NOT NULL ORDER BY "
					 "pg_catalog.hashtextextended(%s, pg_catalog.hashtextextended(%s, 0)), 1, 2 "
					 "LIMIT %d) s ORDER BY c0, c1",
					 fm_relation_sql(sample->definition.ratings), part_clause(sample),
					 columns[SAMPLED_USER].sql, columns[SAMPLED_ITEM].sql,
					 columns[SAMPLED_ITEM].sql, columns[SAMPLED_USER].sql, sample->rows);
	fm_sql_run(sql.data, NULL, true);
	fm_restore_role(&owner);
}

/* Return a copy of the user in the context of a row, in the current memory context. */
static FmUserVector
in_context(const Sample *sample, const FmUserVector *user, const FmRow *row)
{
	Size size = sample->serving.loaded->version.num_factors * sizeof(float);
	FmUserVector copy = *user;

	if (sample->definition.num_context_columns == 0)
		return copy;
	copy.v = palloc(size);
	memcpy(copy.v, user->v, size);
	for (int c = 0; c < sample->definition.num_context_columns; c++)
	{
		int at = sample->first_context + c;

		(void) fm_add_context_level(&sample->serving, sample->definition.context_columns[c],
									fm_row_is_null(row, at) ? NULL : fm_row_text(row, at), &copy);
	}
	return copy;
}

/* Return the user of a row, whose id is given as text. */
static FmUserVector
find_user(const Sample *sample, Datum id)
{
	Datum user_id;
	bool possible = fm_serve_id_in(&sample->serving, &sample->serving.loaded->user_type, id,
								   &user_id);

	return fm_serve_user(&sample->serving, possible, user_id);
}

/* Return a row of the result, unless the row does not count. */
static void
put_row(const Sample *sample, ReturnSetInfo *result, const FmRow *row, const FmUserVector *user)
{
	const FmVersion *version = &sample->serving.loaded->version;
	Datum values[4];
	bool nulls[4] = {false};
	FmUserVector vector;
	double rating, weight;
	int32 item;

	if (!fm_take_values(&sample->definition, row->values + SAMPLED_VALUES,
						row->nulls + SAMPLED_VALUES, &rating, &weight))
		return;
	if (fm_is_classification(version->task))
		rating = fm_label(&sample->definition, version->rating_min, version->rating_max,
						  (float) rating);
	vector = in_context(sample, user, row);
	item = fm_serve_item(&sample->serving, fm_row_value(row, SAMPLED_ITEM));
	values[0] = fm_row_value(row, SAMPLED_USER);
	values[1] = fm_row_value(row, SAMPLED_ITEM);
	values[2] = Float8GetDatum(rating);
	nulls[3] = item < 0; /* as fm_predict has it */
	values[3] = Float8GetDatum(nulls[3] ? 0 : fm_prediction(sample->serving.loaded, &vector, item));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Predict the sample. Rows of one user follow each other. */
static void
predict_sample(Sample *sample, ReturnSetInfo *result)
{
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext, "fmtopx prediction",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext per_user = AllocSetContextCreate(CurrentMemoryContext, "fmtopx user",
												   ALLOCSET_DEFAULT_SIZES);
	FmUserVector user = {0};
	text *last = NULL;
	FmRows rows;

	fm_rows_begin(&rows, sample->columns, sample->num_columns);
	while (fm_rows_next(&rows))
	{
		text *id = DatumGetTextPP(fm_row_value(&rows.row, SAMPLED_USER));
		MemoryContext previous;

		CHECK_FOR_INTERRUPTS();
		if (last == NULL || VARSIZE_ANY_EXHDR(id) != VARSIZE_ANY_EXHDR(last) ||
			memcmp(VARDATA_ANY(id), VARDATA_ANY(last), VARSIZE_ANY_EXHDR(id)) != 0)
		{
			MemoryContextReset(per_user);
			previous = MemoryContextSwitchTo(per_user);
			user = find_user(sample, PointerGetDatum(id));
			MemoryContextSwitchTo(previous);
			last = id;
		}
		previous = MemoryContextSwitchTo(per_row);
		put_row(sample, result, &rows.row, &user);
		MemoryContextSwitchTo(previous);
		MemoryContextReset(per_row);
	}
	fm_rows_end(&rows);
	MemoryContextDelete(per_row);
	MemoryContextDelete(per_user);
}

Datum
fm_predictions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Sample sample = {.rows = fm_x_argument(fcinfo, 2)};

	fm_init_materialized_srf(fcinfo);
	fm_serve_begin(&sample.serving, fcinfo, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1),
				   FM_IDS_TEXT, CurrentMemoryContext);
	set_source(&sample, fcinfo);
	read_sample(&sample);
	predict_sample(&sample, result);
	fm_serve_end(&sample.serving);
	return (Datum) 0;
}
