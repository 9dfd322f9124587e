/*
 * Alternating least squares: the half-step of block.c without its noise.
 *
 * It minimises, in standardised units,
 *
 *   Σ (y - w_u - w_i - <v_u, v_i>)² + Σ_e √n_e (l2_reg_w w_e² + l2_reg_v |v_e|²)
 *
 * over the entities e of both sides, where n_e is the number of ratings of e, or their total weight
 * if ratings have weights. The square root was found by measuring: the best test RMSE over three
 * splits of MovieLens 100k at 32 factors was 0.9136 with weight 1, 0.9139 with n (Zhou et al.
 * 2008), and 0.9098, 0.9093, 0.9101 and 0.9118 with n to the power of 1/4, 1/2, 0.6 and 3/4.
 *
 * With features or history (regression.c), the terms drawn towards 0 are θ_e - Σ_j x_ej B_j and
 * every B_j.
 *
 * The search. What l2_reg_v and how many factors are best depends on how many ratings an entity has
 * and how much of them is noise. So with a tenth of the ratings held out, a ladder of l2_reg_v is
 * climbed for each number of factors, each rung from the rows of the one before; upwards, because
 * factors that a large one has killed do not grow again. More factors are tried as long as they
 * help. The ratings held out stay where they are and weigh next to nothing. The search takes a
 * tenth to all of the time of a training. With features, history or contexts there is none: with
 * history, the 8 factors that it finds without cost 0.005 on MovieLens 100k.
 *
 * Test RMSE with 32 factors and 1.2, and by the search: MovieLens 100k (five folds) 0.9079 and
 * 0.9085, ua.test 0.9273 and 0.9271, three tenths of it 0.9526 and 0.9531; planted data of rank 8
 * with a million ratings 0.7758 and 0.7483 (8 factors, 0.5), with 200,000 0.7730 and 0.7490, with
 * 25 a user 0.9122 and 0.8799 (8, 0.8); of rank 3 0.7828 and 0.7728 (8, 0.8), of rank 16 0.8411 and
 * 0.8042 (16, 0.5), of rank 6 with much noise 1.1213 and 1.1005 (8, 0.8).
 *
 * Memory: one table of rows for each side; block memory for each member; in a search, weights of
 * all ratings, and rows for each number of factors.
 */
#include "core/train/als.h"

#include <math.h>

#include "core/layout.h"
#include "core/team.h"
#include "core/train/context.h"
#include "core/train/regression.h"

/*
 * The effects of features and history are drawn to 0 this many times as strongly as an entity's own
 * part. On MovieLens 100k (five folds) 2, 4, 6 and 9 gave a test RMSE of 0.8894, 0.8825, 0.8827 and
 * 0.8847 with history, and of 0.9007, 0.8976, 0.8976 and 0.8986 with age band, sex, occupation and
 * genres; without either it is 0.9073.
 */
#define STRENGTH 5

/* The search: see the top of the file. */
static const int ranks[] = {8, 16, FM_DEFAULT_FACTORS};
static const float ladder[] = {0.5f, 0.8f, 1.2f, 1.6f};

#define NUM_RANKS ((int) (sizeof ranks / sizeof *ranks))
#define NUM_RUNGS ((int) (sizeof ladder / sizeof *ladder))
#define FIRST_ITERATIONS 10
#define RUNG_ITERATIONS 5

#define HELD_OUT_WEIGHT 1e-6f

/* With fewer ratings held out, chance would decide. */
#define MIN_HELD_OUT 1000

typedef struct Als
{
	const FmProblem *problem;
	int rank;
	FmBlockWork *work;
	float *prior_mean;
	float *prior_precision;
	float *rows[2]; /* by side */
	double *error[2];
	FmRegression *regression[2]; /* or NULL */
	FmContextEffects *context;	 /* or NULL */
} Als;

/* For team loops over one side. */
typedef struct SideLoop
{
	const FmHalfStep *step;
	FmBlockWork *work;
} SideLoop;

