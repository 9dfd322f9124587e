/*
 * The training core on made-up data: it finds what was planted, gives the same bits for the same seed,
 * survives the corners, its kernels agree, and the distilled model is the posterior mean. Prints TAP.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/block.h"
#include "core/distill.h"
#include "core/gibbs.h"
#include "core/rng.h"
#include "core/solver.h"
#include "core/team.h"
#include "host_test.h"
#include "tap_test.h"

static long interrupt_checks = 0;
static FmHost host;
static uint64_t random_state;

/* In (0, 1), and roughly normal; splitmix64. */
static double
uniform(void)
{
	uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return ((double) ((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}

static double
normal(void)
{
	double sum = -6;

	for (int i = 0; i < 12; i++)
		sum += uniform();
	return sum;
}

static FmTriples
new_triples(int64_t room)
{
	return (FmTriples){0,
					   host.alloc(host.ctx, room, sizeof(int32_t)),
					   host.alloc(host.ctx, room, sizeof(int32_t)),
					   host.alloc(host.ctx, room, sizeof(float)),
					   NULL,
					   NULL};
}

static void
free_triples(FmTriples *triples)
{
	host.release(host.ctx, triples->user);
	host.release(host.ctx, triples->item);
	host.release(host.ctx, triples->value);
	host.release(host.ctx, triples->weight);
}

static void
add(FmTriples *triples, int32_t user, int32_t item, double value)
{
	triples->user[triples->count] = user;
	triples->item[triples->count] = item;
	triples->value[triples->count++] = (float) value;
}

/* Both compressed orders; frees the triples. */
static FmRatings
new_ratings(FmTriples *triples, int32_t users, int32_t items)
{
	FmRatings ratings;

	fm_ratings_by_user(triples, users, items, &host, &ratings);
	free_triples(triples);
	fm_ratings_complete(&ratings, &host);
	return ratings;
}

static void
free_ratings(FmRatings *ratings)
{
	host.release(host.ctx, ratings->user_start);
	host.release(host.ctx, ratings->user_item);
	host.release(host.ctx, ratings->user_value);
	host.release(host.ctx, ratings->item_start);
	host.release(host.ctx, ratings->item_user);
	host.release(host.ctx, ratings->item_value);
	host.release(host.ctx, ratings->user_weight);
	host.release(host.ctx, ratings->item_weight);
	host.release(host.ctx, ratings->user_context);
	host.release(host.ctx, ratings->item_context);
	host.release(host.ctx, ratings->contexts.first_level);
	host.release(host.ctx, ratings->contexts.level);
	for (int side = 0; side < 2; side++)
	{
		host.release(host.ctx, ratings->features[side].start);
		host.release(host.ctx, ratings->features[side].entity);
		host.release(host.ctx, ratings->features[side].value);
		host.release(host.ctx, ratings->features[side].group);
	}
}

/* Whether trainings make use of history. */
static bool with_history = false;

/* The default is for ratings with more noise than these. */
#define ALS_L2_REG 0.2f

static const char *const solver_names[] = {"mcmc", "als", "ials"};

static FmSolverOptions
solver_options(FmSolverKind solver, int num_factors, int iterations, uint64_t seed)
{
	bool ranking = solver == FM_SOLVER_IALS;

	return (FmSolverOptions){.task = ranking ? FM_TASK_RANKING : FM_TASK_REGRESSION,
							 .solver = solver,
							 .num_factors = num_factors,
							 .iterations = iterations,
							 .l2_reg_w = ranking ? -1 : ALS_L2_REG,
							 .l2_reg_v = ranking ? -1 : ALS_L2_REG,
							 .unobserved_weight = -1,
							 .init_stdev = -1,
							 .seed = seed,
							 .history = with_history};
}

static FmParameters
train(const FmRatings *ratings, FmSolverKind solver, int num_factors, int iterations, uint64_t seed)
{
	FmSolverOptions options = solver_options(solver, num_factors, iterations, seed);
	FmParameters parameters;

	fm_solve(ratings, &options, &host, &parameters);
	return parameters;
}

static void
free_parameters(FmParameters *parameters)
{
	host.release(host.ctx, parameters->user_w);
	host.release(host.ctx, parameters->user_v);
	host.release(host.ctx, parameters->item_w);
	host.release(host.ctx, parameters->item_v);
	host.release(host.ctx, parameters->context_w);
	host.release(host.ctx, parameters->context_v);
	for (int side = 0; side < 2; side++)
	{
		host.release(host.ctx, parameters->level_w[side]);
		host.release(host.ctx, parameters->level_v[side]);
	}
}

/* ---- Planted data ---- */

#define USERS 300
#define ITEMS 200
#define PLANTED_RANK 3
#define NOISE 0.5

typedef struct Planted
{
	FmRatings train;
	FmTriples test;
} Planted;

/* Ratings of a known model, in given units; a tenth is held out, and the last user and item with it. */
static Planted
plant(double unit, double offset)
{
	static double v[USERS + ITEMS][PLANTED_RANK], w[USERS + ITEMS];
	FmTriples seen = new_triples(USERS * ITEMS);
	Planted planted = {.test = new_triples(USERS * ITEMS)};

	random_state = 1;
	for (int e = 0; e < USERS + ITEMS; e++)
	{
		w[e] = 0.5 * normal();
		for (int f = 0; f < PLANTED_RANK; f++)
			v[e][f] = 0.8 * normal();
	}
	for (int u = 0; u < USERS; u++)
		for (int i = 0; i < ITEMS; i++)
		{
			double draw = uniform(), value = 3 + w[u] + w[USERS + i] + NOISE * normal();

			for (int f = 0; f < PLANTED_RANK; f++)
				value += v[u][f] * v[USERS + i][f];
			value = value * unit + offset;
			if (draw > 0.4)
				continue;
			if (u == USERS - 1 || i == ITEMS - 1)
				continue;
			add(draw < 0.04 ? &planted.test : &seen, u, i, value);
		}
	planted.train = new_ratings(&seen, USERS, ITEMS);
	return planted;
}

static void
free_planted(Planted *planted)
{
	free_ratings(&planted->train);
	free_triples(&planted->test);
}

static double
test_rmse(const FmParameters *parameters, const FmTriples *test)
{
	double sum = 0;

	for (int64_t r = 0; r < test->count; r++)
	{
		double error = fm_score(parameters, test->user[r], test->item[r]) - test->value[r];

		sum += error * error;
	}
	return sqrt(sum / test->count);
}

static void
test_recovery(void)
{
	Planted planted = plant(1, 0);

	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_ALS; solver++)
	{
		FmParameters parameters = train(&planted.train, solver, 8, 0, 1);
		double rmse = test_rmse(&parameters, &planted.test) / NOISE;
		double limit = solver == FM_SOLVER_MCMC ? 1.08 : 1.15;

		ok(rmse < limit, "%s finds the planted model: RMSE is %.3f times the noise",
		   solver == FM_SOLVER_MCMC ? "mcmc" : "als", rmse);
		free_parameters(&parameters);
	}
	free_planted(&planted);
}

/* Nothing may depend on the units of the ratings. */
static void
test_units(void)
{
	static const double units[][2] = {{1e6, 0}, {1e-6, 0}, {-1, 1000}, {1e30, 0}, {1e-30, 0}};

	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_ALS; solver++)
		for (int i = 0; i < 5; i++)
		{
			Planted planted = plant(units[i][0], units[i][1]);
			FmParameters parameters = train(&planted.train, solver, 4, 15, 1);
			double rmse = test_rmse(&parameters, &planted.test) / fabs(units[i][0]) / NOISE;

			ok(rmse < 1.2, "%s in units of %g, offset %g: %.3f times the noise",
			   solver == FM_SOLVER_MCMC ? "mcmc" : "als", units[i][0], units[i][1], rmse);
			free_parameters(&parameters);
			free_planted(&planted);
		}
}

static bool
same_bits(const FmParameters *a, const FmParameters *b)
{
	size_t k = a->num_factors;

	return a->b == b->b && memcmp(a->user_w, b->user_w, USERS * sizeof(float)) == 0 &&
		   memcmp(a->item_w, b->item_w, ITEMS * sizeof(float)) == 0 &&
		   memcmp(a->user_v, b->user_v, USERS * k * sizeof(float)) == 0 &&
		   memcmp(a->item_v, b->item_v, ITEMS * k * sizeof(float)) == 0;
}

static void
test_determinism(void)
{
	Planted planted = plant(1, 0);

	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_IALS; solver++)
	{
		const char *name = solver_names[solver];
		FmParameters first = train(&planted.train, solver, 8, 10, 1);
		FmParameters again = train(&planted.train, solver, 8, 10, 1);
		FmParameters other = train(&planted.train, solver, 8, 10, 2);

		ok(same_bits(&first, &again), "%s: the same seed gives the same bits", name);
		ok(!same_bits(&first, &other), "%s: another seed gives others", name);
		free_parameters(&first);
		free_parameters(&again);
		free_parameters(&other);
	}
	free_planted(&planted);
}

