/*
 * Statements on the registry's tables, which registry*.c are made of. SPI must be connected.
 */
#ifndef FMTOPX_REGISTRY_SQL_H
#define FMTOPX_REGISTRY_SQL_H

#include "pg/sql.h"

/* Return the owner of the registry, as which it is read and written. */
extern Oid fm_registry_owner(Oid schema);

/*
 * Run a statement as the registry's owner. The first %s in it stands for the qualified name of the
 * given table, the second for that of fm_model.
 */
extern void fm_registry_execute(Oid schema, const char *table, const char *format,
								const FmSqlParameters *parameters);

#endif
