/*
 * A training's team: this backend and parallel workers, with the memory they share.
 *
 * Workers come from PostgreSQL's parallel infrastructure, which gives them the leader's role, settings and
 * snapshot, hands their errors to the leader, and ends them with him. They attach to two segments of
 * dynamic shared memory, one with the ratings and one that the solver carves its arrays from, and run
 * fm_solve as members of his team (core/team.h). With no worker to be had, or no shared memory, the
 * backend trains alone, with the same result.
 *
 * The snapshot is for the workers' start, which asks for one: each lets go of his own then, and the leader of his
 * when all have it, so that a long training does not hold back vacuum, unless the leader's transaction does.
 *
 * Locking: no locks; members meet at a barrier and count with atomics. In parallel mode nothing may be
 * written to the database, so it lasts only as long as fm_solve. Memory: segments belong to the resource
 * owner of the transaction and to nobody after fm_release_ratings; local arrays to the current context.
 */
#include "train/train_workers.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "core/team.h"
#include "pg/host_pg.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "pg/segment.h"
#include "storage/barrier.h"
#include "storage/condition_variable.h"
#include "storage/shm_toc.h"
#include "storage/spin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define ALIGNMENT 64
#define TEAM_KEY UINT64CONST(1)

#define RATING_ARRAYS (12 + 2 * FM_FEATURE_ARRAYS)
#define NO_ARRAY ((Size) -1)

/* A stretch of memory that allocations are cut from, one after the other. */
typedef struct Arena
{
	char *base;
	Size size;
	Size used;
	dsm_segment *segment; /* NULL: local memory */
} Arena;

struct FmSharedRatings
{
	FmRatings ratings;
	Arena arena;
};

/* What all members see. */
typedef struct TeamState
{
	dsm_handle ratings_handle;
	dsm_handle solver_handle;
	Size solver_size;
	FmRatings ratings;			 /* the numbers in it; its arrays are elsewhere for every member */
	Size offsets[RATING_ARRAYS]; /* of the ratings' arrays in their segment, or NO_ARRAY */
	FmSolverOptions options;

	slock_t mutex;
	int members; /* 0 until the leader knows how many have come */
	ConditionVariable started;
	Barrier barrier;
	pg_atomic_uint64 counters[FM_TEAM_COUNTERS];
} TeamState;

/* A member's own view. */
typedef struct Member
{
	struct FmTeam team;
	TeamState *state;
	Arena arena;
} Member;

static void *
arena_alloc(Arena *arena, size_t count, size_t size)
{
	Size bytes = TYPEALIGN(ALIGNMENT, mul_size(count, size));
	void *memory = arena->base + arena->used;

	if (bytes > arena->size - arena->used)
		elog(ERROR, "a training needs more shared memory than was estimated");
	arena->used += bytes;
	return memory;
}

/* A segment of shared memory, zeroed; NULL, with a notice, if the system has none to give. */
static dsm_segment *
try_shared_memory(Size size)
{
	const char *problem;
	dsm_segment *segment = fm_segment_create(size, &problem);

	if (segment == NULL)
		ereport(NOTICE, (errmsg("training without workers: %s", problem),
						 errhint("Give the system more shared memory, or ask for workers => 0.")));
	return segment;
}

