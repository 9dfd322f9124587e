/*
 * The lists of all users, computed by several processes.
 *
 * The work has two parts:
 *
 *   1. Read the ratings into pairs in shared memory (pairs.c). All members take part, each with a
 *      share of the pages (seen_scan.c); meanwhile the leader also reads what its receiver wants to
 *      read, and opens the walk over the users. If only SQL can read the ratings, the leader has
 *      read them before there are workers (seen_all.c).
 *   2. Compute the lists. Blocks of users go round a ring (ring.c).
 *
 * Workers may join at any time, and the leader does everything if none comes.
 *
 * What users have rated who are folded in, the leader has sorted before there are workers.
 *
 * Locking: a barrier stands between the two parts; the ring has locks of its own. Memory: workers
 * map the model's shared image, and one segment with the blocks of the ring, the pairs, what the
 * scan of the ratings needs, the items that may be in lists and the context. The pairs take at most
 * maintenance_work_mem.
 */
#include "batch/batch_team.h"

#include "access/relation.h"
#include "access/xact.h"
#include "batch/batch_block.h"
#include "batch/ring.h"
#include "batch/seen_all.h"
#include "batch/seen_scan.h"
#include "batch/users.h"
#include "core/layout.h"
#include "optimizer/paths.h"
#include "pg/parallel.h"
#include "pgstat.h"
#include "registry/progress.h"
#include "serve/list_score.h"
#include "storage/barrier.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* The segments of the work. */
enum
{
	IMAGE_SEGMENT,
	BATCH_SEGMENT
};

/* The least number of scores that pays for the start of workers: some tens of milliseconds. */
#define SCORES_PER_WORKER INT64CONST(20000000)

/* The state that all members share. */
typedef struct TeamState
{
	Size pairs; /* where the pairs are in the segment; 0: nothing is excluded */
	Size scan;	/* where the scan of the ratings is; 0: the pairs are complete */
	Size part;	/* where the items that may be in lists are; 0: all items may be */
	Size levels;
	int32 num_levels; /* of the context */
	Barrier read;
	FmRing ring;
} TeamState;

/* A member's own view. */
typedef struct Member
{
	FmParallel parallel;
	TeamState *state;
	char *segment; /* begins with the blocks of the ring */
	const FmImage *image;
	FmLoaded loaded; /* of the image */
	FmPairs *pairs;
	FmScanSource source;
	FmBlockScanner *scanner;
} Member;

/* What the leader prepares before there are workers. */
typedef struct BatchPlan
{
	const FmBatch *batch;
	const FmServing *serving;
	int members; /* at most */
	FmBlockShape shape;
	FmManyRatings *ratings;
	const int64 *ids; /* of users, for the scan; NULL: SQL reads the ratings */
	int32 num_users;
	Size scan_size;
	Size pairs_size;
	Size ring_size;
	Size context_size;
	dsm_segment *segment;
	FmPairs *pairs;
} BatchPlan;

/* Map what the members share. */
static void
init_member(Member *member)
{
	const FmShared image = {member->parallel.segments[IMAGE_SEGMENT]};

	member->state = member->parallel.state;
	member->segment = fm_parallel_address(member->parallel.segments[BATCH_SEGMENT]);
	member->image = fm_shared_address(&image);
}

static FmSeenScan *
seen_scan(const Member *member)
{
	return (FmSeenScan *) (member->segment + member->state->scan);
}

static void
create_scanner(Member *member)
{
	const TeamState *state = member->state;
	FmScanSource *source = &member->source;

	fm_loaded_of_image(member->image, &member->loaded);
	source->loaded = &member->loaded;
	source->seen = member->pairs == NULL ? NULL : fm_seen_of_pairs(member->pairs);
	if (state->part != 0)
		source->part = (const FmScanPart *) (member->segment + state->part);
	source->context.count = state->num_levels;
	source->context.levels = (float *) (member->segment + state->levels);
	member->scanner = fm_scanner_create(&state->ring.shape, source, CurrentMemoryContext);
}

/*
 * Read a share of the ratings, and wait until all members have read theirs. A member that comes
 * after that finds all ratings read.
 */
