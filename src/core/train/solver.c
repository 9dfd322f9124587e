/*
 * The entry to the solvers: options and their defaults, the standardised problem, the call, and the
 * check that all numbers of the result are finite.
 *
 * The arrays of the result belong to the caller; everything else is released.
 */
#include "core/train/solver.h"

#include <math.h>
#include <string.h>

#include "core/layout.h"
#include "core/math/normal.h"
#include "core/train/als.h"
#include "core/train/context.h"
#include "core/train/distill.h"
#include "core/train/gibbs.h"
#include "core/train/ials.h"
#include "core/train/regression.h"

/*
 * Defaults, from random 80/20 splits of MovieLens 100k.
 *
 * The sampler: 100, 200 and 300 iterations gave a mean test RMSE of 0.8895, 0.8885 and 0.8881 over
 * twelve splits, and 0.9015, 0.8998 and 0.8988 on the hardest of them. The deviation of the first V
 * matters little between 0.01 and 1.
 *
 * Least squares (three splits): converged after 10 iterations. l2_reg_w is flat between 0.2 and
 * 0.8. The units are those of standardised ratings, so the values apply to other data.
 *
 * But with little l2_reg_w, lists are filled with items of one to three ratings. With 0.5, 1, 1.5,
 * 2 and 4, test RMSE and the share of such items in top tens: MovieLens 100k 0.9015, 0.9012,
 * 0.9021, 0.9035, 0.9097 and 33, 1.9, 0.3, 0.2, 0.2 %; three tenths of its ratings 0.9585, 0.9565,
 * 0.9587, 0.9622, 0.9771 and 55, 12, 3.3, 1.2, 0.5 %; two sets of planted data (700 users, 9,000
 * items, 90,000 ratings) 0.8040, 0.8012, 0.8022, 0.8044, 0.8128 and 51, 2.7, 0.4, 0.2, 0.4 %, and
 * 0.8535, 0.8495, 0.8498, 0.8515, 0.8597 and 69, 16, 3.8, 1.3, 0.6 %; of the latter, NDCG@10 0.009,
 * 0.031, 0.042, 0.047, 0.058. Planted data with 100 ratings a user and 700 an item: 0.7680, 0.7686,
 * 0.7696, 0.7709, 0.7746 (all with an l2_reg_v of 1.2; als.c has how that is found).
 *
 * Classification, MovieLens 100k with rating ≥ 4: latent targets make the chain slower to mix. At
 * rank 6, 200 and 500 iterations gave a log loss of 0.5504 and 0.5500 on ua.test; at rank 14 100,
 * 200, 500 and 1000 gave 0.5512, 0.5504, 0.5496 and 0.5492.
 */
#define MCMC_ITERATIONS 200
#define CLASSIFICATION_ITERATIONS 500
#define ALS_ITERATIONS 15
#define ALS_L2_REG_W 1.5f
#define ALS_L2_REG_V FM_ALS_L2_REG_V /* unless a search finds it */
#define INIT_STDEV 0.1f
#define IALS_L2_REG_W FM_IALS_NO_BIASES
#define IALS_L2_REG_V (-1.0f) /* found by a search */

/*
 * The number of factors of a ranking: so many for each 3/4th power of the number of items. With 64,
 * 96, 128, 192 and 256 factors recall@20 is 0.2758, 0.2786, 0.2797, 0.2805 and 0.2810 on positives
 * of MovieLens 1M (3,000 items, 128 by this rule). On Last.fm (18,000 items, 256) NDCG@20 is 0.2942
 * with 192, and at one l2_reg_v for both 1 % higher with 256 than with 128. On MovieLens 100k
 * (1,400 items, 64) and on made-up data of 12,000 items (256) it is within 0.5 % from 64 factors
 * on, and on made-up choices (2,500 and 2,800 items, 96) NDCG@20 with 64 and 128 is within 0.6 % of
 * it. A training with 96 factors takes 1.8 times as long as with 64.
 */
#define FACTORS_PER_ITEM 0.24
#define FACTOR_STEP 32
#define LEAST_FACTORS 64
#define MOST_FACTORS 256

