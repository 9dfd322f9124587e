/*
 * Teams of processes: they train the same model as a single process, bit for bit, in as much shared
 * memory as estimated. Prints TAP.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/team.h"
#include "support/planted.h"
#include "support/tap.h"

/* The memory that the processes of a team share; the arrays of their solver follow it. */
typedef struct TeamMemory
{
	pthread_barrier_t barrier;
	atomic_llong counters[FM_TEAM_COUNTERS];
	size_t size;
	char arrays[] __attribute__((aligned(64)));
} TeamMemory;

static TeamMemory *team_memory;
static size_t team_used;

static void *
team_alloc(void *ctx, size_t count, size_t size)
{
	void *memory = team_memory->arrays + team_used;

	team_used += (count * size + 63) / 64 * 64;
	if (team_used > team_memory->size)
		host.fail(host.ctx, "more shared memory than was estimated");
	return memory;
}

static void
team_barrier(void *ctx)
{
	pthread_barrier_wait(&team_memory->barrier);
}

static int64_t
team_claim(void *ctx, int counter, int64_t amount)
{
	return atomic_fetch_add(&team_memory->counters[counter], amount);
}

static void
team_reset(void *ctx, int counter)
{
	atomic_store(&team_memory->counters[counter], 0);
}

static size_t
new_team_memory(const FmRatings *ratings, const FmSolverOptions *options, int members)
{
	size_t size = fm_solve_shared_size(ratings, options, &host);
	size_t bytes = sizeof(TeamMemory) + size;
	pthread_barrierattr_t shared;

	team_memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_barrierattr_init(&shared);
	pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&team_memory->barrier, &shared, members);
	team_memory->size = size;
	team_used = 0;
	return bytes;
}

static bool
same_level_bits(const FmRatings *ratings, const FmParameters *a, const FmParameters *b)
{
	size_t levels = ratings->contexts.num_levels;

	if (levels > 0 &&
		(memcmp(a->context_w, b->context_w, levels * sizeof(float)) != 0 ||
		 memcmp(a->context_v, b->context_v, levels * a->num_factors * sizeof(float)) != 0))
		return false;
	for (int side = 0; side < 2; side++)
	{
		size_t rows = (size_t) ratings->features[side].num_levels + 1;

		if (rows > 1 && (memcmp(a->level_w[side], b->level_w[side], rows * sizeof(float)) != 0 ||
						 memcmp(a->level_v[side], b->level_v[side],
								rows * a->num_factors * sizeof(float)) != 0))
			return false;
	}
	return true;
}

/* Train with forked workers; return false if one of them failed. */
static bool
train_in_team(const FmRatings *ratings, const FmSolverOptions *options, int workers,
			  FmParameters *parameters)
{
	struct FmTeam team = {.alloc_shared = team_alloc,
						  .barrier = team_barrier,
						  .claim = team_claim,
						  .reset = team_reset};
	FmHost member = host;
	size_t bytes = new_team_memory(ratings, options, workers + 1);
	bool all_well = true;

	member.team = &team;
	fflush(stdout);
	for (team.member = workers; team.member > 0; team.member--)
		if (fork() == 0)
		{
			fm_solve(ratings, options, &member, NULL);
			_exit(0);
		}
	fm_solve(ratings, options, &member, parameters);
	for (int worker = 0; worker < workers; worker++)
	{
		int status;

		wait(&status);
		all_well = all_well && status == 0;
	}
	munmap(team_memory, bytes);
	return all_well;
}

/* Return features that say nothing: five levels for each entity, of forty in four groups. */
static FmFeatures
random_features(int32_t count)
{
	FmFeatureEntries entries = new_entries(5 * count, 40, 4);
	FmFeatures features;

	for (int32_t j = 0; j < entries.num_levels; j++)
	{
		entries.group[j] = j / 10;
		entries.is_numeric[j] = j % 10 == 0;
	}
	for (int32_t i = 0; i < 5 * count; i++)
	{
		int32_t level = (int32_t) (uniform() * 40);

		add_entry(&entries, level, i / 5, normal());
	}
	features = build_features(&entries);
	free_levels(&entries);
	return features;
}

/* Set contexts that say nothing: three columns, of two, three and five levels. */
static void
set_contexts(FmRatings *ratings)
{
	FmContexts *contexts = &ratings->contexts;

	*contexts = (FmContexts){3, 10, 30, host.alloc(host.ctx, 4, sizeof(int32_t)),
							 host.alloc(host.ctx, 90, sizeof(int32_t))};
	contexts->first_level[1] = 2;
	contexts->first_level[2] = 5;
	contexts->first_level[3] = 10;
	for (int32_t i = 0; i < 30; i++)
	{
		contexts->level[3 * i] = i % 2;
		contexts->level[3 * i + 1] = 2 + i / 2 % 3;
		contexts->level[3 * i + 2] = 5 + i / 6;
	}
	ratings->user_context = host.alloc(host.ctx, ratings->num_ratings, sizeof(int32_t));
	ratings->item_context = host.alloc(host.ctx, ratings->num_ratings, sizeof(int32_t));
	for (int32_t u = 0; u < ratings->num_users; u++)
		for (int64_t r = ratings->user_start[u]; r < ratings->user_start[u + 1]; r++)
			ratings->user_context[r] = (u * 7 + ratings->user_item[r] * 11) % 30;
	for (int32_t i = 0; i < ratings->num_items; i++)
		for (int64_t r = ratings->item_start[i]; r < ratings->item_start[i + 1]; r++)
			ratings->item_context[r] = (ratings->item_user[r] * 7 + i * 11) % 30;
}

static void
check_teams(const FmRatings *ratings, FmSolverKind solver, bool history, const char *what)
{
	for (int factors = 3; factors <= 40; factors += 37)
	{
		FmSolverOptions options = planted_options(solver, factors, 30, 1);
		FmParameters alone;

		options.history = history;
		fm_solve(ratings, &options, &host, &alone);
		for (int workers = 1; workers <= 3; workers++)
		{
			FmParameters p;

			ok(train_in_team(ratings, &options, workers, &p) && same_bits(&alone, &p) &&
				   same_level_bits(ratings, &alone, &p),
			   "%s, %s, %d factors, %d workers: the same bits", solver_names[solver], what, factors,
			   workers);
			free_parameters(&p);
		}
		free_parameters(&alone);
	}
}

static void
test_teams(void)
{
	Planted planted = plant(1, 0);

	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_IALS; solver++)
		check_teams(&planted.train, solver, false, "ids");
	planted.train.features[FM_USERS] = random_features(USERS);
	planted.train.features[FM_ITEMS] = random_features(ITEMS);
	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_IALS; solver++)
		check_teams(&planted.train, solver, true, "features and history");
	set_contexts(&planted.train);
	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_ALS; solver++)
		check_teams(&planted.train, solver, true, "features, history and contexts");
	free_planted(&planted);
}

int
main(void)
{
	test_teams();
	return done_testing();
}