/* Ratings of which every third counts twice and every fifth thrice: by weight, or by repetition. */
static FmRatings
counted_ratings(bool by_weight)
{
	FmTriples triples = new_triples(USERS * 30 * 3);

	if (by_weight)
		triples.weight = host.alloc(host.ctx, USERS * 30 * 3, sizeof(float));
	random_state = 11;
	for (int r = 0; r < USERS * 30; r++)
	{
		int item = (r * 7 + r / 30) % ITEMS, count = r % 3 == 0 ? 2 : r % 5 == 0 ? 3 : 1;
		double value = sin(r / 30) * cos(item) + 0.3 * normal();

		for (int n = 0; n < (by_weight ? 1 : count); n++)
		{
			if (by_weight)
				triples.weight[triples.count] = (float) count;
			add(&triples, r / 30, item, value);
		}
	}
	return new_ratings(&triples, USERS, ITEMS);
}

/* The largest difference of two models' scores. */
static double
apart(const FmParameters *a, const FmParameters *b)
{
	double largest = 0;

	for (int u = 0; u < USERS; u++)
		for (int i = 0; i < ITEMS; i++)
			largest = fmax(largest, fabs(fm_score(a, u, i) - fm_score(b, u, i)));
	return largest;
}

static void
test_weights(void)
{
	FmRatings weighted = counted_ratings(true), repeated = counted_ratings(false), plain;
	FmParameters by_weight = train(&weighted, FM_SOLVER_ALS, 4, 15, 1);
	FmParameters by_repetition = train(&repeated, FM_SOLVER_ALS, 4, 15, 1);
	FmParameters unweighted;

	plain = weighted;
	plain.user_weight = plain.item_weight = NULL;
	unweighted = train(&plain, FM_SOLVER_ALS, 4, 15, 1);
	ok(apart(&by_weight, &by_repetition) < 1e-3, "als: a weight is so many rows (%.1e apart)",
	   apart(&by_weight, &by_repetition));
	ok(apart(&by_weight, &unweighted) > 0.05, "als: and makes a difference (%.2f)",
	   apart(&by_weight, &unweighted));
	free_parameters(&by_weight);
	free_parameters(&by_repetition);
	free_parameters(&unweighted);
	by_weight = train(&weighted, FM_SOLVER_MCMC, 4, 200, 1);
	by_repetition = train(&repeated, FM_SOLVER_MCMC, 4, 200, 1);
	ok(apart(&by_weight, &by_repetition) < 0.05, "mcmc: the same up to sampling (%.2f apart)",
	   apart(&by_weight, &by_repetition));
	free_parameters(&by_weight);
	free_parameters(&by_repetition);
	free_ratings(&weighted);
	free_ratings(&repeated);
}

