/*
 * The lists of all users computed by several processes.
 *
 * Workers come from PostgreSQL's parallel infrastructure, as those of a training
 * (train_workers.c). All members read the ratings, each its share of the pages, and deal them into
 * pairs in shared memory; where only SQL can read them, the leader does it before (seen_scan.c,
 * seen_all.c). Meanwhile the leader begins what he alone can read: his receiver's table, and the
 * users. After a barrier blocks of users go round a ring: the leader fills them with users'
 * vectors, whoever is free scans the next one, and the leader hands the lists over in the order of
 * the users. He scans too when he has nothing else to do.
 *
 * Locking: a barrier between reading and asking; a spinlock over the ring's numbers, with a
 * condition variable. Whoever takes a block owns it until it is done, and a done block is the
 * leader's. In parallel mode nothing may be written to the database; the callback writes to
 * memory. Memory: the workers attach to the model's shared image and to one segment with ring and
 * pairs, which keep to maintenance_work_mem.
 */
#include "batch/batch_team.h"

#include "batch/batch_block.h"
#include "batch/ring.h"
#include "batch/seen_all.h"
#include "batch/seen_scan.h"
#include "batch/users.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "optimizer/paths.h"
#include "serve/seen.h"
#include "pgstat.h"
#include "pg/segment.h"
#include "storage/barrier.h"
#include "storage/bufmgr.h"
#include "storage/shm_toc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define ALIGNMENT 64
#define STATE_KEY UINT64CONST(1)
#define SCAN_KEY UINT64CONST(2)

/* Scores that are worth a worker: some tens of milliseconds. */
#define SCORES_PER_WORKER INT64CONST(20000000)

/* What all members see. */
typedef struct TeamState
{
	dsm_handle image_handle;
	dsm_handle segment_handle;
	Size pairs;	  /* where they are in the segment; 0: nothing is excluded */
	Size scan;	  /* likewise, the scan of the ratings; 0: the pairs are complete */
	Barrier read; /* between reading the ratings and asking for pairs */
	FmRing ring;
} TeamState;

/* A member's own view. */
typedef struct Member
{
	TeamState *state;
	char *segment;
	const FmImage *image;
	FmPairs *pairs;
	FmBlockScanner *scanner;
} Member;

/* What the leader has prepared before there are workers. */
typedef struct BatchPlan
{
	const FmServing *serving;
	int members; /* at most */
	FmBlockShape shape;
	bool exclude_seen;
	const FmSeenCheck *check; /* of the receiver, or NULL */
	const int64 *ids;		  /* of users, for a scan of the ratings; NULL: they are read by SQL */
	int32 num_users;
	Size scan_size;
	Size pairs_size;
	Size ring_size;
	dsm_segment *segment;
	FmPairs *pairs;
} BatchPlan;

static char *
segment_address(dsm_segment *segment)
{
	return (char *) TYPEALIGN(ALIGNMENT, dsm_segment_address(segment));
}

static void
create_scanner(Member *member)
{
	FmSeenStream *seen = member->pairs == NULL ? NULL : fm_seen_of_pairs(member->pairs);

	member->scanner = fm_scanner_create(&member->state->ring.shape,
										fm_image_at(member->image, member->image->matrix), seen,
										CurrentMemoryContext);
}

/* Read a share of the ratings, and wait until all are read. Who comes too late finds them. */
static void
read_ratings(Member *member, shm_toc *toc)
{
	TeamState *state = member->state;

	if (BarrierAttach(&state->read) == 0)
	{
		fm_seen_scan_run((FmSeenScan *) (member->segment + state->scan),
						 shm_toc_lookup(toc, SCAN_KEY, false), member->image, member->pairs);
		BarrierArriveAndWait(&state->read, PG_WAIT_EXTENSION);
	}
	BarrierDetach(&state->read);
}

static Relation
open_ratings(const BatchPlan *plan)
{
	return plan->ids == NULL ? NULL
							 : table_open(plan->serving->model.definition.ratings, AccessShareLock);
}

static void
init_state(TeamState *state, const BatchPlan *plan)
{
	state->image_handle = dsm_segment_handle(plan->serving->loaded->shared.segment);
	state->segment_handle = dsm_segment_handle(plan->segment);
	state->pairs = plan->exclude_seen ? plan->ring_size : 0;
	state->scan = plan->ids != NULL ? plan->ring_size + plan->pairs_size : 0;
	BarrierInit(&state->read, 0);
	fm_ring_init(&state->ring, &plan->shape, plan->members);
}

