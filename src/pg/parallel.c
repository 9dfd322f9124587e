/*
 * Work that a backend, the leader, shares with parallel workers.
 *
 * This is PostgreSQL's infrastructure for parallel workers (access/parallel.h), with what all such
 * work here needs besides: two segments of dynamic shared memory, a common start, and no snapshot
 * during a long computation.
 *
 * Memory: the parallel context's segment holds FmParallelShared, the work's state and the scan; a
 * worker maps the caller's segments for as long as it is attached. Locking: a spinlock and a
 * condition variable for the start, and a barrier; no heavyweight locks.
 */
#include "pg/parallel.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "core/layout.h"
#include "pg/segment.h"
#include "pgstat.h"
#include "storage/barrier.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"
#include "utils/snapmgr.h"

#define SHARED_KEY UINT64CONST(1)
#define STATE_KEY UINT64CONST(2)
#define SCAN_KEY UINT64CONST(3)

typedef struct FmParallelShared
{
	bool has_segment[FM_PARALLEL_SEGMENTS];
	dsm_handle segments[FM_PARALLEL_SEGMENTS];
	bool together;

	slock_t mutex;
	int members; /* 0 until the leader knows how many there are */
	ConditionVariable started;
	Barrier barrier; /* of all members, valid once `members` is set */
} FmParallelShared;

dsm_segment *
fm_parallel_segment(Size size, const char *what, const char *remedy)
{
	const char *problem;
	dsm_segment *segment = fm_segment_create(add_size(size, FM_ALIGNMENT), &problem);

	if (segment == NULL)
		ereport(NOTICE, (errmsg("%s without workers: %s", what, problem),
						 errhint("Give the system more shared memory, or %s.", remedy)));
	return segment;
}

char *
fm_parallel_address(dsm_segment *segment)
{
	return fm_align_pointer(dsm_segment_address(segment));
}

static void
estimate(shm_toc_estimator *estimator, Size size)
{
	shm_toc_estimate_chunk(estimator, size);
	shm_toc_estimate_keys(estimator, 1);
}

/* Add a piece of memory that workers find by its key. */
static void *
add_chunk(shm_toc *toc, uint64 key, Size size)
{
	void *chunk = shm_toc_allocate(toc, size);

	shm_toc_insert(toc, key, chunk);
	return chunk;
}

static void
init_shared(FmParallelShared *shared, const FmParallelWork *work)
{
	memset(shared, 0, sizeof(FmParallelShared));
	for (int i = 0; i < FM_PARALLEL_SEGMENTS; i++)
		if (work->segments[i] != NULL)
		{
			shared->has_segment[i] = true;
			shared->segments[i] = dsm_segment_handle(work->segments[i]);
		}
	shared->together = work->together;
	SpinLockInit(&shared->mutex);
	ConditionVariableInit(&shared->started);
}

void
fm_parallel_begin(FmParallel *parallel, const FmParallelWork *work)
{
	ParallelContext *context;
	Size scan_size = 0;

	if (work->together) /* the start of workers needs a snapshot */
		PushActiveSnapshot(GetTransactionSnapshot());
	EnterParallelMode();
	context = CreateParallelContext("$libdir/fmtopx", work->worker, work->workers);
	estimate(&context->estimator, sizeof(FmParallelShared));
	estimate(&context->estimator, work->state_size);
	if (work->scanned != NULL)
	{
		scan_size = table_parallelscan_estimate(work->scanned, GetActiveSnapshot());
		estimate(&context->estimator, scan_size);
	}
	InitializeParallelDSM(context);
	*parallel = (FmParallel){.context = context, .toc = context->toc};
	parallel->shared = add_chunk(context->toc, SHARED_KEY, sizeof(FmParallelShared));
	init_shared(parallel->shared, work);
	memcpy(parallel->segments, work->segments, sizeof(parallel->segments));
	parallel->state = add_chunk(context->toc, STATE_KEY, work->state_size);
	if (work->scanned != NULL)
		table_parallelscan_initialize(work->scanned, add_chunk(context->toc, SCAN_KEY, scan_size),
									  GetActiveSnapshot());
}

/* Tell the workers how many members there are. From now on the barrier waits for them all. */
static void
start(FmParallelShared *shared, int members)
{
	BarrierInit(&shared->barrier, members);
	SpinLockAcquire(&shared->mutex);
	shared->members = members;
	SpinLockRelease(&shared->mutex);
	ConditionVariableBroadcast(&shared->started);
}

static void
wait_for_start(FmParallelShared *shared)
{
	for (;;)
	{
		int members;

		SpinLockAcquire(&shared->mutex);
		members = shared->members;
		SpinLockRelease(&shared->mutex);
		if (members > 0)
			break;
		ConditionVariableSleep(&shared->started, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

static void
drop_snapshot(void)
{
	PopActiveSnapshot();
	InvalidateCatalogSnapshot();
}

int
fm_parallel_launch(FmParallel *parallel)
{
	ParallelContext *context = parallel->context;

	LaunchParallelWorkers(context);
	if (!parallel->shared->together)
		return context->nworkers_launched;
	if (context->nworkers_launched > 0)
	{
		WaitForParallelWorkersToAttach(context);
		start(parallel->shared, context->nworkers_launched + 1);
		fm_parallel_barrier(parallel); /* all workers have their snapshot by now */
	}
	drop_snapshot();
	return context->nworkers_launched;
}

void
fm_parallel_end(FmParallel *parallel)
{
	WaitForParallelWorkersToFinish(parallel->context);
	DestroyParallelContext(parallel->context);
	ExitParallelMode();
}

void
fm_parallel_attach(FmParallel *parallel, shm_toc *toc)
{
	FmParallelShared *shared = shm_toc_lookup(toc, SHARED_KEY, false);

	*parallel = (FmParallel){.member = ParallelWorkerNumber + 1, .shared = shared, .toc = toc};
	parallel->state = shm_toc_lookup(toc, STATE_KEY, false);
	for (int i = 0; i < FM_PARALLEL_SEGMENTS; i++)
	{
		if (!shared->has_segment[i])
			continue;
		parallel->segments[i] = dsm_attach(shared->segments[i]);
		if (parallel->segments[i] == NULL)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("could not map dynamic shared memory segment"),
							errhint("Set max_parallel_maintenance_workers to 0 to work without "
									"workers.")));
	}
	if (!shared->together)
		return;
	drop_snapshot();
	wait_for_start(shared);
	fm_parallel_barrier(parallel);
}

void
fm_parallel_detach(FmParallel *parallel)
{
	for (int i = 0; i < FM_PARALLEL_SEGMENTS; i++)
		if (parallel->segments[i] != NULL)
			dsm_detach(parallel->segments[i]);
	if (parallel->shared->together)
		PushActiveSnapshot(GetTransactionSnapshot()); /* ParallelWorkerMain pops it */
}

ParallelTableScanDesc
fm_parallel_scan(const FmParallel *parallel)
{
	return shm_toc_lookup(parallel->toc, SCAN_KEY, false);
}

void
fm_parallel_barrier(const FmParallel *parallel)
{
	BarrierArriveAndWait(&parallel->shared->barrier, PG_WAIT_EXTENSION);
}