/* ---- Teams ---- */

/* What the processes of a team share, their solver's arrays behind it. */
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
		test_host_fail(ctx, "more shared memory than was estimated");
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

/* Train with forked workers; false if one of them failed. */
static bool
train_in_team(const FmRatings *ratings, FmSolverKind solver, int num_factors, int iterations,
			  int workers, FmParameters *parameters)
{
	FmSolverOptions options = solver_options(solver, num_factors, iterations, 1);
	struct FmTeam team = {.alloc_shared = team_alloc,
						  .barrier = team_barrier,
						  .claim = team_claim,
						  .reset = team_reset};
	FmHost member = host;
	size_t bytes = new_team_memory(ratings, &options, workers + 1);
	bool all_well = true;

	member.team = &team;
	fflush(stdout);
	for (team.member = workers; team.member > 0; team.member--)
		if (fork() == 0)
		{
			fm_solve(ratings, &options, &member, NULL);
			_exit(0);
		}
	fm_solve(ratings, &options, &member, parameters);
	for (int worker = 0; worker < workers; worker++)
	{
		int status;

		wait(&status);
		all_well = all_well && status == 0;
	}
	munmap(team_memory, bytes);
	return all_well;
}

/* Features that say nothing: five levels an entity, of forty in four groups. */
static FmFeatures
random_features(int32_t count)
{
	FmFeatureEntries entries = {.count = 5 * count, .num_levels = 40, .num_groups = 4};
	FmFeatures features;

	entries.level = host.alloc(host.ctx, entries.count, sizeof(int32_t));
	entries.entity = host.alloc(host.ctx, entries.count, sizeof(int32_t));
	entries.value = host.alloc(host.ctx, entries.count, sizeof(float));
	entries.group = host.alloc(host.ctx, entries.num_levels, sizeof(int32_t));
	entries.is_numeric = host.alloc(host.ctx, entries.num_levels, sizeof(bool));
	for (int32_t j = 0; j < entries.num_levels; j++)
	{
		entries.group[j] = j / 10;
		entries.is_numeric[j] = j % 10 == 0;
	}
	for (int64_t i = 0; i < entries.count; i++)
	{
		entries.level[i] = (int32_t) (uniform() * 40);
		entries.entity[i] = (int32_t) (i / 5);
		entries.value[i] = (float) normal();
	}
	fm_features_build(&entries, &host, &features);
	host.release(host.ctx, entries.level);
	host.release(host.ctx, entries.entity);
	host.release(host.ctx, entries.value);
	host.release(host.ctx, entries.group);
	host.release(host.ctx, entries.is_numeric);
	host.release(host.ctx, entries.place);
	host.release(host.ctx, entries.mean);
	host.release(host.ctx, entries.deviation);
	return features;
}

