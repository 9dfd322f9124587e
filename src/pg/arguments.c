/*
 * Arguments that several SQL functions share. Memory: the current context.
 */
#include "pg/arguments.h"

#include "catalog/namespace.h"
#include "utils/builtins.h"

void
fm_require_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be NULL", name)));
}

int32
fm_x_argument(FunctionCallInfo fcinfo, int argument)
{
	int64 x;

	fm_require_argument(fcinfo, argument, "x");
	x = PG_GETARG_INT64(argument);
	if (x < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("x must not be negative, but is %lld", (long long) x)));
	return (int32) Min(x, PG_INT32_MAX);
}

char *
fm_model_name_argument(FunctionCallInfo fcinfo, int argument)
{
	fm_require_argument(fcinfo, argument, "the name of the model");
	return text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

Oid
fm_schema_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? InvalidOid
								  : get_namespace_oid(NameStr(*PG_GETARG_NAME(argument)), false);
}
