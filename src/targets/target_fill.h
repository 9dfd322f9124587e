/*
 * Filling a table of lists that has just been created.
 */
#ifndef FMTOPX_TARGET_FILL_H
#define FMTOPX_TARGET_FILL_H

#include "pg/compat.h"

#include "batch/lists.h"

/*
 * Put the lists into a table that this transaction has created. Return false, having done nothing,
 * if the table has more than the columns of a list: a trigger on DDL commands may have
 * altered it.
 */
extern bool fm_target_fill(Oid table, const FmLists *lists);

#endif
