/*
 * The team of a training: this backend, the leader, and parallel workers, with the memory they
 * share.
 *
 * The members share two segments of dynamic shared memory: one with the ratings, and one for the
 * arrays of the solver. All members run fm_solve as a team (core/team.h). If no worker or no shared
 * memory is available, the backend trains alone, with the same result.
 *
 * The members start together and hold no snapshot while they compute (pg/parallel.h), so a long
 * training does not keep vacuum from removing rows, unless the leader's transaction does.
 *
 * Locking: none; members meet at a barrier and count with atomics. Parallel mode forbids writing to
 * the database, so it lasts only as long as fm_solve. Memory: the segments belong to the
 * transaction's resource owner until they are released; local arrays belong to the current context.
 */
#include "train/train_workers.h"

#include "core/layout.h"
#include "core/team.h"
#include "pg/host_pg.h"
#include "pg/parallel.h"
#include "port/atomics.h"
#include "utils/memutils.h"

/* The segments of the work. */
enum
{
	RATINGS_SEGMENT,
	SOLVER_SEGMENT
};

#define RATING_ARRAYS (12 + 2 * FM_FEATURE_ARRAYS)
#define NO_ARRAY ((Size) -1)

/* A block of memory that is allocated from front to back. */
typedef struct Arena
{
	char *base;
	Size size;
	Size used;
	dsm_segment *segment; /* NULL: local memory */
	void *local;		  /* which the base is in */
} Arena;

struct FmSharedRatings
{
	FmRatings ratings;
	Arena arena;
};

/* The state that all members share. */
typedef struct TeamState
{
	Size solver_size;
	FmRatings ratings;			 /* its numbers; the address of an array differs between members */
	Size offsets[RATING_ARRAYS]; /* of its arrays in their segment, or NO_ARRAY */
	FmSolverOptions options;
	pg_atomic_uint64 counters[FM_TEAM_COUNTERS];
} TeamState;

/* A member's own view. */
typedef struct Member
{
	struct FmTeam team;
	FmParallel parallel;
	TeamState *state;
	Arena arena;
} Member;

static void *
arena_alloc(Arena *arena, size_t count, size_t size)
{
	Size bytes = fm_align(mul_size(count, size));
	void *memory = arena->base + arena->used;

	if (bytes > arena->size - arena->used)
		elog(ERROR, "a training needs more shared memory than was estimated");
	arena->used += bytes;
	return memory;
}

static Arena
create_arena(Size size, bool shared)
{
	Arena arena = {.size = size};

	if (shared)
		arena.segment = fm_parallel_segment(size, "training", "ask for workers => 0");
	if (arena.segment != NULL)
		arena.base = fm_parallel_address(arena.segment);
	else
	{
		arena.local = MemoryContextAllocExtended(CurrentMemoryContext, size + FM_ALIGNMENT,
												 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
		arena.base = fm_align_pointer(arena.local);
	}
	return arena;
}

/* FmHost that allocates from an arena. Nothing is released. */
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

/*
 * Copy features into the arena, which has room for fm_features_size and the alignment of their
 * arrays.
 */
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

/* Copy contexts into the arena, which has room for contexts_size. */
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
	const int starts = 3; /* arrays with one entry for each entity: two are kept, one is scratch */
	Size row = sizeof(int32) + sizeof(float) + (triples->weight != NULL ? sizeof(float) : 0) +
			   (triples->context != NULL ? sizeof(int32) : 0);
	Size entities = add_size(num_users, num_items) + 2;
	Size size = add_size(mul_size(2 * row, triples->count + 1),
						 mul_size(starts * sizeof(int64), entities)) +
				add_size(features_size(&features[0]), features_size(&features[1])) +
				contexts_size(contexts) + (2 * RATING_ARRAYS) * FM_ALIGNMENT;

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
	else
		pfree(shared->arena.local);
}

static void *
team_alloc_shared(void *ctx, size_t count, size_t size)
{
	return arena_alloc(&((Member *) ctx)->arena, count, size);
}

static void
team_barrier(void *ctx)
{
	fm_parallel_barrier(&((Member *) ctx)->parallel);
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
init_member(Member *member, const Arena *arena)
{
	member->state = member->parallel.state;
	member->arena = *arena;
	member->team.ctx = member;
	member->team.member = member->parallel.member;
	member->team.alloc_shared = team_alloc_shared;
	member->team.barrier = team_barrier;
	member->team.claim = team_claim;
	member->team.reset = team_reset;
}

/*
 * List the arrays of the ratings, in a fixed order. Those of weights, contexts and features may be
 * NULL.
 */
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

	state->solver_size = solver->size;
	state->ratings = shared->ratings;
	list_arrays(&shared->ratings, arrays);
	for (int i = 0; i < RATING_ARRAYS; i++)
		state->offsets[i] = *arrays[i] == NULL ? NO_ARRAY
											   : (Size) ((char *) *arrays[i] - shared->arena.base);
	state->options = *options;
	state->options.watch = NULL; /* the leader's alone */
	for (int i = 0; i < FM_TEAM_COUNTERS; i++)
		pg_atomic_init_u64(&state->counters[i], 0);
}

/* Launch the workers and solve with them; if there are none, do nothing and return false. */
static bool
lead_team(FmSharedRatings *shared, const Arena *solver, const FmSolverOptions *options, int workers,
		  const FmHost *host, FmParameters *result)
{
	FmParallelWork work = {.worker = "fm_train_worker",
						   .workers = workers,
						   .state_size = sizeof(TeamState),
						   .together = true};
	Member leader = {0};
	FmHost member_host = *host;
	bool led;

	work.segments[RATINGS_SEGMENT] = shared->arena.segment;
	work.segments[SOLVER_SEGMENT] = solver->segment;
	fm_parallel_begin(&leader.parallel, &work);
	init_state(leader.parallel.state, shared, solver, options);
	led = fm_parallel_launch(&leader.parallel) > 0;
	if (led)
	{
		init_member(&leader, solver);
		member_host.team = &leader.team;
		fm_solve(&shared->ratings, options, &member_host, result);
	}
	fm_parallel_end(&leader.parallel);
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
	Member member = {0};
	FmHost host = *fm_pg_host(CurrentMemoryContext);
	Arena arena = {0};
	TeamState *state;
	FmRatings ratings;
	void **arrays[RATING_ARRAYS];
	char *base;

	fm_parallel_attach(&member.parallel, toc);
	state = member.parallel.state;
	ratings = state->ratings;
	list_arrays(&ratings, arrays);
	base = fm_parallel_address(member.parallel.segments[RATINGS_SEGMENT]);
	for (int i = 0; i < RATING_ARRAYS; i++)
		if (state->offsets[i] != NO_ARRAY)
			*arrays[i] = base + state->offsets[i];
	arena.base = fm_parallel_address(member.parallel.segments[SOLVER_SEGMENT]);
	arena.size = state->solver_size;
	init_member(&member, &arena);
	host.team = &member.team;
	fm_solve(&ratings, &state->options, &host, NULL);
	fm_parallel_detach(&member.parallel);
}
