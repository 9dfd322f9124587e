/*
 * fm_export_libfm and fm_export_jsonl: models and lists as lines of text.
 *
 * A model as text has shortest decimals that give the same numbers when they are read. Locking and
 * rights: those of serving. Memory: a line at a time has a context of its own; the lines go to a
 * tuplestore.
 */
#include "pg/compat.h"

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "core/import/text_model.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pg/real_array.h"
#include "serve/serving.h"
#include "store/tables.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_export_libfm);
PG_FUNCTION_INFO_V1(fm_export_jsonl);

/* Lines that are being made. */
typedef struct Lines
{
	ReturnSetInfo *result;
	StringInfoData line;
	int num_factors; /* of a model as text */
	float *v;
	FmIdType *id_type; /* of the users and the items of lists */
	char *user;		   /* whose line it is */
	StringInfoData distances;
	StringInfoData labels;
	StringInfoData first; /* the best item */
} Lines;

/* Prepare to return lines: fm_init_materialized_srf is for rows of several columns. */
static void
begin_lines(FunctionCallInfo fcinfo, Lines *lines)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext previous;

	if (result == NULL || !IsA(result, ReturnSetInfo) ||
		(result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("a set of lines cannot be returned here")));
	previous = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	result->setDesc = CreateTemplateTupleDesc(1);
	TupleDescInitEntry(result->setDesc, 1, "line", TEXTOID, -1, 0);
	result->setResult = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0,
											  false, work_mem);
	result->returnMode = SFRM_Materialize;
	MemoryContextSwitchTo(previous);
	lines->result = result;
	initStringInfo(&lines->line);
}

static void
put_line(Lines *lines, const char *text)
{
	Datum value = CStringGetTextDatum(text);
	bool isnull = false;

	tuplestore_putvalues(lines->result->setResult, lines->result->setDesc, &value, &isnull);
	pfree(DatumGetPointer(value));
}

static void
append_real(StringInfo line, float value)
{
	char buffer[FLOAT_SHORTEST_DECIMAL_LEN];

	float_to_shortest_decimal_buf(value, buffer);
	appendStringInfoString(line, buffer);
}

/* FmRowReader: a line with the bias. */
static bool
put_bias(void *state, const FmRow *row)
{
	Lines *lines = state;

	resetStringInfo(&lines->line);
	append_real(&lines->line, fm_row_real(row, 0));
	put_line(lines, lines->line.data);
	return true;
}

/* FmRowReader: a line with the factors. */
static bool
put_factors(void *state, const FmRow *row)
{
	Lines *lines = state;

	resetStringInfo(&lines->line);
	fm_read_real_array(fm_row_value(row, 0), lines->num_factors, "a v of the version", lines->v);
	for (int f = 0; f < lines->num_factors; f++)
	{
		if (f > 0)
			appendStringInfoChar(&lines->line, ' ');
		append_real(&lines->line, lines->v[f]);
	}
	put_line(lines, lines->line.data);
	return true;
}

/* Put a line for each user, then for each item. */
static void
put_entities(Lines *lines, const FmServing *serving, FmColumn column, FmRowReader reader)
{
	const Oid tables[] = {serving->model.user_table, serving->model.item_table};

	for (int side = 0; side < 2; side++)
	{
		FmSqlParameters parameters = {0};

		fm_add_integer(&parameters, serving->loaded->version.number);
		fm_sql_scan(psprintf("SELECT %s FROM %s WHERE version = $1 ORDER BY idx", column.sql,
							 fm_relation_sql(tables[side])),
					&parameters, serving->read_only, &column, 1, reader, lines);
	}
}

Datum
fm_export_libfm(PG_FUNCTION_ARGS)
{
	Lines lines = {0};
	FmServing serving;
	char b[DOUBLE_SHORTEST_DECIMAL_LEN];

	begin_lines(fcinfo, &lines);
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0), FM_IDS_TEXT,
				   CurrentMemoryContext);
	if (serving.loaded->version.interest_factors > 0)
		ereport(NOTICE,
				(errmsg("the text has the rating head of model \"%s\" only", serving.model.name),
				 errdetail("Its lists are ordered by an interest head, too, which libFM "
						   "has no place for."),
				 errhint("fm_user_vectors and fm_item_vectors have both.")));
	lines.num_factors = serving.loaded->version.num_factors;
	lines.v = palloc(lines.num_factors * sizeof(float));
	double_to_shortest_decimal_buf(serving.loaded->version.b, b);
	put_line(&lines, FM_LIBFM_BIAS);
	put_line(&lines, b);
	put_line(&lines, FM_LIBFM_UNARY);
	put_entities(&lines, &serving, (FmColumn){"w", FLOAT4OID}, put_bias);
	put_line(&lines, FM_LIBFM_PAIRWISE);
	put_entities(&lines, &serving, (FmColumn){"v", FLOAT4ARRAYOID}, put_factors);
	fm_serve_end(&serving);
	return (Datum) 0;
}