/* Contexts that say nothing: three columns, of two, three and five levels. */
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
check_teams(const FmRatings *ratings, FmSolverKind solver, int factors, const char *what)
{
	FmParameters alone = train(ratings, solver, factors, 30, 1);

	for (int workers = 1; workers <= 3; workers++)
	{
		FmParameters p;

		ok(train_in_team(ratings, solver, factors, 30, workers, &p) && same_bits(&alone, &p) &&
			   same_level_bits(ratings, &alone, &p),
		   "%s, %s, %d factors, %d workers: the same bits", solver_names[solver], what, factors,
		   workers);
		free_parameters(&p);
	}
	free_parameters(&alone);
}

static void
test_teams(void)
{
	Planted planted = plant(1, 0);

	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_IALS; solver++)
		for (int factors = 3; factors <= 40; factors += 37)
			check_teams(&planted.train, solver, factors, "ids");
	planted.train.features[FM_USERS] = random_features(USERS);
	planted.train.features[FM_ITEMS] = random_features(ITEMS);
	with_history = true;
	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_IALS; solver++)
		for (int factors = 3; factors <= 40; factors += 37)
			check_teams(&planted.train, solver, factors, "features and history");
	set_contexts(&planted.train);
	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_ALS; solver++)
		for (int factors = 3; factors <= 40; factors += 37)
			check_teams(&planted.train, solver, factors, "features, history and contexts");
	with_history = false;
	free_planted(&planted);
}

/* The largest |Σ v_f| and |Σ w| of a side. */
static double
off_centre(const float *v, const float *w, int count, int k)
{
	double largest = 0;

	for (int f = 0; f <= k; f++)
	{
		double sum = 0;

		for (int e = 0; e < count; e++)
			sum += f < k ? v[(size_t) e * k + f] : w[e];
		largest = fmax(largest, fabs(sum));
	}
	return largest;
}

/* The largest difference of any number in two models. */
static double
numbers_apart(const FmParameters *a, const FmParameters *b)
{
	double largest = fabs(a->b - b->b);

	for (int u = 0; u < USERS; u++)
		largest = fmax(largest, fabs(a->user_w[u] - b->user_w[u]));
	for (int i = 0; i < ITEMS; i++)
		largest = fmax(largest, fabs(a->item_w[i] - b->item_w[i]));
	for (int j = 0; j < USERS * a->num_factors; j++)
		largest = fmax(largest, fabs(a->user_v[j] - b->user_v[j]));
	for (int j = 0; j < ITEMS * a->num_factors; j++)
		largest = fmax(largest, fabs(a->item_v[j] - b->item_v[j]));
	return largest;
}

static void
test_kernels_train_alike(void)
{
	const double tolerance = 1e-4;
	Planted planted = plant(1, 0);

	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_IALS; solver++)
	{
		FmParameters best = train(&planted.train, solver, 8, 200, 1);

		for (const FmBlockKernel *const *kernel = fm_block_kernels() + 1; *kernel; kernel++)
		{
			FmParameters other;
			double largest;

			fm_block_use_kernel((*kernel)->name);
			other = train(&planted.train, solver, 8, 200, 1);
			largest = numbers_apart(&best, &other);
			ok(largest < tolerance, "%s, trained by %s: every number is that by %s (%.1e)",
			   solver_names[solver], (*kernel)->name, fm_block_kernels()[0]->name, largest);
			free_parameters(&other);
		}
		fm_block_use_kernel("auto");
		free_parameters(&best);
	}
	free_planted(&planted);
}

