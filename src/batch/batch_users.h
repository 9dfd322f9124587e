/*
 * What the lists of a batch are computed from, and the users of a block, as the process sees them
 * that fills blocks and hands over their lists.
 */
#ifndef FMTOPX_BATCH_USERS_H
#define FMTOPX_BATCH_USERS_H

#include "pg/compat.h"

#include "batch/batch_block.h"
#include "batch/receiver.h"
#include "batch/users.h"

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

typedef struct FmBlockUsers
{
	const FmLoaded *loaded;
	const FmScanPart *part; /* or NULL */
	FmContext context;
	int32 num_users;	/* of the batch */
	int32 num_met;		/* of them, when the block had been filled */
	MemoryContext ids;	/* holds ids that are passed by reference */
	FmBatchUser *users; /* without interest_v */
	float *v;			/* theirs, one after the other */
} FmBlockUsers;

extern FmBlockUsers *fm_block_users_create(const FmScanSource *source, const FmBlockShape *shape,
										   MemoryContext context);

/*
 * Fill a block with the next users of the walk, passing over those whose list the receiver knows
 * to be right. Return false if no user is left.
 */
extern bool fm_block_fill(const FmBlock *block, const FmBlockShape *shape, FmBlockUsers *users,
						  FmUserWalk *walk, const FmListReceiver *receiver);

/*
 * Give the receiver the lists of a block that has been scanned. Resets `per_user` after each list.
 */
extern void fm_block_hand_over(const FmBlock *block, const FmBlockShape *shape, FmBlockUsers *users,
							   const FmListReceiver *receiver, MemoryContext per_user);

#endif
