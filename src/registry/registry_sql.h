/*
 * Statements on the registry's tables, which registry*.c are made of. SPI must be connected.
 */
#ifndef FMTOPX_REGISTRY_SQL_H
#define FMTOPX_REGISTRY_SQL_H

#include "registry/registry_models.h"

/* Positional arguments of one statement, collected as they are needed. */
typedef struct FmArguments
{
	int count;
	Oid types[32];
	Datum values[32];
	char nulls[32];
} FmArguments;

extern void fm_add_argument(FmArguments *arguments, Oid type, Datum value, bool isnull);
extern void fm_add_text(FmArguments *arguments, const char *value); /* or NULL */
extern void fm_add_real(FmArguments *arguments, float value);		/* NaN: NULL */
extern void fm_add_double(FmArguments *arguments, double value);	/* likewise */
extern void fm_add_integer(FmArguments *arguments, int value, bool isnull);
extern void fm_add_bigint(FmArguments *arguments, int64 value);
extern void fm_add_integers(FmArguments *arguments, const int32 *values, int count);
extern void fm_add_relation(FmArguments *arguments, Oid relation);		   /* InvalidOid: NULL */
extern void fm_add_names(FmArguments *arguments, char **names, int count); /* none: NULL */

/* The metrics of one set of ratings as JSON: of a ranking, else of labels, else of errors; NULL of no ratings. */
extern void fm_add_metrics(FmArguments *arguments, const FmErrorSums *sums,
						   const FmLabelSums *labels, const FmRankingSums *ranking);

/*
 * Run a statement as the registry's owner. The first %s in it stands for the qualified name of the given table, the
 * second for that of fm_model.
 */
extern void fm_registry_execute(Oid schema, const char *table, const char *format,
								FmArguments *arguments);

/* The first column of the first row as text, in the current context; NULL if there is none. */
extern char *fm_registry_text(void);

/* Never drawn twice: not after a rollback, a restore or a promotion, nor in another database. */
extern int64 fm_registry_next_stamp(void);

#endif
