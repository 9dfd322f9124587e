/*
 * Comparing a table of lists with new lists while these are computed.
 */
#ifndef FMTOPX_TARGET_DIFF_H
#define FMTOPX_TARGET_DIFF_H

#include "pg/compat.h"

#include "batch/receiver.h"
#include "targets/target_proof.h"

/*
 * One comparison. Open it, give its receiver to a batch, then either apply it or free it. Opening,
 * applying and freeing need SPI connected and act as the table's owner; the batch does not. The
 * model must stay pinned throughout.
 */
typedef struct FmDiff FmDiff;

/*
 * Open a table, which may read it. Return NULL if it is too large for memory. If that turns out
 * only later, the receiver refuses the batch.
 */
extern FmDiff *fm_diff_open(const FmLoaded *loaded, Oid target, const FmListRules *rules,
							FmProof *proof);
extern FmListReceiver fm_diff_receiver(FmDiff *diff);
extern int64 fm_diff_num_rows(const FmDiff *diff); /* that the table will hold */

/* Change the rows of the table that differ, and free the comparison. */
extern void fm_diff_apply(FmDiff *diff, Oid target);
extern void fm_diff_free(FmDiff *diff);

#endif