/* FmTeamBody */
static void
update_range(void *state, int32_t begin, int32_t end)
{
	const SideLoop *loop = state;

	fm_block_half_step(loop->step, loop->work, begin, end);
}

/* Update the regression of a side, if it has one; return the prior mean of each entity, or NULL. */
static const float *
fit_regression(Als *als, int side, int iteration)
{
	FmRegressionStep fit = {.rows = als->rows[side],
							.precision = als->prior_precision,
							.mean = als->prior_mean,
							.iteration = iteration};

	if (als->regression[side] == NULL)
		return NULL;
	if (iteration > 0)
		fm_regression_update(als->regression[side], &fit);
	return fm_regression_offset(als->regression[side]);
}

static void
update_side(Als *als, int side, int iteration)
{
	FmHalfStep step = fm_problem_half_step(als->problem, side, als->rank, als->rows[1 - side],
										   als->error[side]);
	SideLoop loop = {&step, als->work};

	step.prior_offset = fit_regression(als, side, iteration);
	step.prior_precision = als->prior_precision;
	step.prior_mean = als->prior_mean;
	step.prior_growth = FM_PRIOR_BY_ROOT;
	step.mean_rows = als->rows[side];
	fm_context_add_term(als->context, side, &step);
	fm_team_for(als->problem->host, step.side->count, FM_BLOCK_CHUNK, update_range, &loop);
}

static void
update_contexts(Als *als, int iteration)
{
	const FmContextStep step = {.rows = {als->rows[FM_USERS], als->rows[FM_ITEMS]},
								.precision = als->prior_precision,
								.noise_precision = 1,
								.iteration = iteration,
								.work = als->work};

	fm_context_update(als->context, &step);
}

static void
als_init(Als *als, const FmProblem *problem, int rank)
{
	const FmHost *host = problem->host;

	als->problem = problem;
	als->rank = rank;
	als->work = fm_block_work(host, problem->kernel, rank);
	als->prior_mean = host->alloc(host->ctx, rank + 1, sizeof(float));
	als->prior_precision = host->alloc(host->ctx, rank + 1, sizeof(float));
	als->context = fm_context_create(problem, rank, false);
	for (int side = 0; side < 2; side++)
	{
		als->rows[side] = fm_problem_init_rows(problem, side, rank);
		als->error[side] = fm_team_alloc(host, problem->side[side].count, sizeof(double));
		if (fm_regression_is_needed(problem, side))
			als->regression[side] = fm_regression_create(problem, side, rank, STRENGTH);
	}
	fm_team_barrier(host);
	als->prior_precision[rank] = problem->l2_reg_w;
}

static void
set_l2_reg_v(Als *als, float l2_reg_v)
{
	for (int f = 0; f < als->rank; f++)
		als->prior_precision[f] = l2_reg_v;
}

/* Give the sink the result as one sample. */
static void
hand_on(const Als *als, FmSampleSink sink, void *sink_ctx)
{
	FmSample sample = {.contexts = NULL};

	for (int side = 0; side < 2; side++)
	{
		const FmRegression *regression = als->regression[side];

		sample.rows[side] = als->rows[side];
		sample.effects[side] = regression ? fm_regression_effects(regression) : NULL;
	}
	sample.contexts = als->context == NULL ? NULL : fm_context_rows(als->context);
	if (als->problem->history)
		sample.own_effects = fm_regression_history(als->regression[FM_ITEMS], &sample.own_scale);
	sink(sink_ctx, &sample);
}

static void
als_release(Als *als)
{
	const FmHost *host = als->problem->host;

	fm_context_release(als->context);
	fm_block_work_release(host, als->work);
	host->release(host->ctx, als->prior_mean);
	host->release(host->ctx, als->prior_precision);
	for (int side = 0; side < 2; side++)
	{
		fm_team_release(host, als->rows[side]);
		fm_team_release(host, als->error[side]);
		fm_regression_release(als->regression[side]);
	}
}