static void
test_gauge(void)
{
	Planted planted = plant(1, 0);
	FmParameters p = train(&planted.train, FM_SOLVER_MCMC, 8, 20, 1);
	bool blank = p.user_w[USERS - 1] == 0 && p.item_w[ITEMS - 1] == 0;

	ok(off_centre(p.user_v, p.user_w, USERS, 8) < 1e-4 &&
		   off_centre(p.item_v, p.item_w, ITEMS, 8) < 1e-4,
	   "v and w are centred on both sides");
	for (int f = 0; f < 8; f++)
		blank = blank && p.user_v[(USERS - 1) * 8 + f] == 0 && p.item_v[(ITEMS - 1) * 8 + f] == 0;
	ok(blank, "entities without ratings are the average entity");
	free_parameters(&p);
	free_planted(&planted);
}

/* ---- The distilled model against the posterior mean ---- */

typedef struct Mean
{
	FmDistiller *distiller;
	const FmTriples *test;
	int rank;
	int stride;
	int samples;
	double *sum; /* of ŷ, by row of the test */
} Mean;

static void
add_to_mean(void *ctx, const FmSample *sample)
{
	Mean *mean = ctx;
	int k = mean->rank;

	for (int64_t r = 0; r < mean->test->count; r++)
	{
		const float *u = sample->rows[FM_USERS] + (size_t) mean->test->user[r] * mean->stride;
		const float *i = sample->rows[FM_ITEMS] + (size_t) mean->test->item[r] * mean->stride;
		double product = 0;

		for (int f = 0; f < k; f++)
			product += (double) u[f] * i[f];
		mean->sum[r] += product / u[k] / i[k] - u[k + 1] / u[k] - i[k + 1] / i[k];
	}
	mean->samples++;
	fm_distill_add(mean->distiller, sample);
}

static FmProblem
new_problem(const FmRatings *r, int iterations)
{
	FmProblem problem = {
		.host = &host,
		.kernel = fm_block_kernels()[0],
		.side = {{r->num_users, r->user_start, r->user_item, r->user_value},
				 {r->num_items, r->item_start, r->item_user, r->item_value}},
		.num_ratings = r->num_ratings,
		.mean = 3,
		.deviation = 2,
		.iterations = iterations,
		.init_stdev = 0.1f,
		.seed = 5,
	};

	for (int side = 0; side < 2; side++)
		for (int32_t e = 0; e < problem.side[side].count; e++)
			problem.num_rated[side] += problem.side[side].start[e] <
									   problem.side[side].start[e + 1];
	return problem;
}

static void
test_distillation(void)
{
	Planted planted = plant(1, 0);
	FmProblem problem = new_problem(&planted.train, 60);
	Mean mean = {.test = &planted.test, .rank = 6};
	FmParameters p = {12,
					  0,
					  0,
					  host.alloc(host.ctx, USERS, sizeof(float)),
					  host.alloc(host.ctx, USERS * 12, sizeof(float)),
					  host.alloc(host.ctx, ITEMS, sizeof(float)),
					  host.alloc(host.ctx, ITEMS * 12, sizeof(float)),
					  {NULL},
					  {NULL},
					  NULL,
					  NULL};
	double exact = 0, distilled;

	mean.stride = fm_block_stride(problem.kernel, mean.rank);
	mean.sum = host.alloc(host.ctx, planted.test.count, sizeof(double));
	mean.distiller = fm_distill_create(&problem, mean.rank, p.num_factors);
	fm_gibbs(&problem, mean.rank, add_to_mean, &mean, NULL);
	fm_distill_finish(mean.distiller, &p);

	for (int64_t r = 0; r < planted.test.count; r++)
	{
		double score = problem.mean + problem.deviation * mean.sum[r] / mean.samples;

		exact += (score - planted.test.value[r]) * (score - planted.test.value[r]);
	}
	exact = sqrt(exact / planted.test.count);
	distilled = test_rmse(&p, &planted.test);
	ok(fabs(distilled - exact) < 0.001, "the mean of %d samples: RMSE %.5f, distilled %.5f",
	   mean.samples, exact, distilled);
	host.release(host.ctx, mean.sum);
	free_parameters(&p);
	free_planted(&planted);
}

/* ---- Kernels ---- */

#define SIDE_COUNT 40
#define LONG_ENTITY 3 /* has many ratings, so that sums are widened */
#define OTHERS 500

