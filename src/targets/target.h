/*
 * Tables that hold every user's list.
 */
#ifndef FMTOPX_TARGET_H
#define FMTOPX_TARGET_H

#include "pg/compat.h"

#include "batch/lists.h"
#include "targets/target_proof.h"

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

/*
 * Make the rows of a table (its quoted name) those of the lists, touching only rows that differ. With SPI
 * connected, as the table's owner. The lists are spilled.
 */
extern void fm_target_update(const char *table, FmLists *lists);

/*
 * The same while lists are computed: open looks at the table and may read it, its receiver takes the lists of
 * a batch, apply makes the differences good and ends it. Open returns NULL for a table that is too large for
 * memory, and if that turns out later the receiver does not begin. With SPI connected, as the table's owner, but for the
 * batch; the model must stay pinned.
 */
typedef struct FmDiff FmDiff;

extern FmDiff *fm_diff_open(const FmLoaded *loaded, Oid target, int32 x, FmProof *proof);
extern FmListReceiver fm_diff_receiver(FmDiff *diff);
extern int64 fm_diff_num_rows(const FmDiff *diff); /* that the table will have */
extern void fm_diff_apply(FmDiff *diff, const char *table);
extern void fm_diff_free(FmDiff *diff); /* instead of applying it */

#endif