/* The columns of fm_top_x_all that a line of JSON has. */
enum
{
	COL_USER,
	COL_RANK,
	COL_ITEM,
	COL_SCORE
};

static const FmColumn list_columns[] = {[COL_USER] = {"user_id", TEXTOID},
										[COL_RANK] = {"rank", INT4OID},
										[COL_ITEM] = {"item_id", TEXTOID},
										[COL_SCORE] = {"score", FLOAT4OID}};

/* Append an id as JSON: a number if it is an integer, else a string. */
static void
append_id(StringInfo json, const FmIdType *type, const char *id)
{
	if (type->is_integer)
		appendStringInfoString(json, id);
	else
		escape_json(json, id);
}

/* Put the line of the user whose list has been read. */
static void
put_list(Lines *lines)
{
	if (lines->user == NULL)
		return;
	resetStringInfo(&lines->line);
	appendStringInfoString(&lines->line, "{\"user_id\": ");
	append_id(&lines->line, &lines->id_type[0], lines->user);
	appendStringInfo(&lines->line,
					 ", \"predicted_label\": %s, \"distances\": [%s], \"labels\": [%s]}",
					 lines->first.data, lines->distances.data, lines->labels.data);
	put_line(lines, lines->line.data);
	pfree(lines->user);
	lines->user = NULL;
}

/* FmRowReader: an item of a list. */
static bool
add_item(void *state, const FmRow *row)
{
	Lines *lines = state;
	char *item = fm_row_text(row, COL_ITEM);

	if (fm_row_integer(row, COL_RANK) == 1)
	{
		put_list(lines);
		lines->user = MemoryContextStrdup(GetMemoryChunkContext(lines->id_type),
										  fm_row_text(row, COL_USER));
		resetStringInfo(&lines->distances);
		resetStringInfo(&lines->labels);
		resetStringInfo(&lines->first);
		append_id(&lines->first, &lines->id_type[1], item);
	}
	else
	{
		appendStringInfoString(&lines->distances, ", ");
		appendStringInfoString(&lines->labels, ", ");
	}
	append_real(&lines->distances, fm_row_real(row, COL_SCORE));
	append_id(&lines->labels, &lines->id_type[1], item);
	return true;
}

Datum
fm_export_jsonl(PG_FUNCTION_ARGS)
{
	Oid schema = fm_extension_schema(fcinfo);
	Lines lines = {0};
	FmModel model;
	FmSqlParameters parameters = {0};
	FmRoleSwitch previous;

	fm_require_argument(fcinfo, 1, "x");
	fm_require_argument(fcinfo, 2, "exclude_seen");
	begin_lines(fcinfo, &lines);
	lines.id_type = palloc0(2 * sizeof(FmIdType));
	initStringInfo(&lines.distances);
	initStringInfo(&lines.labels);
	initStringInfo(&lines.first);
	fm_spi_connect();
	fm_model_resolve(schema, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0), true,
					 CurrentMemoryContext, &model);
	fm_store_id_types(&model, &lines.id_type[0], &lines.id_type[1]);
	fm_add_text(&parameters, model.name);
	fm_add_bigint(&parameters, PG_GETARG_INT64(1));
	fm_add_boolean(&parameters, PG_GETARG_BOOL(2));
	/* the role stays the caller, but what is in the caller's search_path must not be used */
	previous = fm_act_as(GetUserId());
	fm_sql_scan(psprintf("SELECT %s FROM %s(model => $1, x => $2, exclude_seen => $3)",
						 fm_select_list(list_columns, lengthof(list_columns)),
						 fm_qualified_sql(schema, "fm_top_x_all")),
				&parameters, true, list_columns, lengthof(list_columns), add_item, &lines);
	fm_restore_role(&previous);
	put_list(&lines);
	fm_spi_finish();
	return (Datum) 0;
}