int
fm_default_iterations(FmTask task, FmSolverKind solver)
{
	if (task == FM_TASK_CLASSIFICATION)
		return CLASSIFICATION_ITERATIONS;
	if (task == FM_TASK_RANKING)
		return FM_IALS_ITERATIONS;
	return solver == FM_SOLVER_MCMC ? MCMC_ITERATIONS : ALS_ITERATIONS;
}

void
fm_default_regularisation(FmSolverKind solver, float *l2_reg_w, float *l2_reg_v)
{
	*l2_reg_w = solver == FM_SOLVER_IALS ? IALS_L2_REG_W : ALS_L2_REG_W;
	*l2_reg_v = solver == FM_SOLVER_IALS ? IALS_L2_REG_V : ALS_L2_REG_V;
}

/*
 * Compute total weight, mean and deviation of the ratings. If all are equal the deviation is 1, to
 * divide by.
 */
static void
standardise(const FmRatings *ratings, FmProblem *problem)
{
	double n, centre = 0, sum, sum2;
	float least = ratings->user_value[0], most = least;

	/* Twice: the second time around the mean of the first, so that nothing cancels. */
	for (int pass = 0; pass < 2; pass++)
	{
		n = sum = sum2 = 0;
		for (int64_t r = 0; r < ratings->num_ratings; r++)
		{
			float value = ratings->user_value[r];
			double distance = value - centre;
			double weight = ratings->user_weight ? ratings->user_weight[r] : 1;

			fm_problem_check(problem, r);
			n += weight;
			sum += weight * distance;
			sum2 += weight * distance * distance;
			least = value < least ? value : least;
			most = value > most ? value : most;
		}
		centre += sum / n;
	}
	problem->total_weight = n;
	if (problem->task == FM_TASK_RANKING)
	{
		problem->mean = 0;
		problem->deviation = 1;
		return;
	}
	if (problem->task == FM_TASK_CLASSIFICATION)
	{
		/* half a rating more of each kind, because the held-out part may have taken all of one */
		problem->mean = fm_normal_quantile((centre * n + 0.5) / (n + 1));
		problem->deviation = 1;
		return;
	}
	problem->mean = least < most ? centre : least;
	problem->deviation = least < most ? sqrt(sum2 / n) : 1;
}

int
fm_default_factors(FmTask task, int32_t num_users, int32_t num_items)
{
	int32_t fewer = num_users < num_items ? num_users : num_items;
	int factors = FACTOR_STEP * (int) ceil(FACTORS_PER_ITEM * pow(num_items, 0.75) / FACTOR_STEP);

	if (task != FM_TASK_RANKING)
		return FM_DEFAULT_FACTORS;
	if (factors < LEAST_FACTORS)
		factors = LEAST_FACTORS;
	if (factors > MOST_FACTORS)
		factors = MOST_FACTORS;
	/* a matrix has no more than its sides have */
	return fewer < factors ? (fewer + 7) / 8 * 8 : factors;
}

static float
or_default(float option, float otherwise)
{
	return option >= 0 ? option : otherwise;
}

static FmProblem
make_problem(const FmRatings *ratings, const FmSolverOptions *options, const FmHost *host)
{
	float l2_reg_w, l2_reg_v;
	FmProblem problem = {
		.host = host,
		.kernel = fm_block_kernel(),
		.task = options->task,
		.side = {{ratings->num_users, ratings->user_start, ratings->user_item, ratings->user_value,
				  ratings->user_weight},
				 {ratings->num_items, ratings->item_start, ratings->item_user, ratings->item_value,
				  ratings->item_weight}},
		.features = {ratings->features[0], ratings->features[1]},
		.history = options->history,
		.contexts = ratings->contexts,
		.context = {ratings->user_context, ratings->item_context},
		.num_ratings = ratings->num_ratings,
		.repeats = ratings->repeats,
		.iterations = options->iterations,
		.init_stdev = or_default(options->init_stdev, INIT_STDEV),
		.unobserved_weight = options->unobserved_weight,
		.seed = options->seed,
		.watch = options->watch,
	};

	/* that of ials depends on whether it searches */
	if (problem.iterations == 0 && options->solver != FM_SOLVER_IALS)
		problem.iterations = fm_default_iterations(options->task, options->solver);
	fm_default_regularisation(options->solver, &l2_reg_w, &l2_reg_v);
	problem.l2_reg_w = or_default(options->l2_reg_w, l2_reg_w);
	problem.l2_reg_v = or_default(options->l2_reg_v, l2_reg_v);
	for (int side = 0; side < 2; side++)
		problem.num_rated[side] = fm_count_rated(problem.side[side].start,
												 problem.side[side].count);
	standardise(ratings, &problem);
	return problem;
}

