/*
 * A ring of blocks: the leader fills them, any member scans them, the leader hands over their
 * lists.
 *
 * Locking: a spinlock guards the ring's numbers, and a condition variable says that they have
 * changed. A block belongs to the leader until it is filled, then to the member that takes it, and
 * to the leader again once it is done. Memory: the caller's for ring and blocks; the users of the
 * blocks and a context for one list in the leader's current context.
 */
#include "batch/ring.h"

#include "pgstat.h"
#include "utils/memutils.h"

#define BLOCKS_PER_MEMBER 3

static int
ring_length(int members)
{
	return Min(BLOCKS_PER_MEMBER * members, FM_RING_MAX_BLOCKS);
}

Size
fm_ring_size(const FmBlockShape *shape, int members)
{
	return mul_size(ring_length(members), fm_block_size(shape));
}

void
fm_ring_init(FmRing *ring, const FmBlockShape *shape, int members)
{
	memset(ring, 0, sizeof(FmRing));
	ring->shape = *shape;
	ring->num_blocks = ring_length(members);
	SpinLockInit(&ring->mutex);
	ConditionVariableInit(&ring->changed);
}

static FmBlock
block_at(const FmRing *ring, char *blocks, uint64 number)
{
	return fm_block_at(&ring->shape,
					   blocks + mul_size(number % ring->num_blocks, fm_block_size(&ring->shape)));
}

/* Take a block that is filled; false if there is none. */
static bool
take_block(FmRing *ring, uint64 *number)
{
	bool taken = false;

	SpinLockAcquire(&ring->mutex);
	if (ring->taken < ring->filled)
	{
		*number = ring->taken++;
		taken = true;
	}
	SpinLockRelease(&ring->mutex);
	return taken;
}

static void
scan_block(FmRing *ring, char *blocks, FmBlockScanner *scanner, uint64 number)
{
	FmBlock block = block_at(ring, blocks, number);

	fm_scanner_run(scanner, &block);
	SpinLockAcquire(&ring->mutex);
	ring->done[number % ring->num_blocks] = true;
	SpinLockRelease(&ring->mutex);
	ConditionVariableBroadcast(&ring->changed);
}

/* Take back a block if it is done. */
static bool
take_back(FmRing *ring, uint64 number)
{
	bool done;

	SpinLockAcquire(&ring->mutex);
	done = ring->done[number % ring->num_blocks];
	ring->done[number % ring->num_blocks] = false;
	SpinLockRelease(&ring->mutex);
	return done;
}

static void
add_filled(FmRing *ring)
{
	SpinLockAcquire(&ring->mutex);
	ring->filled++;
	SpinLockRelease(&ring->mutex);
	ConditionVariableBroadcast(&ring->changed);
}

void
fm_ring_close(FmRing *ring)
{
	SpinLockAcquire(&ring->mutex);
	ring->closed = true;
	SpinLockRelease(&ring->mutex);
	ConditionVariableBroadcast(&ring->changed);
}

/* Wait until a block is filled or done. May return early: the caller looks again. */
static void
wait_for_change(FmRing *ring)
{
	ConditionVariableSleep(&ring->changed, PG_WAIT_EXTENSION);
}

void
fm_ring_lead(FmRing *ring, char *blocks, FmBlockScanner *scanner, const FmScanSource *source,
			 FmUserWalk *walk, const FmListReceiver *receiver)
{
	MemoryContext per_user = AllocSetContextCreate(CurrentMemoryContext, "fmtopx list of one user",
												   ALLOCSET_DEFAULT_SIZES);
	FmBlockUsers *users[FM_RING_MAX_BLOCKS];
	bool more = true;
	uint64 filled = 0; /* equals ring->filled, which only the leader changes */
	uint64 handed = 0;

	for (int i = 0; i < ring->num_blocks; i++)
		users[i] = fm_block_users_create(source, &ring->shape, CurrentMemoryContext);
	ConditionVariablePrepareToSleep(&ring->changed);
	while (more || handed < filled)
	{
		uint64 number;

		if (handed < filled && take_back(ring, handed))
		{
			FmBlock block = block_at(ring, blocks, handed);

			fm_block_hand_over(&block, &ring->shape, users[handed % ring->num_blocks], receiver,
							   per_user);
			handed++;
		}
		else if (more && filled - handed < (uint64) ring->num_blocks)
		{
			FmBlock block = block_at(ring, blocks, filled);

			more = fm_block_fill(&block, &ring->shape, users[filled % ring->num_blocks], walk,
								 receiver);
			if (more)
			{
				filled++;
				add_filled(ring);
			}
		}
		else if (take_block(ring, &number))
			scan_block(ring, blocks, scanner, number);
		else
			wait_for_change(ring);
	}
	ConditionVariableCancelSleep();
}

void
fm_ring_work(FmRing *ring, char *blocks, FmBlockScanner *scanner)
{
	ConditionVariablePrepareToSleep(&ring->changed);
	for (;;)
	{
		uint64 number;
		bool closed;

		if (take_block(ring, &number))
		{
			scan_block(ring, blocks, scanner, number);
			continue;
		}
		SpinLockAcquire(&ring->mutex);
		closed = ring->closed;
		SpinLockRelease(&ring->mutex);
		if (closed)
			break;
		wait_for_change(ring);
	}
	ConditionVariableCancelSleep();
}
