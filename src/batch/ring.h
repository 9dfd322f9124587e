/*
 * A ring of blocks: the leader fills them, any member scans them, the leader hands over their
 * lists.
 */
#ifndef FMTOPX_RING_H
#define FMTOPX_RING_H

#include "pg/compat.h"

#include "batch/batch_block.h"
#include "batch/batch_users.h"
#include "batch/receiver.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"

#define FM_RING_MAX_BLOCKS 64

/* The ring's state, in shared memory. The blocks are in memory of their own. */
typedef struct FmRing
{
	FmBlockShape shape;
	int num_blocks;

	slock_t mutex;			   /* guards the rest */
	ConditionVariable changed; /* the rest has changed */
	uint64 filled;			   /* blocks so far; block n is at n modulo num_blocks */
	uint64 taken;			   /* to be scanned, so far */
	bool closed;			   /* no block will follow */
	bool done[FM_RING_MAX_BLOCKS];
} FmRing;

/* Return the size of the memory for the blocks. */
extern Size fm_ring_size(const FmBlockShape *shape, int members);

extern void fm_ring_init(FmRing *ring, const FmBlockShape *shape, int members);

/*
 * Do the leader's part: give all users of the walk to the ring and their lists to the receiver, in
 * the same order. The leader scans blocks too while it has nothing else to do.
 */
extern void fm_ring_lead(FmRing *ring, char *blocks, FmBlockScanner *scanner,
						 const FmScanSource *source, FmUserWalk *walk,
						 const FmListReceiver *receiver);

/* Do a worker's part: scan blocks until the ring is closed. */
extern void fm_ring_work(FmRing *ring, char *blocks, FmBlockScanner *scanner);

/* Let the workers go. To be called by the leader even if there was nothing to do. */
extern void fm_ring_close(FmRing *ring);

#endif