static void
report(const Als *als, int number)
{
	const FmProblem *problem = als->problem;
	double squares = fm_problem_sum_error(problem, FM_ITEMS, als->error[FM_ITEMS]);
	FmIteration iteration = {.solver = "als",
							 .number = number,
							 .count = problem->iterations,
							 .error = problem->deviation * sqrt(squares / problem->total_weight),
							 .rank = als->rank,
							 .rows = {als->rows[FM_USERS], als->rows[FM_ITEMS]},
							 .levels = als->context == NULL ? NULL : fm_context_rows(als->context)};

	fm_problem_report(problem, &iteration);
}

void
fm_als(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx)
{
	const FmHost *host = problem->host;
	Als als = {0};

	als_init(&als, problem, rank);
	set_l2_reg_v(&als, problem->l2_reg_v);
	for (int iteration = 0; iteration < problem->iterations; iteration++)
	{
		for (int side = 0; side < 2; side++)
			update_side(&als, side, iteration);
		update_contexts(&als, iteration);
		report(&als, iteration + 1);
		fm_team_barrier(host); /* before rows are written, see fm_problem_report */
	}
	if (sink != NULL)
		hand_on(&als, sink, sink_ctx);
	als_release(&als);
}

/* The problem of a search, in which some ratings weigh next to nothing, and its best so far. */
typedef struct Search
{
	FmProblem rest;
	const FmProblem *problem;
	float *weight[2]; /* shared */
	double *error;	  /* by user, of what is held out; shared */
	const Als *als;	  /* that is scored */
	FmAlsChoice best;
	double best_error;
} Search;

/* Return whether ratings have nothing but a user and an item. */
static bool
is_plain(const FmProblem *problem)
{
	return problem->contexts.num_columns == 0 && !fm_regression_is_needed(problem, FM_USERS) &&
		   !fm_regression_is_needed(problem, FM_ITEMS);
}

static int64_t
count_held_out(const FmProblem *problem)
{
	const FmSide *ratings = &problem->side[FM_USERS];
	int64_t count = 0;

	for (int32_t user = 0; user < ratings->count; user++)
		for (int64_t r = ratings->start[user]; r < ratings->start[user + 1]; r++)
		{
			fm_problem_check(problem, r);
			count += fm_problem_holds_out(problem, user, ratings->other[r]);
		}
	return count;
}

static float
weight_of(const FmSide *ratings, int64_t r)
{
	return ratings->weight == NULL ? 1 : ratings->weight[r];
}

/* Write the weights of one side's ratings. */
static void
write_weights(const FmProblem *problem, int side, float *weight)
{
	const FmSide *ratings = &problem->side[side];

	for (int32_t e = 0; e < ratings->count; e++)
		for (int64_t r = ratings->start[e]; r < ratings->start[e + 1]; r++)
		{
			int32_t other = ratings->other[r];
			bool held_out = side == FM_USERS ? fm_problem_holds_out(problem, e, other)
											 : fm_problem_holds_out(problem, other, e);

			fm_problem_check(problem, r);
			weight[r] = weight_of(ratings, r) * (held_out ? HELD_OUT_WEIGHT : 1);
		}
}

static void
search_begin(Search *search, const FmProblem *problem)
{
	const FmHost *host = problem->host;
	FmProblem *rest = &search->rest;

	*rest = *problem;
	search->problem = problem;
	search->best_error = INFINITY;
	search->error = fm_team_alloc(host, problem->side[FM_USERS].count, sizeof(double));
	for (int side = 0; side < 2; side++)
	{
		search->weight[side] = fm_team_alloc(host, problem->num_ratings, sizeof(float));
		if (fm_team_leads(host))
			write_weights(problem, side, search->weight[side]);
		rest->side[side].weight = search->weight[side];
	}
	fm_team_barrier(host);
}

static void
search_end(Search *search)
{
	const FmHost *host = search->problem->host;

	for (int side = 0; side < 2; side++)
		fm_team_release(host, search->weight[side]);
	fm_team_release(host, search->error);
}