/*
 * The leader's part of the whole: what he alone can read he reads while the workers are at the
 * ratings. False if the receiver did not begin or the ratings were too many for memory, and no
 * list has been handed over.
 */
static bool
take_part(Member *leader, const BatchPlan *plan, shm_toc *toc, const FmListReceiver *receiver)
{
	FmUserWalk *walk;
	bool complete;

	if (!fm_receiver_begin(receiver))
		return false;
	walk = fm_users_open(plan->serving, receiver->current != NULL);
	if (plan->ids != NULL)
		read_ratings(leader, toc);
	complete = leader->pairs == NULL || !fm_pairs_too_many(leader->pairs);
	if (complete && plan->ids != NULL && receiver->check != NULL)
		fm_seen_scan_answer((FmSeenScan *) (leader->segment + leader->state->scan),
							receiver->check);
	if (complete)
	{
		create_scanner(leader);
		fm_ring_lead(&leader->state->ring, leader->segment, leader->scanner, plan->serving, walk,
					 receiver);
	}
	fm_users_close(walk);
	return complete;
}

/* Lead a team; false if it has done nothing. */
static bool
lead(const BatchPlan *plan, const FmListReceiver *receiver)
{
	Relation ratings = open_ratings(plan);
	Member leader = {.image = plan->serving->loaded->image, .pairs = plan->pairs};
	ParallelContext *context;
	bool complete;

	EnterParallelMode();
	context = CreateParallelContext("$libdir/fmtopx", "fm_batch_worker", plan->members - 1);
	shm_toc_estimate_chunk(&context->estimator, sizeof(TeamState));
	shm_toc_estimate_keys(&context->estimator, 1);
	if (ratings != NULL)
	{
		shm_toc_estimate_chunk(&context->estimator,
							   table_parallelscan_estimate(ratings, GetActiveSnapshot()));
		shm_toc_estimate_keys(&context->estimator, 1);
	}
	InitializeParallelDSM(context);
	leader.state = shm_toc_allocate(context->toc, sizeof(TeamState));
	leader.segment = segment_address(plan->segment);
	init_state(leader.state, plan);
	shm_toc_insert(context->toc, STATE_KEY, leader.state);
	if (ratings != NULL)
	{
		ParallelTableScanDesc scan =
			shm_toc_allocate(context->toc,
							 table_parallelscan_estimate(ratings, GetActiveSnapshot()));

		table_parallelscan_initialize(ratings, scan, GetActiveSnapshot());
		shm_toc_insert(context->toc, SCAN_KEY, scan);
		table_close(ratings, NoLock);
	}
	LaunchParallelWorkers(context);
	complete = take_part(&leader, plan, context->toc, receiver);
	fm_ring_close(&leader.state->ring);
	WaitForParallelWorkersToFinish(context);
	DestroyParallelContext(context);
	ExitParallelMode();
	return complete;
}

extern PGDLLEXPORT void fm_batch_worker(dsm_segment *segment, shm_toc *toc);

/* The main function of a worker. */
void
fm_batch_worker(dsm_segment *segment, shm_toc *toc)
{
	TeamState *state = shm_toc_lookup(toc, STATE_KEY, false);
	FmShared image = {dsm_attach(state->image_handle)};
	dsm_segment *shared = dsm_attach(state->segment_handle);
	Member member = {.state = state};

	if (image.segment == NULL || shared == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("could not map dynamic shared memory segment")));
	member.image = fm_shared_address(&image);
	member.segment = segment_address(shared);
	if (state->pairs != 0)
		member.pairs = fm_pairs_attach(member.segment + state->pairs, ParallelWorkerNumber + 1,
									   CurrentMemoryContext);
	if (state->scan != 0)
		read_ratings(&member, toc);
	create_scanner(&member);
	fm_ring_work(&state->ring, member.segment, member.scanner);
	dsm_detach(shared);
	dsm_detach(image.segment);
}

