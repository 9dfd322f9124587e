/*
 * The parameters of an SQL statement: $1, $2, ... in the order in which they are added.
 */
#ifndef FMTOPX_SQL_PARAMETERS_H
#define FMTOPX_SQL_PARAMETERS_H

#include "pg/compat.h"

#define FM_MAX_SQL_PARAMETERS 48

/* Starts as {0}. Values by reference must live until the statement has run. */
typedef struct FmSqlParameters
{
	int count;
	Oid types[FM_MAX_SQL_PARAMETERS];
	Datum values[FM_MAX_SQL_PARAMETERS];
	char nulls[FM_MAX_SQL_PARAMETERS];
} FmSqlParameters;

extern void fm_add_parameter(FmSqlParameters *parameters, Oid type, Datum value, bool isnull);

/* A NULL pointer, a NaN, InvalidOid and an empty list of names become NULL. */
extern void fm_add_text(FmSqlParameters *parameters, const char *value);
extern void fm_add_real(FmSqlParameters *parameters, float value);
extern void fm_add_double(FmSqlParameters *parameters, double value);
extern void fm_add_relation(FmSqlParameters *parameters, Oid relation);
extern void fm_add_names(FmSqlParameters *parameters, char **names, int count);

/* These are never NULL. */
extern void fm_add_boolean(FmSqlParameters *parameters, bool value);
extern void fm_add_integer(FmSqlParameters *parameters, int32 value);
extern void fm_add_bigint(FmSqlParameters *parameters, int64 value);
extern void fm_add_integers(FmSqlParameters *parameters, const int32 *values, int count);

extern void fm_add_integer_or_null(FmSqlParameters *parameters, int32 value, bool isnull);

#endif
