/*
 * Whether a query of a relation reads nothing but that relation's own rows.
 */
#ifndef FMTOPX_BARE_SCAN_H
#define FMTOPX_BARE_SCAN_H

#include "pg/compat.h"

#include "pg/sql_rows.h"

/*
 * Return whether the current user's SELECT of these columns, as PostgreSQL would plan it now, is a
 * sequential scan of the relation itself, without a qualification, a subplan or an expression. Only
 * then do the relation's pages hold what the query would return. SPI need not be connected.
 */
extern bool fm_is_bare_scan(Oid relation, const FmColumn *columns, int num_columns);

#endif