/* Bytes of a relation's pages; 0 for what has none of its own. */
static Size
relation_bytes(Oid relation)
{
	char kind = get_rel_relkind(relation);
	Relation opened;
	Size bytes;

	if (kind != RELKIND_RELATION && kind != RELKIND_MATVIEW)
		return 0;
	opened = table_open(relation, AccessShareLock);
	bytes = (Size) RelationGetNumberOfBlocks(opened) * BLCKSZ;
	table_close(opened, NoLock);
	return bytes;
}

int
fm_batch_workers(const FmServing *serving, bool exclude_seen)
{
	const FmLoaded *loaded = serving->loaded;
	Size user_bytes = (loaded->num_factors + 1) * sizeof(float);
	Size read = relation_bytes(serving->model.user_table);
	double scores = (double) read / user_bytes * loaded->num_items;

	if (exclude_seen)
		read += relation_bytes(serving->model.definition.ratings);
	if (loaded->shared.segment == NULL || loaded->num_items == 0 || !serving->read_only ||
		IsInParallelMode() || max_parallel_maintenance_workers == 0)
		return 0;
	if (scores < SCORES_PER_WORKER && read / BLCKSZ < (Size) min_parallel_table_scan_size)
		return 0;
	return max_parallel_maintenance_workers;
}

/*
 * Memory for ring, pairs and what a scan of the ratings needs; false, with a notice, if there is
 * none.
 */
static bool
create_segment(BatchPlan *plan)
{
	const char *problem;
	Size size = add_size(add_size(plan->ring_size, plan->pairs_size), plan->scan_size);

	plan->segment = fm_segment_create(size + ALIGNMENT, &problem);
	if (plan->segment == NULL)
		ereport(NOTICE, (errmsg("computing lists without workers: %s", problem),
						 errhint("Give the system more shared memory, or set "
								 "max_parallel_maintenance_workers to 0.")));
	return plan->segment != NULL;
}

/* FmPairsMaker: in a segment made now. */
static FmPairs *
make_shared_pairs(void *state, int32 num_users, MemoryContext context)
{
	BatchPlan *plan = state;
	Size room = (Size) maintenance_work_mem * 1024;

	if (plan->ids != NULL)
	{
		Relation ratings = open_ratings(plan);

		room = fm_seen_scan_room(ratings);
		table_close(ratings, NoLock);
	}
	plan->pairs_size = TYPEALIGN(ALIGNMENT, fm_pairs_size(num_users, plan->members, room));
	if (!create_segment(plan))
		return NULL;
	return fm_pairs_create_shared(segment_address(plan->segment) + plan->ring_size,
								  plan->pairs_size, num_users, plan->members, context);
}

/* Where pairs go, empty or not; false if there is no room for them. */
static bool
prepare_pairs(BatchPlan *plan)
{
	const FmServing *serving = plan->serving;
	MemoryContext context = CurrentMemoryContext;

	fm_check_ratings(serving);
	if (!fm_seen_scan_possible(serving))
	{
		plan->pairs = fm_seen_read(serving, context, make_shared_pairs, plan);
		return plan->pairs != NULL;
	}
	plan->ids = fm_seen_scan_users(serving, context, &plan->num_users);
	if (plan->ids == NULL)
		return false;
	plan->scan_size = fm_seen_scan_size(plan->ids, plan->num_users);
	plan->pairs = make_shared_pairs(plan, plan->num_users, context);
	if (plan->pairs == NULL)
		return false;
	fm_seen_scan_init((FmSeenScan *) (segment_address(plan->segment) + plan->ring_size +
									  plan->pairs_size),
					  serving, plan->ids, plan->num_users, plan->check);
	return true;
}

bool
fm_batch_in_parallel(const FmServing *serving, int workers, int32 x, bool exclude_seen,
					 const FmListReceiver *receiver)
{
	BatchPlan plan = {.serving = serving,
					  .members = workers + 1,
					  .exclude_seen = exclude_seen,
					  .check = receiver->check};
	bool done;

	plan.shape = fm_block_shape(serving->loaded, x);
	plan.ring_size = fm_ring_size(&plan.shape, plan.members);
	done = exclude_seen ? prepare_pairs(&plan) : create_segment(&plan);
	if (done)
		done = lead(&plan, receiver);
	if (plan.segment != NULL)
		dsm_detach(plan.segment);
	return done;
}