/* One half-step's inputs, for entities on one side against OTHERS rows on the other. */
typedef struct Step
{
	FmHalfStep half;
	FmSide side;
	FmRandomKey key;
	FmBlockWork *work;
	size_t cells; /* in each table of output rows */
	int rank;
} Step;

static float *
random_floats(size_t count, double scale, double offset)
{
	float *values = host.alloc(host.ctx, count, sizeof(float));

	for (size_t i = 0; i < count; i++)
		values[i] = (float) (offset + scale * normal());
	return values;
}

static Step
new_step(const FmBlockKernel *kernel, int rank)
{
	Step step = {.key = {7, FM_STREAM_BLOCK, 1}, .rank = rank};
	int64_t *start = host.alloc(host.ctx, SIDE_COUNT + 1, sizeof(int64_t));
	int stride = fm_block_stride(kernel, rank);
	int32_t *other;
	float *rows;

	random_state = 2;
	for (int e = 0; e < SIDE_COUNT; e++)
		start[e + 1] = start[e] + (e == LONG_ENTITY ? 3000 : e * 5 % 97);
	other = host.alloc(host.ctx, start[SIDE_COUNT], sizeof(int32_t));
	for (int64_t r = 0; r < start[SIDE_COUNT]; r++)
		other[r] = (int32_t) (uniform() * OTHERS);
	step.side = (FmSide){SIDE_COUNT, start, other, random_floats(start[SIDE_COUNT], 2, 3),
						 random_floats(start[SIDE_COUNT], 0.1, 1)};

	rows = host.alloc(host.ctx, (size_t) OTHERS * stride, sizeof(float));
	for (int o = 0; o < OTHERS; o++)
	{
		float *row = rows + (size_t) o * stride, scale = (float) (0.5 + uniform());

		for (int f = 0; f < rank; f++)
			row[f] = scale * (float) normal();
		row[rank] = scale;
		row[rank + 1] = scale * (float) normal();
	}
	step.cells = (size_t) SIDE_COUNT * stride;
	step.half = (FmHalfStep){.host = &host,
							 .kernel = kernel,
							 .rank = rank,
							 .value_mean = 3,
							 .value_scale = 0.5,
							 .other_rows = rows,
							 .noise_precision = 2,
							 .noise_share = random_floats(SIDE_COUNT, 0.1, 1),
							 .prior_precision = random_floats(rank + 1, 0.3, 4),
							 .prior_mean = random_floats(rank + 1, 0.2, 0),
							 .prior_slope = random_floats(rank + 1, 0.2, 0),
							 .covariate = random_floats(SIDE_COUNT, 1, 0),
							 .draw_rows = host.alloc(host.ctx, step.cells, sizeof(float)),
							 .mean_rows = host.alloc(host.ctx, step.cells, sizeof(float)),
							 .error = host.alloc(host.ctx, SIDE_COUNT, sizeof(double))};
	step.work = fm_block_work(&host, kernel, rank);
	return step;
}

static void
run_step(Step *step, int cut)
{
	step->half.side = &step->side;
	step->half.noise = &step->key;
	fm_block_half_step(&step->half, step->work, cut, SIDE_COUNT);
	fm_block_half_step(&step->half, step->work, 0, cut);
}

static void
free_step(Step *step)
{
	const void *blocks[] = {step->side.start,
							step->side.other,
							step->side.value,
							step->side.weight,
							step->half.other_rows,
							step->half.noise_share,
							step->half.prior_precision,
							step->half.prior_mean,
							step->half.prior_slope,
							step->half.covariate,
							step->half.draw_rows,
							step->half.mean_rows,
							step->half.error};

	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
		host.release(host.ctx, (void *) blocks[i]);
	fm_block_work_release(&host, step->work);
}

/* θ out of a row with scale 1. */
static double
theta_of(const Step *step, const float *rows, int entity, int j)
{
	int stride = fm_block_stride(step->half.kernel, step->rank);
	const float *row = rows + (size_t) entity * stride;

	return j < step->rank ? row[j] : -row[step->rank + 1];
}

/*
 * How far an entity's mean is from solving its normal equations, as a share of the right-hand side:
 * the definition, in double, rating by rating.
 */
