/*
 * The users of a block, as the process sees them that fills blocks and hands over their lists.
 */
#ifndef FMTOPX_BATCH_USERS_H
#define FMTOPX_BATCH_USERS_H

#include "pg/compat.h"

#include "batch/batch_block.h"
#include "batch/receiver.h"
#include "batch/users.h"

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