static void
read_ratings(Member *member)
{
	Barrier *read = &member->state->read;

	if (BarrierAttach(read) == 0)
	{
		fm_seen_scan_run(seen_scan(member), fm_parallel_scan(&member->parallel), member->image,
						 member->pairs);
		BarrierArriveAndWait(read, PG_WAIT_EXTENSION);
	}
	BarrierDetach(read);
}

static Relation
open_ratings(const BatchPlan *plan)
{
	return fm_open_relation(plan->serving->model.definition.ratings);
}

/* Set the state, and write to the segment what the leader alone knows. */
static void
init_state(Member *leader, const BatchPlan *plan)
{
	TeamState *state = leader->state;
	const FmListFilter *filter = plan->batch->rules.filter;
	Size part = plan->ring_size + plan->pairs_size + plan->scan_size;

	state->pairs = plan->shape.exclude_seen ? plan->ring_size : 0;
	state->scan = plan->ids != NULL ? plan->ring_size + plan->pairs_size : 0;
	state->part = plan->batch->part_size > 0 ? part : 0;
	state->levels = part + fm_align(plan->batch->part_size);
	state->num_levels = filter == NULL ? 0 : filter->context.count;
	(void) fm_batch_part(plan->batch, leader->segment + part);
	if (state->num_levels > 0)
		memcpy(leader->segment + state->levels, filter->context.levels, plan->context_size);
	BarrierInit(&state->read, 0);
	fm_ring_init(&state->ring, &plan->shape, plan->members);
}

/*
 * Do the leader's part. Return false if the receiver refused, or the ratings did not fit into
 * memory; then the receiver has got no list.
 */
static bool
take_part(Member *leader, const BatchPlan *plan)
{
	const FmListReceiver *receiver = plan->batch->receiver;
	FmUserWalk *walk;
	bool complete;

	if (!fm_receiver_begin(receiver))
		return false;
	walk = fm_batch_walk(plan->batch, plan->ratings);
	if (plan->ids != NULL)
		read_ratings(leader);
	complete = leader->pairs == NULL || !fm_pairs_too_many(leader->pairs);
	if (complete && plan->ids != NULL && receiver->check != NULL)
		fm_seen_scan_answer(seen_scan(leader), receiver->check);
	if (complete)
	{
		fm_progress_phase(plan->serving->model.name, FM_PHASE_LISTS);
		create_scanner(leader);
		leader->source.loaded = plan->serving->loaded; /* which has the types of ids, too */
		leader->source.num_users = plan->batch->num_users;
		fm_ring_lead(&leader->state->ring, leader->segment, leader->scanner, &leader->source, walk,
					 receiver);
	}
	fm_users_close(walk);
	return complete;
}

/* Lead a team. Return false if the receiver has got no list. */
static bool
lead(const BatchPlan *plan)
{
	Member leader = {.pairs = plan->pairs};
	FmParallelWork work = {.worker = "fm_batch_worker",
						   .workers = plan->members - 1,
						   .state_size = sizeof(TeamState)};
	bool complete;

	work.segments[IMAGE_SEGMENT] = plan->serving->loaded->shared.segment;
	work.segments[BATCH_SEGMENT] = plan->segment;
	if (plan->ids != NULL)
		work.scanned = open_ratings(plan);
	fm_parallel_begin(&leader.parallel, &work);
	if (work.scanned != NULL)
		relation_close(work.scanned, NoLock);
	init_member(&leader);
	init_state(&leader, plan);
	(void) fm_parallel_launch(&leader.parallel);
	complete = take_part(&leader, plan);
	fm_ring_close(&leader.state->ring);
	fm_parallel_end(&leader.parallel);
	return complete;
}

extern PGDLLEXPORT void fm_batch_worker(dsm_segment *segment, shm_toc *toc);

/* The main function of a worker. */
void
fm_batch_worker(dsm_segment *segment, shm_toc *toc)
{
	Member member = {0};

	fm_parallel_attach(&member.parallel, toc);
	init_member(&member);
	if (member.state->pairs != 0)
		member.pairs = fm_pairs_attach(member.segment + member.state->pairs, member.parallel.member,
									   CurrentMemoryContext);
	if (member.state->scan != 0)
		read_ratings(&member);
	create_scanner(&member);
	fm_ring_work(&member.state->ring, member.segment, member.scanner);
	fm_parallel_detach(&member.parallel);
}

