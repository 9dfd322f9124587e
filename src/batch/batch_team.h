/*
 * The lists of all users, computed by several processes.
 */
#ifndef FMTOPX_BATCH_TEAM_H
#define FMTOPX_BATCH_TEAM_H

#include "pg/compat.h"

#include "batch/batch_block.h"
#include "batch/receiver.h"
#include "serve/serving.h"

/* What all lists are computed from. */
typedef struct FmBatch
{
	const FmServing *serving;
	FmListRules rules;
	const FmListReceiver *receiver;
	const FmUserChoice *choice; /* with a filter, else NULL */
	int32 num_users;
	int32 num_items; /* that may be in lists */
	Size part_size;	 /* of an FmScanPart of them; 0: all items of the model */
} FmBatch;

/* Return the shape of its blocks. */
extern FmBlockShape fm_batch_shape(const FmBatch *batch);

/* Copy the items that may be in lists to memory of part_size bytes; NULL if these are all. */
extern const FmScanPart *fm_batch_part(const FmBatch *batch, void *memory);

/* Read the ratings of the users who are folded in; NULL if there are none. */
extern FmManyRatings *fm_batch_ratings(const FmBatch *batch);

/* Open the walk over the users. */
extern FmUserWalk *fm_batch_walk(const FmBatch *batch, FmManyRatings *ratings);

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
