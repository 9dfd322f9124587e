/*
 * Context columns in questions: {"device": "phone"} is added to the user.
 *
 * The w and v of a level of a context column are in the table of levels, which is read through its
 * index, as the model's owner. Memory: the context of the call. Locking: that of the queries.
 */
#include "serve/question_context.h"

#include "catalog/pg_type.h"
#include "pg/real_array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

void
fm_check_context(FunctionCallInfo fcinfo, int argument)
{
	if (!PG_ARGISNULL(argument) && !JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(argument)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("context must be a JSON object, not %s",
						JB_ROOT_IS_SCALAR(PG_GETARG_JSONB_P(argument)) ? "a scalar" : "an array"),
				 errhint("Give it the form {\"column\": \"value\"}.")));
}

/*
 * Add a level to those of a context, unless the model does not know it. False if it does not know
 * the column.
 */
static bool
read_level(const FmServing *serving, const char *column, const char *level, FmContext *context)
{
	enum
	{
		IS_ASKED_FOR,
		W,
		V
	};
	static const FmColumn columns[] = {
		[IS_ASKED_FOR] = {"CASE WHEN $4 THEN level IS NULL ELSE coalesce(level = $3, false) END",
						  BOOLOID},
		[W] = {"w", FLOAT4OID},
		[V] = {"v", FLOAT4ARRAYOID}};
	FmLoaded *loaded = serving->loaded;
	FmSqlParameters parameters = {0};
	FmRows rows;
	bool known;

	if (!OidIsValid(serving->model.level_table))
		return false;
	fm_add_integer(&parameters, loaded->version.number);
	fm_add_text(&parameters, column);
	fm_add_text(&parameters, level == NULL ? "" : level);
	fm_add_boolean(&parameters, level == NULL);
	/* the level asked for, or else any level, which tells that the column is known */
	fm_plan_run(&loaded->context_plan,
				psprintf("SELECT %s FROM %s WHERE version = $1 AND side = 'context' "
						 "AND feature = $2 ORDER BY 1 DESC LIMIT 1",
						 fm_select_list(columns, lengthof(columns)),
						 fm_relation_sql(serving->model.level_table)),
				&parameters, serving->read_only);
	fm_rows_begin(&rows, columns, lengthof(columns));
	known = fm_rows_next(&rows);
	if (known && fm_row_boolean(&rows.row, IS_ASKED_FOR))
	{
		Size length = loaded->version.num_factors + 1;
		float *term;

		context->levels = context->count == 0
							  ? palloc(length * sizeof(float))
							  : repalloc(context->levels,
										 (context->count + 1) * length * sizeof(float));
		term = context->levels + context->count++ * length;
		term[0] = fm_row_real(&rows.row, W);
		fm_read_real_array(fm_row_value(&rows.row, V), loaded->version.num_factors, "a context's v",
						   term + 1);
	}
	fm_rows_end(&rows);
	return known;
}

void
fm_context_add(const FmLoaded *loaded, const FmContext *context, FmUserVector *user)
{
	int k = loaded->version.num_factors;

	for (int32 level = 0; level < context->count; level++)
	{
		const float *term = context->levels + (Size) level * (k + 1);

		user->base += term[0];
		for (int f = 0; f < k; f++)
		{
			user->v[f] += term[1 + f];
			fm_check_score(user->v[f]);
		}
	}
}

bool
fm_add_context_level(const FmServing *serving, const char *column, const char *level,
					 FmUserVector *user)
{
	FmContext context = {0};
	bool known = read_level(serving, column, level, &context);

	fm_context_add(serving->loaded, &context, user);
	return known;
}

/* Return a JSON value as text, as SQL casts it; NULL for null. */
static char *
level_text(const char *column, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return NULL;
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return value->val.boolean ? "true" : "false";
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("context value for \"%s\" must not be an object or array", column),
					 errhint("Give a string, a number, true, false or null.")));
	}
	return NULL;
}

/* Raise the error that the model has no such context column. */
static void
unknown_column(const FmServing *serving, const char *column)
{
	const FmDefinition *definition = &serving->model.definition;
	StringInfoData known;

	if (definition->num_context_columns == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("context has a key \"%s\", but model \"%s\" has no context columns",
							   column, serving->model.name)));
	initStringInfo(&known);
	for (int c = 0; c < definition->num_context_columns; c++)
		appendStringInfo(&known, "%s\"%s\"", c > 0 ? ", " : "", definition->context_columns[c]);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("context has a key \"%s\", which is not a context column of model \"%s\"",
					column, serving->model.name),
			 errdetail("Its context columns are %s.", known.data)));
}

FmContext
fm_read_context(const FmServing *serving, Jsonb *given)
{
	FmContext context = {0};
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue key;
	JsonbValue value;

	if (given == NULL)
		return context;
	iterator = JsonbIteratorInit(&given->root);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		char *column;

		if (token != WJB_KEY)
			continue;
		column = pnstrdup(key.val.string.val, key.val.string.len);
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (!read_level(serving, column, level_text(column, &value), &context))
			unknown_column(serving, column);
	}
	return context;
}

void
fm_add_context(const FmServing *serving, FunctionCallInfo fcinfo, int argument, FmUserVector *user)
{
	FmContext context;

	if (PG_ARGISNULL(argument))
		return;
	context = fm_read_context(serving, PG_GETARG_JSONB_P(argument));
	fm_context_add(serving->loaded, &context, user);
}
