/*
 * The parameters of an SQL statement, collected one by one. Memory: values by reference are
 * allocated in the current context.
 */
#include "pg/sql_parameters.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

void
fm_add_parameter(FmSqlParameters *parameters, Oid type, Datum value, bool isnull)
{
	Assert(parameters->count < FM_MAX_SQL_PARAMETERS);
	parameters->types[parameters->count] = type;
	parameters->values[parameters->count] = value;
	parameters->nulls[parameters->count] = isnull ? 'n' : ' ';
	parameters->count++;
}

void
fm_add_text(FmSqlParameters *parameters, const char *value)
{
	fm_add_parameter(parameters, TEXTOID, value == NULL ? (Datum) 0 : CStringGetTextDatum(value),
					 value == NULL);
}

void
fm_add_real(FmSqlParameters *parameters, float value)
{
	fm_add_parameter(parameters, FLOAT4OID, Float4GetDatum(value), isnan(value));
}

void
fm_add_double(FmSqlParameters *parameters, double value)
{
	fm_add_parameter(parameters, FLOAT8OID, Float8GetDatum(value), isnan(value));
}

void
fm_add_relation(FmSqlParameters *parameters, Oid relation)
{
	fm_add_parameter(parameters, REGCLASSOID, ObjectIdGetDatum(relation), !OidIsValid(relation));
}

void
fm_add_names(FmSqlParameters *parameters, char **names, int count)
{
	Datum *values = palloc((count + 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		values[i] = DirectFunctionCall1(namein, CStringGetDatum(names[i]));
	fm_add_parameter(parameters, NAMEARRAYOID,
					 PointerGetDatum(construct_array(values, count, NAMEOID, NAMEDATALEN, false,
													 TYPALIGN_CHAR)),
					 count == 0);
}

void
fm_add_boolean(FmSqlParameters *parameters, bool value)
{
	fm_add_parameter(parameters, BOOLOID, BoolGetDatum(value), false);
}

void
fm_add_integer(FmSqlParameters *parameters, int32 value)
{
	fm_add_parameter(parameters, INT4OID, Int32GetDatum(value), false);
}

void
fm_add_bigint(FmSqlParameters *parameters, int64 value)
{
	fm_add_parameter(parameters, INT8OID, Int64GetDatum(value), false);
}

void
fm_add_integers(FmSqlParameters *parameters, const int32 *values, int count)
{
	Datum *datums = palloc((count + 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		datums[i] = Int32GetDatum(values[i]);
	fm_add_parameter(parameters, INT4ARRAYOID,
					 PointerGetDatum(construct_array(datums, count, INT4OID, sizeof(int32), true,
													 TYPALIGN_INT)),
					 false);
}

void
fm_add_integer_or_null(FmSqlParameters *parameters, int32 value, bool isnull)
{
	fm_add_parameter(parameters, INT4OID, Int32GetDatum(value), isnull);
}
