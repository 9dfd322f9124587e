/*
 * Statements on the registry's tables. SPI must be connected.
 */
#ifndef FMTOPX_REGISTRY_SQL_H
#define FMTOPX_REGISTRY_SQL_H

#include "pg/sql.h"

/* Return the owner of the registry, who reads and writes it. */
extern Oid fm_registry_owner(Oid schema);

/*
 * Run a statement as the registry's owner. Its first %s is replaced by the qualified name of the
 * table, its second by that of fm_model.
 */
extern void fm_registry_execute(Oid schema, const char *table, const char *format,
								const FmSqlParameters *parameters);

#endif