static void
check_finite(const FmHost *host, const char *name, const float *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!isfinite(values[i]))
			host->fail(host->ctx, "training did not converge to finite numbers: %s is %g", name,
					   (double) values[i]);
}

/* Run the solver, and write what it chose to the result, unless that is NULL. */
static void
run_solver(const FmProblem *problem, FmSolverKind solver, int rank, FmDistiller *distiller,
		   FmSpread *spread, FmParameters *result)
{
	FmIalsChoice choice = {problem->l2_reg_v, 0, problem->iterations};
	double correlation = problem->repeats.correlation;

	if (solver == FM_SOLVER_MCMC)
		correlation = fm_gibbs(problem, rank, fm_distill_add, distiller, spread);
	else if (solver == FM_SOLVER_IALS)
		choice = fm_ials(problem, rank, fm_distill_add, distiller);
	else
		fm_als(problem, rank, fm_distill_add, distiller);
	if (result == NULL)
		return;
	result->iterations = choice.iterations;
	result->l2_reg_v = choice.l2_reg_v;
	result->unobserved_weight = choice.unobserved_weight;
	result->repeat_correlation = correlation;
}

/* Return the number of factors of the model. */
static int
model_factors(const FmProblem *problem, const FmSolverOptions *options)
{
	return options->num_factors > 0
			   ? options->num_factors
			   : fm_default_factors(options->task, problem->side[FM_USERS].count,
									problem->side[FM_ITEMS].count);
}

/*
 * Sampling costs rank² for every rating and distilling almost nothing, so the rank of the samples
 * depends on the data and not only on the size of the model: a quarter of the number of ratings of
 * an average entity, such that rows fill whole cache lines. On MovieLens 100k (61 ratings, five
 * splits, 200 iterations) ranks 8, 14, 22 and 30 gave 0.8911, 0.8899, 0.8893 and 0.8892 in 0.5,
 * 0.7, 1.4 and 1.8 seconds.
 *
 * A yes or no tells less than a number: a classification has a quarter of that rank, such that rows
 * fill half cache lines. On the same data with rating ≥ 4, in 500 iterations, ranks 4, 6, 8 and 14
 * gave a log loss of 0.5504, 0.5500, 0.5499 and 0.5496 on ua.test (means of 18 to 28 seeds) and of
 * 0.5331, 0.5323, 0.5320 and 0.5318 on four random tenths. But on ua.test they predicted 71.45,
 * 71.38, 71.36 and 71.35 percent right, and the worst of ten bins of probabilities was off by
 * 0.025, 0.031, 0.033 and 0.037, which is what distinguishes a probability from a score.
 */
static int
gibbs_rank(const FmProblem *problem, int num_factors)
{
	double entities = (double) problem->num_rated[FM_USERS] + problem->num_rated[FM_ITEMS];
	bool classification = problem->task == FM_TASK_CLASSIFICATION;
	double wanted = problem->num_ratings / ((classification ? 8 : 2) * entities);
	int step = classification ? 8 : 16, least = classification ? 4 : 14;
	int rank = ((int) fmin(wanted, num_factors) + 2) / step * step - 2;

	rank = rank < least ? least : rank;
	return rank < num_factors ? rank : num_factors;
}

