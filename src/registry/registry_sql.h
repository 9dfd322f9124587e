/*
 * Statements on the registry's tables, which registry*.c are made of. SPI must be connected.
 */
#ifndef FMTOPX_REGISTRY_SQL_H
#define FMTOPX_REGISTRY_SQL_H

#include "pg/sql.h"
#include "registry/registry_models.h"

/*
 * The metrics of one set of ratings as JSON: of a ranking, else of labels, else of errors; NULL of
 * no ratings.
 */
extern void fm_add_metrics(FmSqlParameters *parameters, const FmErrorSums *sums,
						   const FmLabelSums *labels, const FmRankingSums *ranking);

/*
 * Run a statement as the registry's owner. The first %s in it stands for the qualified name of the
 * given table, the second for that of fm_model.
 */
extern void fm_registry_execute(Oid schema, const char *table, const char *format,
								const FmSqlParameters *parameters);

/* Never drawn twice: not after a rollback, a restore or a promotion, nor in another database. */
extern int64 fm_registry_next_stamp(void);

#endif