static double
mean_residual(const Step *step, int entity)
{
	const FmHalfStep *half = &step->half;
	int dim = step->rank + 1, stride = fm_block_stride(half->kernel, step->rank);
	double precision = half->noise_precision * half->noise_share[entity];
	double *left = calloc(2 * dim, sizeof(double)), *size = left + dim, worst = 0;

	for (int64_t r = step->side.start[entity]; r < step->side.start[entity + 1]; r++)
	{
		const float *z = half->other_rows + (size_t) step->side.other[r] * stride;
		double error = z[dim] +
					   z[dim - 1] * (step->side.value[r] - half->value_mean) * half->value_scale;

		for (int j = 0; j < dim; j++)
			error -= theta_of(step, half->mean_rows, entity, j) * z[j];
		error *= step->side.weight[r];
		for (int j = 0; j < dim; j++)
		{
			left[j] += precision * error * z[j];
			size[j] += precision * fabs(error * z[j]);
		}
	}
	for (int j = 0; j < dim; j++)
	{
		double mean = half->prior_mean[j] + half->prior_slope[j] * half->covariate[entity];
		double pull = half->prior_precision[j] *
					  (mean - theta_of(step, half->mean_rows, entity, j));

		worst = fmax(worst, fabs(left[j] + pull) / (size[j] + fabs(pull) + 1));
	}
	free(left);
	return worst;
}

/* Σ s² (y - ŷ)² of an entity's draw. */
static double
draw_error(const Step *step, int entity)
{
	const FmHalfStep *half = &step->half;
	int dim = step->rank + 1, stride = fm_block_stride(half->kernel, step->rank);
	double sum = 0;

	for (int64_t r = step->side.start[entity]; r < step->side.start[entity + 1]; r++)
	{
		const float *z = half->other_rows + (size_t) step->side.other[r] * stride;
		double error = z[dim] +
					   z[dim - 1] * (step->side.value[r] - half->value_mean) * half->value_scale;

		for (int j = 0; j < dim; j++)
			error -= theta_of(step, half->draw_rows, entity, j) * z[j];
		sum += step->side.weight[r] * error * error;
	}
	return sum;
}

static void
test_kernel(const FmBlockKernel *kernel, int rank)
{
	Step step = new_step(kernel, rank), best = new_step(fm_block_kernels()[0], rank);
	Step cut = new_step(kernel, rank);
	double solved = 0, error = 0, apart = 0;

	run_step(&step, 0);
	run_step(&best, 0);
	run_step(&cut, 17);
	for (int e = 0; e < SIDE_COUNT; e++)
	{
		if (step.side.start[e] == step.side.start[e + 1])
			continue;
		solved = fmax(solved, mean_residual(&step, e));
		error = fmax(error, fabs(step.half.error[e] / draw_error(&step, e) - 1));
		for (int j = 0; j <= rank; j++)
			apart = fmax(apart, fabs(theta_of(&step, step.half.draw_rows, e, j) -
									 theta_of(&best, best.half.draw_rows, e, j)));
	}
	ok(solved < 1e-4, "%s, rank %d: means solve the normal equations (%.1e)", kernel->name, rank,
	   solved);
	ok(error < 1e-2, "%s, rank %d: residuals are those of the draws (%.1e)", kernel->name, rank,
	   error);
	ok(apart < 1e-3, "%s, rank %d: the same draws as %s (%.1e)", kernel->name, rank,
	   fm_block_kernels()[0]->name, apart);
	ok(memcmp(step.half.draw_rows, cut.half.draw_rows, step.cells * sizeof(float)) == 0 &&
		   memcmp(step.half.error, cut.half.error, SIDE_COUNT * sizeof(double)) == 0,
	   "%s, rank %d: the same bits however the range is cut", kernel->name, rank);
	free_step(&step);
	free_step(&best);
	free_step(&cut);
}

static void
test_kernels(void)
{
	static const int ranks[] = {1, 6, 14, 33, 64, 200};

	for (const FmBlockKernel *const *kernel = fm_block_kernels(); *kernel; kernel++)
		for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++)
			test_kernel(*kernel, ranks[i]);
}

/* ---- Random numbers ---- */