static int
solver_rank(const FmProblem *problem, const FmSolverOptions *options)
{
	int k = model_factors(problem, options);

	return options->solver == FM_SOLVER_MCMC ? gibbs_rank(problem, k) : k;
}

static void
allocate_result(const FmProblem *problem, int num_factors, FmParameters *result)
{
	const FmHost *host = problem->host;
	size_t users = problem->side[FM_USERS].count, items = problem->side[FM_ITEMS].count;

	result->num_factors = num_factors;
	result->user_w = host->alloc(host->ctx, users, sizeof(float));
	result->item_w = host->alloc(host->ctx, items, sizeof(float));
	result->user_v = host->alloc(host->ctx, users * num_factors, sizeof(float));
	result->item_v = host->alloc(host->ctx, items * num_factors, sizeof(float));
	result->context_w = result->context_v = NULL;
	if (problem->contexts.num_columns > 0)
	{
		size_t levels = problem->contexts.num_levels;

		result->context_w = host->alloc(host->ctx, levels, sizeof(float));
		result->context_v = host->alloc(host->ctx, levels * num_factors, sizeof(float));
	}
	for (int side = 0; side < 2; side++)
	{
		size_t rows = (size_t) problem->features[side].num_levels + 1;

		result->level_w[side] = result->level_v[side] = NULL;
		if (rows == 1)
			continue;
		result->level_w[side] = host->alloc(host->ctx, rows, sizeof(float));
		result->level_v[side] = host->alloc(host->ctx, rows * num_factors, sizeof(float));
	}
}

static void
check_result(const FmProblem *problem, const FmParameters *result)
{
	const FmHost *host = problem->host;
	size_t users = problem->side[FM_USERS].count, items = problem->side[FM_ITEMS].count;

	if (!isfinite(result->b))
		host->fail(host->ctx, "training did not converge to finite numbers: b is %g", result->b);
	if (!isfinite(result->score_variance))
		host->fail(host->ctx, "training did not converge to finite numbers: s² is %g",
				   result->score_variance);
	check_finite(host, "a user's w", result->user_w, users);
	check_finite(host, "a user's v", result->user_v, users * result->num_factors);
	check_finite(host, "an item's w", result->item_w, items);
	check_finite(host, "an item's v", result->item_v, items * result->num_factors);
	if (problem->contexts.num_columns > 0)
	{
		size_t levels = problem->contexts.num_levels;

		check_finite(host, "a context's w", result->context_w, levels);
		check_finite(host, "a context's v", result->context_v, levels * result->num_factors);
	}
	for (int side = 0; side < 2; side++)
	{
		size_t rows = (size_t) problem->features[side].num_levels + 1;

		if (rows == 1)
			continue;
		check_finite(host, "a level's w", result->level_w[side], rows);
		check_finite(host, "a level's v", result->level_v[side], rows * result->num_factors);
	}
}

void
fm_solve(const FmRatings *ratings, const FmSolverOptions *options, const FmHost *host,
		 FmParameters *result)
{
	FmProblem problem;
	FmDistiller *distiller;
	FmSpread *spread = NULL;
	int k, rank;

	if (options->task == FM_TASK_CLASSIFICATION && options->solver != FM_SOLVER_MCMC)
		host->fail(host->ctx, "only mcmc can classify");
	if ((options->task == FM_TASK_RANKING) != (options->solver == FM_SOLVER_IALS))
		host->fail(host->ctx, "ials is for ranking, and ranking for ials");
	if (options->task == FM_TASK_RANKING && ratings->contexts.num_columns > 0)
		host->fail(host->ctx, "a ranking has no contexts");
	if (ratings->num_ratings < 1 || options->num_factors < 0 ||
		options->num_factors > FM_MAX_FACTORS)
		host->fail(host->ctx, "cannot train %d factors on %lld ratings", options->num_factors,
				   (long long) ratings->num_ratings);
	problem = make_problem(ratings, options, host);
	k = model_factors(&problem, options);
	rank = solver_rank(&problem, options);
	if (options->solver == FM_SOLVER_ALS)
	{
		FmAlsChoice choice = fm_als_choose(&problem, options->num_factors, options->l2_reg_v);

		problem.l2_reg_v = choice.l2_reg_v;
		k = rank = choice.rank;
	}
	if (result != NULL)
		allocate_result(&problem, k, result);
	distiller = fm_distill_create(&problem, rank, k);
	if (problem.task == FM_TASK_CLASSIFICATION && result != NULL)
		spread = fm_spread_create(&problem, rank, k);
	run_solver(&problem, options->solver, rank, distiller, spread, result);
	fm_distill_finish(distiller, result);
	if (result != NULL)
	{
		result->score_variance = spread != NULL ? fm_spread_finish(spread, result) : 0;
		check_result(&problem, result);
	}
}