static Arena
create_arena(Size size, bool shared)
{
	Arena arena = {.size = size};

	if (shared)
		arena.segment = try_shared_memory(size + ALIGNMENT);
	if (arena.segment != NULL)
		arena.base = dsm_segment_address(arena.segment);
	else
		arena.base = MemoryContextAllocExtended(CurrentMemoryContext, size + ALIGNMENT,
												MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	arena.base = (char *) TYPEALIGN(ALIGNMENT, arena.base);
	return arena;
}

/* A host that allocates from an arena and never gives back. */
static void *
arena_host_alloc(void *ctx, size_t count, size_t size)
{
	return arena_alloc(ctx, count, size);
}

static void
arena_host_release(void *ctx, void *pointer)
{
}

static void
arena_host_check_interrupts(void *ctx)
{
	CHECK_FOR_INTERRUPTS();
}

static void *
arena_copy(Arena *arena, const void *from, size_t count, size_t size)
{
	void *to = arena_alloc(arena, count, size);

	memcpy(to, from, count * size);
	return to;
}

/* Copy features into the arena, which has room for fm_features_size and the alignment of their arrays. */
static FmFeatures
copy_features(Arena *arena, const FmFeatures *features)
{
	FmFeatures copy = *features;
	int64 count;

	if (features->num_levels == 0)
		return copy;
	count = features->start[features->num_levels];
	copy.start = arena_copy(arena, features->start, features->num_levels + 1, sizeof(int64));
	copy.entity = arena_copy(arena, features->entity, count, sizeof(int32));
	copy.value = arena_copy(arena, features->value, count, sizeof(float));
	copy.group = arena_copy(arena, features->group, features->num_levels, sizeof(int32));
	return copy;
}

/* The same of contexts, with room for contexts_size. */
static FmContexts
copy_contexts(Arena *arena, const FmContexts *contexts)
{
	FmContexts copy = *contexts;

	if (contexts->num_columns == 0)
		return copy;
	copy.first_level = arena_copy(arena, contexts->first_level, contexts->num_columns + 1,
								  sizeof(int32));
	copy.level = arena_copy(arena, contexts->level, contexts->num_combinations,
							contexts->num_columns * sizeof(int32));
	return copy;
}

static Size
contexts_size(const FmContexts *contexts)
{
	return mul_size(add_size(contexts->num_combinations, 2),
					(contexts->num_columns + 1) * sizeof(int32));
}

static Size
features_size(const FmFeatures *features)
{
	if (features->num_levels == 0)
		return 0;
	return (Size) fm_features_size(features->start[features->num_levels], features->num_levels);
}

FmSharedRatings *
fm_share_ratings(FmTriples *triples, int32 num_users, int32 num_items, const FmFeatures *features,
				 const FmContexts *contexts, int workers, const FmHost *host)
{
	FmSharedRatings *shared = palloc0(sizeof(FmSharedRatings));
	FmHost arena_host = *host;
	const int starts = 3; /* two are kept, one is scratch */
	Size row = sizeof(int32) + sizeof(float) + (triples->weight != NULL ? sizeof(float) : 0) +
			   (triples->context != NULL ? sizeof(int32) : 0);
	Size entities = add_size(num_users, num_items) + 2;
	Size size = add_size(mul_size(2 * row, triples->count + 1),
						 mul_size(starts * sizeof(int64), entities)) +
				add_size(features_size(&features[0]), features_size(&features[1])) +
				contexts_size(contexts) + (2 * RATING_ARRAYS) * ALIGNMENT;

	shared->arena = create_arena(size, workers > 0);
	arena_host.ctx = &shared->arena;
	arena_host.alloc = arena_host_alloc;
	arena_host.release = arena_host_release;
	arena_host.check_interrupts = arena_host_check_interrupts;
	fm_ratings_by_user(triples, num_users, num_items, &arena_host, &shared->ratings);
	pfree(triples->user);
	pfree(triples->item);
	pfree(triples->value);
	if (triples->weight != NULL)
		pfree(triples->weight);
	if (triples->context != NULL)
		pfree(triples->context);
	fm_ratings_complete(&shared->ratings, &arena_host);
	for (int side = 0; side < 2; side++)
		shared->ratings.features[side] = copy_features(&shared->arena, &features[side]);
	shared->ratings.contexts = copy_contexts(&shared->arena, contexts);
	return shared;
}

FmRatings *
fm_shared_ratings(FmSharedRatings *shared)
{
	return &shared->ratings;
}

void
fm_release_ratings(FmSharedRatings *shared)
{
	if (shared->arena.segment != NULL)
		dsm_detach(shared->arena.segment);
}

static void *
team_alloc_shared(void *ctx, size_t count, size_t size)
{
	return arena_alloc(&((Member *) ctx)->arena, count, size);
}

static void
team_barrier(void *ctx)
{
	BarrierArriveAndWait(&((Member *) ctx)->state->barrier, PG_WAIT_EXTENSION);
}

static int64_t
team_claim(void *ctx, int counter, int64_t amount)
{
	return (int64_t) pg_atomic_fetch_add_u64(&((Member *) ctx)->state->counters[counter], amount);
}

static void
team_reset(void *ctx, int counter)
{
	pg_atomic_write_u64(&((Member *) ctx)->state->counters[counter], 0);
}

static void
init_member(Member *member, int number, TeamState *state, const Arena *arena)
{
	member->state = state;
	member->arena = *arena;
	member->team.ctx = member;
	member->team.member = number;
	member->team.alloc_shared = team_alloc_shared;
	member->team.barrier = team_barrier;
	member->team.claim = team_claim;
	member->team.reset = team_reset;
}

/* The arrays of the ratings, in a fixed order; those of weights, contexts and features may be NULL. */
static void
list_arrays(FmRatings *ratings, void ***arrays)
{
	arrays[0] = (void **) &ratings->user_start;
	arrays[1] = (void **) &ratings->user_item;
	arrays[2] = (void **) &ratings->user_value;
	arrays[3] = (void **) &ratings->item_start;
	arrays[4] = (void **) &ratings->item_user;
	arrays[5] = (void **) &ratings->item_value;
	arrays[6] = (void **) &ratings->user_weight;
	arrays[7] = (void **) &ratings->item_weight;
	arrays[8] = (void **) &ratings->user_context;
	arrays[9] = (void **) &ratings->item_context;
	arrays[10] = (void **) &ratings->contexts.first_level;
	arrays[11] = (void **) &ratings->contexts.level;
	arrays += 12;
	for (int side = 0; side < 2; side++)
	{
		FmFeatures *features = &ratings->features[side];

		arrays[0] = (void **) &features->start;
		arrays[1] = (void **) &features->entity;
		arrays[2] = (void **) &features->value;
		arrays[3] = (void **) &features->group;
		arrays += FM_FEATURE_ARRAYS;
	}
}

static void
init_state(TeamState *state, FmSharedRatings *shared, const Arena *solver,
		   const FmSolverOptions *options)
{
	void **arrays[RATING_ARRAYS];

	state->ratings_handle = dsm_segment_handle(shared->arena.segment);
	state->solver_handle = dsm_segment_handle(solver->segment);
	state->solver_size = solver->size;
	state->ratings = shared->ratings;
	list_arrays(&shared->ratings, arrays);
	for (int i = 0; i < RATING_ARRAYS; i++)
		state->offsets[i] = *arrays[i] == NULL
								? NO_ARRAY
								: (char *) *arrays[i] -
									  (char *) dsm_segment_address(shared->arena.segment);
	state->options = *options;
	SpinLockInit(&state->mutex);
	state->members = 0;
	ConditionVariableInit(&state->started);
	for (int i = 0; i < FM_TEAM_COUNTERS; i++)
		pg_atomic_init_u64(&state->counters[i], 0);
}

/* Tell the workers how many have come; from now on the barrier waits for them all. */
static void
start_team(TeamState *state, int members)
{
	BarrierInit(&state->barrier, members);
	SpinLockAcquire(&state->mutex);
	state->members = members;
	SpinLockRelease(&state->mutex);
	ConditionVariableBroadcast(&state->started);
}

static void
wait_for_start(TeamState *state)
{
	for (;;)
	{
		int members;

		SpinLockAcquire(&state->mutex);
		members = state->members;
		SpinLockRelease(&state->mutex);
		if (members > 0)
			break;
		ConditionVariableSleep(&state->started, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

static void
drop_snapshot(void)
{
	PopActiveSnapshot();
	InvalidateCatalogSnapshot();
}

/* Launch the workers and lead them; false if none has come, and nothing is done. */
static bool
lead_team(FmSharedRatings *shared, const Arena *solver, const FmSolverOptions *options, int workers,
		  const FmHost *host, FmParameters *result)
{
	ParallelContext *context;
	TeamState *state;
	Member leader = {0};
	FmHost member_host = *host;
	bool led;

	PushActiveSnapshot(GetTransactionSnapshot());
	EnterParallelMode();
	context = CreateParallelContext("$libdir/fmtopx", "fm_train_worker", workers);
	shm_toc_estimate_chunk(&context->estimator, sizeof(TeamState));
	shm_toc_estimate_keys(&context->estimator, 1);
	InitializeParallelDSM(context);
	state = shm_toc_allocate(context->toc, sizeof(TeamState));
	init_state(state, shared, solver, options);
	shm_toc_insert(context->toc, TEAM_KEY, state);
	LaunchParallelWorkers(context);
	led = context->nworkers_launched > 0;
	if (led)
	{
		WaitForParallelWorkersToAttach(context);
		start_team(state, context->nworkers_launched + 1);
		BarrierArriveAndWait(&state->barrier, PG_WAIT_EXTENSION);
	}
	drop_snapshot();
	if (led)
	{
		init_member(&leader, 0, state, solver);
		member_host.team = &leader.team;
		fm_solve(&shared->ratings, options, &member_host, result);
		WaitForParallelWorkersToFinish(context);
	}
	DestroyParallelContext(context);
	ExitParallelMode();
	return led;
}

void
fm_solve_in_parallel(FmSharedRatings *shared, const FmSolverOptions *options, int workers,
					 const FmHost *host, FmParameters *result)
{
	bool led = false;

	if (workers > 0 && shared->arena.segment != NULL)
	{
		Arena solver = create_arena(fm_solve_shared_size(&shared->ratings, options, host), true);

		if (solver.segment != NULL)
		{
			led = lead_team(shared, &solver, options, workers, host, result);
			dsm_detach(solver.segment);
		}
	}
	if (!led)
		fm_solve(&shared->ratings, options, host, result);
}

extern PGDLLEXPORT void fm_train_worker(dsm_segment *segment, shm_toc *toc);

/* The main function of a worker. */
void
fm_train_worker(dsm_segment *segment, shm_toc *toc)
{
	TeamState *state = shm_toc_lookup(toc, TEAM_KEY, false);
	dsm_segment *ratings_segment = dsm_attach(state->ratings_handle);
	dsm_segment *solver_segment = dsm_attach(state->solver_handle);
	FmHost host = *fm_pg_host(CurrentMemoryContext);
	Member member = {0};
	Arena arena = {.size = state->solver_size};
	FmRatings ratings = state->ratings;
	void **arrays[RATING_ARRAYS];

	if (ratings_segment == NULL || solver_segment == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("could not map dynamic shared memory segment")));
	list_arrays(&ratings, arrays);
	for (int i = 0; i < RATING_ARRAYS; i++)
		if (state->offsets[i] != NO_ARRAY)
			*arrays[i] = (char *) dsm_segment_address(ratings_segment) + state->offsets[i];
	arena.base = (char *) TYPEALIGN(ALIGNMENT, dsm_segment_address(solver_segment));
	drop_snapshot();
	wait_for_start(state);
	BarrierArriveAndWait(&state->barrier, PG_WAIT_EXTENSION);
	init_member(&member, ParallelWorkerNumber + 1, state, &arena);
	host.team = &member.team;
	fm_solve(&ratings, &state->options, &host, NULL);
	dsm_detach(ratings_segment);
	dsm_detach(solver_segment);
	PushActiveSnapshot(GetTransactionSnapshot()); /* for our caller to pop */
}