/* Return the size of a relation; 0 if it has no pages of its own. */
static Size
relation_bytes(Oid relation)
{
	char kind = get_rel_relkind(relation);
	Relation opened;
	Size bytes;

	if (kind != RELKIND_RELATION && kind != RELKIND_MATVIEW)
		return 0;
	opened = fm_open_relation(relation);
	bytes = (Size) RelationGetNumberOfBlocks(opened) * BLCKSZ;
	relation_close(opened, NoLock);
	return bytes;
}

/* Return the number of scores that the lists take, about. */
static double
count_scores(const FmBatch *batch, Size user_table)
{
	const FmLoaded *loaded = batch->serving->loaded;
	Size user_bytes = fm_query_length(loaded) * sizeof(float);
	double users = (double) user_table / user_bytes;

	if (batch->choice != NULL && batch->choice->wanted != NULL)
		users = fm_idmap_count(batch->choice->wanted);
	return users * batch->num_items;
}

int
fm_batch_workers(const FmBatch *batch)
{
	const FmServing *serving = batch->serving;
	const FmLoaded *loaded = serving->loaded;
	Size read = relation_bytes(serving->model.user_table);
	double scores = count_scores(batch, read);

	if (batch->rules.exclude_seen)
		read += relation_bytes(serving->model.definition.ratings);
	if (loaded->shared.segment == NULL || batch->num_items == 0 || !serving->read_only ||
		IsInParallelMode() || max_parallel_maintenance_workers == 0)
		return 0;
	if (scores < SCORES_PER_WORKER && read / BLCKSZ < (Size) min_parallel_table_scan_size)
		return 0;
	return max_parallel_maintenance_workers;
}

/*
 * Create the segment for ring, pairs, scan, items and context. Return false, with a notice, if
 * there is no memory for it.
 */
static bool
create_segment(BatchPlan *plan)
{
	Size size = add_size(add_size(plan->ring_size, plan->pairs_size), plan->scan_size);

	size = add_size(size, add_size(fm_align(plan->batch->part_size), plan->context_size));

	plan->segment = fm_parallel_segment(size, "computing lists",
										"set max_parallel_maintenance_workers to 0");
	return plan->segment != NULL;
}

/* FmPairsMaker: create the segment, too. */
static FmPairs *
make_shared_pairs(void *state, int32 num_users, MemoryContext context)
{
	BatchPlan *plan = state;
	Size room = (Size) maintenance_work_mem * 1024;

	if (plan->ids != NULL)
	{
		Relation ratings = open_ratings(plan);

		room = fm_seen_scan_room(ratings);
		relation_close(ratings, NoLock);
	}
	plan->pairs_size = fm_align(fm_pairs_size(num_users, plan->members, room));
	if (!create_segment(plan))
		return NULL;
	return fm_pairs_create_shared(fm_parallel_address(plan->segment) + plan->ring_size,
								  plan->pairs_size, num_users, plan->members, context);
}

/*
 * Create the pairs, and fill them if only SQL can read the ratings. Return false if there is no
 * memory for them.
 */
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
	plan->scan_size = fm_align(fm_seen_scan_size(plan->ids, plan->num_users));
	plan->pairs = make_shared_pairs(plan, plan->num_users, context);
	if (plan->pairs == NULL)
		return false;
	fm_seen_scan_init((FmSeenScan *) (fm_parallel_address(plan->segment) + plan->ring_size +
									  plan->pairs_size),
					  serving, plan->ids, plan->num_users, plan->batch->receiver->check);
	return true;
}

bool
fm_batch_in_parallel(const FmBatch *batch, int workers)
{
	const FmListFilter *filter = batch->rules.filter;
	BatchPlan plan = {.batch = batch,
					  .serving = batch->serving,
					  .members = workers + 1,
					  .shape = fm_batch_shape(batch)};
	bool done;

	plan.ring_size = fm_ring_size(&plan.shape, plan.members);
	if (filter != NULL)
		plan.context_size = filter->context.count * (plan.shape.num_factors + 1) * sizeof(float);
	done = plan.shape.exclude_seen ? prepare_pairs(&plan) : create_segment(&plan);
	if (done)
	{
		plan.ratings = fm_batch_ratings(batch);
		done = lead(&plan);
		if (plan.ratings != NULL)
			fm_many_ratings_close(plan.ratings);
	}
	if (plan.segment != NULL)
		dsm_detach(plan.segment);
	return done;
}
