/*
 * Work that a backend, the leader, shares with parallel workers.
 *
 * The leader:
 *
 *   fm_parallel_begin    describe the work; then fill in `state`
 *   fm_parallel_launch   launch the workers; then do the leader's part
 *   fm_parallel_end      wait for the workers
 *
 * A worker, in the function that FmParallelWork.worker names:
 *
 *   fm_parallel_attach   see what the leader shares; then do the worker's part
 *   fm_parallel_detach
 *
 * Workers have the role, the settings and the transaction snapshot of the leader. An error in a
 * worker is raised in the leader, too, at the latest in fm_parallel_end. An error in the leader
 * ends the workers. From fm_parallel_begin to fm_parallel_end the leader is in parallel mode: it
 * must not write to the database.
 */
#ifndef FMTOPX_PARALLEL_H
#define FMTOPX_PARALLEL_H

#include "pg/compat.h"

#include "access/tableam.h"
#include "storage/dsm.h"
#include "storage/shm_toc.h"

#define FM_PARALLEL_SEGMENTS 2

typedef struct FmParallelWork
{
	const char *worker; /* the exported function that workers run */
	int workers;		/* how many to ask for; fewer may come, or none */
	Size state_size;
	dsm_segment *segments[FM_PARALLEL_SEGMENTS]; /* belong to the caller */
	Relation scanned; /* for one scan of it by all members together, or NULL */

	/*
	 * True: all members start at the same time, so that they can meet at barriers, and none holds a
	 * snapshot while it works. Long work then does not keep vacuum from removing rows, but it must
	 * not read the database. False: workers join when they are ready, and all members work with the
	 * leader's active snapshot.
	 */
	bool together;
} FmParallelWork;

/* A member's view of the work. */
typedef struct FmParallel
{
	int member;	 /* 0: the leader */
	void *state; /* of state_size bytes, shared by all members; the work's own */
	dsm_segment *segments[FM_PARALLEL_SEGMENTS];

	struct FmParallelShared *shared;
	shm_toc *toc;
	struct ParallelContext *context; /* of the leader */
} FmParallel;

/*
 * Create a segment of at least `size` bytes after alignment, zeroed, in the current resource
 * owner. If the system has no shared memory to give, return NULL with a notice: `what` is done
 * without workers. The hint tells the user to provide more shared memory or to follow `remedy`.
 */
extern dsm_segment *fm_parallel_segment(Size size, const char *what, const char *remedy);

/* Return a segment's address, aligned to 64 bytes. */
extern char *fm_parallel_address(dsm_segment *segment);

extern void fm_parallel_begin(FmParallel *parallel, const FmParallelWork *work);

/* Launch the workers, and return how many there are. */
extern int fm_parallel_launch(FmParallel *parallel);
extern void fm_parallel_end(FmParallel *parallel);

extern void fm_parallel_attach(FmParallel *parallel, shm_toc *toc);
extern void fm_parallel_detach(FmParallel *parallel);

/* Return the scan of FmParallelWork.scanned. */
extern ParallelTableScanDesc fm_parallel_scan(const FmParallel *parallel);

/* Wait for all members. Only where they start together, and there are workers. */
extern void fm_parallel_barrier(const FmParallel *parallel);

#endif