static void
test_random(void)
{
	/* The known answers that the authors of Philox publish with their implementation. */
	static const uint32_t zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
	static const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
	FmRandomKey key = {0, 0, 0}, full = {UINT64_MAX, UINT32_MAX, UINT32_MAX};
	FmRandomSequence sequence = {.key = {3, 1, 4}};
	uint32_t word[4], entity[FM_RANDOM_LANES];
	static float draws[1000 * FM_RANDOM_LANES];
	double sum[5] = {0}, gamma = 0, count = 1000 * FM_RANDOM_LANES;

	fm_random_block(&key, 0, 0, word);
	ok(memcmp(word, zeros, sizeof zeros) == 0, "Philox of zeros");
	fm_random_block(&full, UINT32_MAX, UINT32_MAX, word);
	ok(memcmp(word, ones, sizeof ones) == 0, "Philox of ones");

	for (int lane = 0; lane < FM_RANDOM_LANES; lane++)
		entity[lane] = lane * 31;
	fm_random_normals(&key, entity, 1000, draws);
	for (int i = 0; i < count; i++)
		for (int power = 1; power <= 4; power++)
			sum[power] += pow(draws[i], power) / count;
	ok(fabs(sum[1]) < 0.03 && fabs(sum[2] - 1) < 0.03 && fabs(sum[3]) < 0.1 &&
		   fabs(sum[4] - 3) < 0.2,
	   "normals have the moments of normals: %.3f %.3f %.3f %.3f", sum[1], sum[2], sum[3], sum[4]);
	for (int i = 0; i < 10000; i++)
		gamma += fm_random_gamma(&sequence, 2.5) / 10000;
	ok(fabs(gamma - 2.5) < 0.06, "gamma draws have the mean of their shape: %.3f", gamma);
}

/* ---- Corners ---- */

static void
check_corner(const char *name, FmTriples *triples, int32_t users, int32_t items, int num_factors,
			 int iterations)
{
	FmRatings ratings = new_ratings(triples, users, items);

	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_ALS; solver++)
	{
		FmParameters p = train(&ratings, solver, num_factors, iterations, 9);
		bool finite = isfinite(p.b);

		for (int u = 0; u < users; u++)
			for (int i = 0; i < items && i < 50; i++)
				finite = finite && isfinite(fm_score(&p, u, i));
		ok(finite, "%s, %d factors, %d iterations: %s is finite", name, num_factors, iterations,
		   solver == FM_SOLVER_MCMC ? "mcmc" : "als");
		free_parameters(&p);
	}
	free_ratings(&ratings);
}

/* What the rating of pair r out of n is. */
typedef double (*Value)(int r);

static double
value_equal(int r)
{
	return 4;
}

static double
value_steps(int r)
{
	return r % 5;
}

static double
value_outlier(int r)
{
	return r == 7 ? 1e37 : r % 2;
}

static double
value_exact(int r)
{
	return (r / 20) * (r % 20) / 50.0;
}

static void
check_grid(const char *name, Value value, int users, int items, int num_factors, int iterations)
{
	FmTriples triples = new_triples((int64_t) users * items);

	for (int r = 0; r < users * items; r++)
		add(&triples, r / items, r % items, value(r));
	/* The last two of either side have no ratings. */
	check_corner(name, &triples, users + 2, items + 2, num_factors, iterations);
}

static void
test_corners(void)
{
	static const int factors[] = {1, 2, 32, 1024};
	FmTriples triples;

	for (int i = 0; i < 4; i++)
	{
		int iterations = factors[i] == 1024 ? 1 : 30;

		check_grid("one rating", value_steps, 1, 1, factors[i], iterations);
		check_grid("one user", value_steps, 1, 30, factors[i], iterations);
		check_grid("one item", value_steps, 30, 1, factors[i], iterations);
	}
	check_grid("equal ratings", value_equal, 20, 20, 32, 50);
	check_grid("an outlier", value_outlier, 20, 20, 8, 50);
	check_grid("ratings without noise", value_exact, 20, 20, 8, 200);
	check_grid("a single iteration", value_steps, 20, 20, 32, 1);
	check_grid("two iterations", value_steps, 20, 20, 32, 2);

	triples = new_triples(900);
	for (int r = 0; r < 900; r++)
		add(&triples, r % 3, r % 2, r % 5);
	check_corner("duplicates", &triples, 3, 2, 16, 30);

	triples = new_triples(1000020);
	for (int r = 0; r < 1000000; r++)
		add(&triples, 0, r % 5000, r % 7);
	for (int r = 0; r < 20; r++)
		add(&triples, 1, r, 1);
	check_corner("a user with a million ratings", &triples, 2, 5000, 4, 3);
}

int
main(void)
{
	host = test_host(&interrupt_checks);
	test_random();
	test_kernels();
	test_recovery();
	test_units();
	test_determinism();
	test_weights();
	test_kernels_train_alike();
	test_teams();
	test_gauge();
	test_distillation();
	test_corners();
	ok(interrupt_checks > 100, "interrupts are checked for");
	printf("1..%d\n", tests);
	return failures > 0;
}
