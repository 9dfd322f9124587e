/*
 * Statements on the registry's tables.
 *
 * The tables belong to the extension's owner and nobody else may write them, so each statement runs as that role.
 * Locking: the RowExclusiveLock of the statements, and their row locks until the end of the transaction; readers see
 * the previous rows meanwhile.
 */
#include "registry/registry_sql.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "pg/sql.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

void
fm_add_argument(FmArguments *arguments, Oid type, Datum value, bool isnull)
{
	Assert(arguments->count < lengthof(arguments->types));
	arguments->types[arguments->count] = type;
	arguments->values[arguments->count] = value;
	arguments->nulls[arguments->count] = isnull ? 'n' : ' ';
	arguments->count++;
}

void
fm_add_text(FmArguments *arguments, const char *value)
{
	fm_add_argument(arguments, TEXTOID, value == NULL ? (Datum) 0 : CStringGetTextDatum(value),
					value == NULL);
}

void
fm_add_real(FmArguments *arguments, float value)
{
	fm_add_argument(arguments, FLOAT4OID, Float4GetDatum(value), isnan(value));
}

void
fm_add_double(FmArguments *arguments, double value)
{
	fm_add_argument(arguments, FLOAT8OID, Float8GetDatum(value), isnan(value));
}

void
fm_add_integer(FmArguments *arguments, int value, bool isnull)
{
	fm_add_argument(arguments, INT4OID, Int32GetDatum(value), isnull);
}

void
fm_add_bigint(FmArguments *arguments, int64 value)
{
	fm_add_argument(arguments, INT8OID, Int64GetDatum(value), false);
}

void
fm_add_integers(FmArguments *arguments, const int32 *values, int count)
{
	Datum *datums = palloc((count + 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		datums[i] = Int32GetDatum(values[i]);
	fm_add_argument(arguments, INT4ARRAYOID,
					PointerGetDatum(
						construct_array(datums, count, INT4OID, sizeof(int32), true, TYPALIGN_INT)),
					false);
}

void
fm_add_relation(FmArguments *arguments, Oid relation)
{
	fm_add_argument(arguments, REGCLASSOID, ObjectIdGetDatum(relation), !OidIsValid(relation));
}

void
fm_add_names(FmArguments *arguments, char **names, int count)
{
	Datum *values = palloc((count + 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		values[i] = DirectFunctionCall1(namein, CStringGetDatum(names[i]));
	fm_add_argument(arguments, NAMEARRAYOID,
					PointerGetDatum(
						construct_array(values, count, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR)),
					count == 0);
}

void
fm_registry_execute(Oid schema, const char *table, const char *format, FmArguments *arguments)
{
	FmRoleSwitch previous = fm_act_as(fm_registry_owner(schema));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, format, fm_qualified_sql(schema, table),
					 fm_qualified_sql(schema, "fm_model"));
	fm_spi_execute(sql.data, arguments->count, arguments->types, arguments->values,
				   arguments->nulls, false);
	fm_restore_role(&previous);
}

char *
fm_registry_text(void)
{
	return SPI_processed == 0 ? NULL
							  : SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}
