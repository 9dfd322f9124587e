/*
 * The lists of all users, computed by several processes.
 */
#ifndef FMTOPX_BATCH_TEAM_H
#define FMTOPX_BATCH_TEAM_H

#include "pg/compat.h"

#include "batch/batch_users.h"

/*
 * Return how many workers a batch should ask for: none if they would gain little or cannot take
 * part.
 */
extern int fm_batch_workers(const FmBatch *batch);

/*
 * Do fm_batch_top_x with at most so many workers. Return false if the receiver has got no list:
 * because it refused, or because there is not enough memory to share.
 */
extern bool fm_batch_in_parallel(const FmBatch *batch, int workers);

#endif