static size_t
sums_size(const FmProblem *problem, FmSolverKind solver, int num_factors, int rank, int stride)
{
	return solver == FM_SOLVER_IALS	  ? fm_ials_shared_size(problem, rank, stride)
		   : solver == FM_SOLVER_MCMC ? fm_gibbs_shared_size(problem, rank)
									  : (size_t) fm_als_search_shared_size(problem, num_factors);
}

size_t
fm_solve_shared_size(const FmRatings *ratings, const FmSolverOptions *options, const FmHost *host)
{
	FmProblem problem = make_problem(ratings, options, host);
	int rank = solver_rank(&problem, options);
	int stride = fm_block_stride(problem.kernel, rank);
	size_t row = (size_t) stride * sizeof(float);
	size_t entities = (size_t) ratings->num_users + ratings->num_items;
	const int arrays_a_side = 4;
	double known = fm_context_shared_size(&problem, rank);

	for (int side = 0; side < 2; side++)
		known += fm_regression_shared_size(&problem, side, rank);
	/* two tables of rows, errors and shares; sums; the samples so far */
	return sums_size(&problem, options->solver, options->num_factors, rank, stride) +
		   entities * (2 * row + sizeof(double) + sizeof(float)) +
		   2 * arrays_a_side * FM_ALIGNMENT + (size_t) known +
		   (size_t) fm_distill_shared_size(&problem, rank, model_factors(&problem, options));
}

double
fm_solve_size(int64_t num_ratings, int32_t num_users, int32_t num_items,
			  const int32_t num_levels[2], const FmContexts *contexts,
			  const FmSolverOptions *options)
{
	FmProblem problem = {.kernel = fm_block_kernel(),
						 .task = options->task,
						 .side = {{.count = num_users}, {.count = num_items}},
						 .features = {{.num_levels = num_levels[0], .num_groups = num_levels[0]},
									  {.num_levels = num_levels[1], .num_groups = num_levels[1]}},
						 .history = options->history,
						 .contexts = *contexts,
						 .num_ratings = num_ratings,
						 .l2_reg_v = options->l2_reg_v,
						 .num_rated = {num_users, num_items}};
	double entities = (double) num_users + num_items;
	int rank = solver_rank(&problem, options), k = model_factors(&problem, options);
	int stride = fm_block_stride(problem.kernel, rank);
	double row = stride * sizeof(float);
	double spread = options->task == FM_TASK_CLASSIFICATION ? fm_spread_size(rank, k) : 0;
	double search = options->task == FM_TASK_RANKING ? fm_ials_search_size(&problem, rank) : 0;
	double levels = 2.0 + num_levels[0] + num_levels[1] + contexts->num_levels;
	double known = fm_context_shared_size(&problem, rank) +
				   fm_regression_shared_size(&problem, FM_USERS, rank) +
				   fm_regression_shared_size(&problem, FM_ITEMS, rank);

	/* two tables of rows, errors, shares and covariates; sums; the samples so far; the result */
	return sums_size(&problem, options->solver, options->num_factors, rank, stride) +
		   entities * (2 * row + sizeof(double) + 2 * sizeof(float)) +
		   fm_distill_size(&problem, rank, k) + spread + search + known +
		   (entities + levels) * (k + 1) * sizeof(float);
}
