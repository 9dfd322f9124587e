/*
 * The lists of all users computed by several processes.
 */
#ifndef FMTOPX_BATCH_TEAM_H
#define FMTOPX_BATCH_TEAM_H

#include "pg/compat.h"

#include "batch/receiver.h"
#include "serve/serving.h"

/* How many workers a batch should have: none where they cannot help, or help little. */
extern int fm_batch_workers(const FmServing *serving, bool exclude_seen);

/*
 * fm_batch_top_x with so many workers, or those of them that are to be had; false, and nothing is
 * done, if there is no memory to share.
 */
extern bool fm_batch_in_parallel(const FmServing *serving, int workers, int32 x, bool exclude_seen,
								 const FmListReceiver *receiver);

#endif
