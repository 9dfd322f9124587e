/*
 * Tables that hold every user's list.
 */
#ifndef FMTOPX_TARGET_H
#define FMTOPX_TARGET_H

#include "compat.h"

#include "lists.h"

/*
 * Rewrite an existing target with the active version's lists, in the name of its owner, who must be
 * able to read the model. Returns the number of rows it now holds.
 */
extern int64 fm_rewrite_target(FunctionCallInfo fcinfo, const char *model, Oid target, int32 x,
							   bool exclude_seen);

/*
 * Put the lists into a table that this transaction has created, with their four columns and nothing else;
 * false, and nothing is done, if it has got more than that.
 */
extern bool fm_target_fill(Oid table, const FmLists *lists);

/* Make the rows of a table (its quoted name) those of the lists, touching only rows that differ. With SPI
 * connected, as the table's owner. */
extern void fm_target_update(const char *table, const FmLists *lists);

#endif