/* FmTeamBody: sum the squared errors of each user's ratings that are held out. */
static void
score_range(void *state, int32_t begin, int32_t end)
{
	const Search *search = state;
	const FmProblem *problem = search->problem;
	const FmSide *ratings = &problem->side[FM_USERS];
	const Als *als = search->als;
	size_t stride = fm_block_stride(problem->kernel, als->rank);

	for (int32_t user = begin; user < end; user++)
	{
		const float *row = als->rows[FM_USERS] + user * stride;

		search->error[user] = 0;
		for (int64_t r = ratings->start[user]; r < ratings->start[user + 1]; r++)
		{
			const float *other = als->rows[FM_ITEMS] + ratings->other[r] * stride;
			double error = (ratings->value[r] - problem->mean) / problem->deviation +
						   row[als->rank + 1] + other[als->rank + 1];

			fm_problem_check(problem, r);
			if (!fm_problem_holds_out(problem, user, ratings->other[r]))
				continue;
			for (int f = 0; f < als->rank; f++)
				error -= (double) row[f] * other[f];
			search->error[user] += weight_of(ratings, r) * error * error;
		}
	}
}

/* Return the sum of squared errors of what is held out; the same in every member. */
static double
score(Search *search, const Als *als)
{
	const FmProblem *problem = search->problem;

	search->als = als;
	fm_team_for(problem->host, problem->side[FM_USERS].count, FM_BLOCK_CHUNK, score_range, search);
	return fm_problem_sum_error(problem, FM_USERS, search->error);
}

/* Climb the ladder, or take the one step given, with some factors. Return whether that was best. */
static bool
climb(Search *search, int rank, float l2_reg_v)
{
	const FmHost *host = search->problem->host;
	bool better = false;
	Als als = {0};

	als_init(&als, &search->rest, rank);
	for (int rung = 0; rung < (l2_reg_v < 0 ? NUM_RUNGS : 1); rung++)
	{
		float tried = l2_reg_v < 0 ? ladder[rung] : l2_reg_v;
		double error;

		set_l2_reg_v(&als, tried);
		for (int i = 0; i < (rung == 0 ? FIRST_ITERATIONS : RUNG_ITERATIONS); i++)
		{
			for (int side = 0; side < 2; side++)
				update_side(&als, side, i);
			fm_team_barrier(host);
		}
		error = score(search, &als);
		fm_team_barrier(host); /* before rows are written */
		if (rung > 0 && error > search->best_error)
			break;
		if (error >= search->best_error)
			continue;
		search->best = (FmAlsChoice){rank, tried};
		search->best_error = error;
		better = true;
	}
	als_release(&als);
	return better;
}

FmAlsChoice
fm_als_choose(const FmProblem *problem, int num_factors, float l2_reg_v)
{
	Search search = {.best = {num_factors > 0 ? num_factors : FM_DEFAULT_FACTORS,
							  l2_reg_v < 0 ? FM_ALS_L2_REG_V : l2_reg_v}};

	if ((num_factors > 0 && l2_reg_v >= 0) || !is_plain(problem) ||
		count_held_out(problem) < MIN_HELD_OUT)
		return search.best;
	search_begin(&search, problem);
	if (num_factors > 0)
		(void) climb(&search, num_factors, l2_reg_v);
	else
		for (int i = 0; i < NUM_RANKS && climb(&search, ranks[i], l2_reg_v); i++)
			;
	search_end(&search);
	return search.best;
}

double
fm_als_search_shared_size(const FmProblem *problem, int num_factors)
{
	double entities = (double) problem->side[FM_USERS].count + problem->side[FM_ITEMS].count;
	double numbers = 0;
	const int arrays = 3 + 4 * NUM_RANKS;

	for (int i = 0; i < NUM_RANKS; i++)
		numbers += fm_block_stride(problem->kernel, num_factors > 0 ? num_factors : ranks[i]);
	return 2.0 * problem->num_ratings * sizeof(float) +
		   entities * (numbers * sizeof(float) + (NUM_RANKS + 1) * sizeof(double)) +
		   arrays * FM_ALIGNMENT;
}
