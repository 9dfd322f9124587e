/*
 * Blocked Gibbs sampling of a factorization machine with two one-hot sides.
 *
 * In standardised units (problem.h), for entity e of a side and coordinate f of θ_e = (v_e, w_e):
 *
 *   y = w_u + w_i + <v_u, v_i> + N(0, 1 / (α τ_u τ_i))
 *   θ_ef ~ N(μ_f + β_f g_e, 1/λ_f)
 *   α ~ Gamma(1/2, 1/2)   λ_f ~ Gamma(1/2, 1/2)   μ_f, β_f ~ N(0, 1/λ_f)   τ_e ~ Gamma(ν/2, ν/2)
 *
 * α, λ and μ have the hyper-priors of Rendle ("Factorization Machines with libFM", 2012, section
 * 3.4), with one group for each side, so the user has nothing to tune. Two things are added:
 *
 * - τ: people differ in how consistently they rate, and items in how much they divide opinion.
 *   Gamma shares of the noise precision, as in Student's t, keep inconsistent raters from pulling
 *   at the vectors of all others (compare Lakshminarayanan, Bouchard and Archambeau, "Robust
 *   Bayesian matrix factorisation", 2011).
 * - g_e: the centred logarithm of the number of ratings. Entities with many ratings are rated
 *   differently, so an entity with few ratings is drawn towards others with few, not towards the
 *   mean of all.
 *
 * Measured on MovieLens 100k, five random 80/20 splits, rank 8, ν = 20, mean test RMSE: 0.8979
 * without either, 0.8957 with g, 0.8918 with g and the users' τ, 0.8911 with all.
 *
 * Repeats. If weights are how precise the means of repeats are (repeats.h), a rating counts as one
 * observation of the noise, and ρ follows what the model leaves. On planted data (a million
 * ratings, 100 a user, a quarter of them repeats with noise of their own; P), a ρ of 0.5, which
 * users and items explain, gave a test RMSE of 0.7450, 0.2 0.7442, and the fitted 0.01 0.7440.
 *
 * If there are features or history, the prior mean has another term: regression.c.
 *
 * Given the other side, all θ_e of a side are independent, and each is drawn as one block
 * (block.c), as in BPMF (Salakhutdinov and Mnih 2008). The global b stays at the mean of the
 * ratings; the two μ_w do its work. Entities without ratings are integrated out by leaving them
 * out.
 *
 * Samples. The sink does not get the drawn pair (U, V). For one side it gets the mean of the
 * conditional distribution, which the half-step computes anyway, together with the draw of the
 * other side that it was conditioned on. The average of E[U|V] Vᵀ over draws of V converges to the
 * same posterior mean as the average of U Vᵀ, with the noise of U integrated out (Rao-Blackwell;
 * Gelfand and Smith 1990). It is the side with more entities, which have fewer ratings each and so
 * more noise: RMSE 0.7432 on P, where both in turns gave 0.7433. On MovieLens 100k (five folds,
 * four seeds) users, items, both in turns and both every time gave 0.8867, 0.8867, 0.8866, 0.8866.
 *
 * Classification (probit.c). y is latent and drawn anew in every half-step; α and τ are 1. Noise
 * shares cannot be used there: τ_i would be a scale of the score that depends on the item, so the
 * order of a user's items by probability would no longer be that of an inner product; and τ_u would
 * be a scale that the user's own numbers have already. An iteration costs twice as much, so the
 * sink gets both half-steps: with one of two, the share of ua.test that is predicted right was
 * 0.0005 lower.
 *
 * Teams (team.h). The entities of each half-step and the sums over a side are shared out. Every
 * member feeds the sink, whose work is shared out as well. Memory: two tables of rows for each
 * side, shared by the team; block memory for each member.
 */
#include "core/train/gibbs.h"

#include <math.h>
#include <string.h>

#include "core/data/repeats.h"
#include "core/layout.h"
#include "core/math/low_rank.h"
#include "core/math/share_count.h"
#include "core/team.h"
#include "core/train/context.h"
#include "core/train/regression.h"

/* Of the gamma and normal hyper-priors; shapes and rates are halved where they are used. */
#define PRIOR_SHAPE 1.0
#define PRIOR_RATE 1.0
#define PRIOR_COUNT 1.0

/* ν: how many ratings the prior of τ weighs as much as. One in so many iterations draws it. */
#define FIRST_SHARE_COUNT 40.0
#define SHARE_COUNT_EVERY 8

/* A higher precision would let exact data exceed the limits of single precision. */
#define NOISE_PRECISION_MAX 1e5

/*
 * The λ of v in the first few iterations. If λ were drawn from the start, the first V, which is
 * small, would give a prior that keeps V small, which costs some forty iterations.
 */
#define START_ITERATIONS 3
#define START_PRECISION 20.0

/*
 * The first iteration and one in BURN_IN of all are discarded. On MovieLens 100k (200 iterations,
 * five folds, three seeds) a fifth, a tenth and a twentieth gave a mean RMSE of 0.8864, 0.8863 and
 * 0.8862. On a million planted ratings the three were the same after 200 iterations, and after 60 a
 * tenth was better than a fifth by 0.0004.
 */
#define BURN_IN 10

/*
 * Idle coordinates. What the rank exceeds the data's dimensions by fits noise: the λ of such a
 * coordinate grows too slowly, since it follows V, which follows it, and because all coordinates
 * are mixtures of the data's dimensions and the others. So in one of AXES_EVERY iterations, during
 * the first quarter of all, the singular values of V_u V_iᵀ are computed. If one is TURN_GAP times
 * as large as the next, V is turned to these axes, which lets the others shrink. If it is IDLE_GAP
 * times as large, and the others are alike (within NOISE_RANGE), as noise is, these are kept next
 * to 0 from then on. LEAST_AXES never are: what all users have in common often towers above the
 * rest.
 *
 * Test RMSE without and with: P 0.7437 and 0.7432 (rank 8 of 14); planted data of 200,000 ratings
 * of rank 8, 0.7424 and 0.7413, and of rank 3, 0.7448 and 0.7439. Of rank 16, with 25 ratings a
 * user, and on MovieLens 100k and three tenths of it there is no gap (at most 1.6), and nothing
 * changes. To turn V there anyway lost 0.0001 to 0.001. Of 9,000 ratings of two strong and many
 * weak dimensions, values behind a gap of 3.8 range from 24 to 6; idle, they cost 10 % in RMSE.
 */
#define AXES_EVERY 8
#define FIRST_AXES 16
#define LEAST_AXES 2
#define TURN_GAP 1.75
#define IDLE_GAP 3.0
#define NOISE_RANGE 2.5
#define IDLE_PRECISION 1e4

/* Until then ρ is the least: before the model has learnt something, it leaves too much. */
#define CORRELATION_ITERATIONS 16

/* Sums over a side are cut into this many slices. */
#define SLICES 32

/*
 * One in this many kept samples enters the spread, which costs as much as a few ratings per entity.
 */
#define SPREAD_EVERY 4

typedef struct Prior
{
	float *precision; /* rank + 1 numbers, as the others: of v, then of w */
	float *mean;
	float *slope;
} Prior;

/* Sums over the entities of a side, for one coordinate of θ. */
typedef struct CoordinateSums
{
	double theta;
	double square;	/* of θ */
	double product; /* of θ and g */
} CoordinateSums;

typedef struct Sampler
{
	const FmProblem *problem;
	int rank;
	int stride;
	int num_axes; /* coordinates that are not idle: the first ones */
	int iteration;
	double noise_precision;
	double correlation; /* of repeats */
	FmBlockWork *work;
	Prior prior;
	CoordinateSums *sums; /* SLICES × (rank + 1), shared */
	/* By side */
	float *draw_rows[2]; /* scaled by √τ */
	float *mean_rows[2];
	double *error[2];			 /* by entity */
	float *share[2];			 /* τ, by entity */
	double share_count[2];		 /* ν */
	float *covariate[2];		 /* g, by entity */
	double covariate2[2];		 /* Σ g² */
	FmRegression *regression[2]; /* or NULL */
	FmContextEffects *context;	 /* or NULL */
	FmLowRank *axes;			 /* or NULL: no coordinates are idle */
} Sampler;

static FmRandomKey
sampler_key(const Sampler *sampler, uint32_t stream)
{
	FmRandomKey key = {sampler->problem->seed, stream, (uint32_t) sampler->iteration};

	return key;
}

/* For team loops over one side. */
typedef struct SideLoop
{
	Sampler *sampler;
	int side;
	const FmHalfStep *step;
} SideLoop;

/*
 * Return by how much the prior mean of each entity of a side is moved by what is known of it, or
 * NULL.
 */
static const float *
prior_offset(const Sampler *sampler, int side)
{
	const FmRegression *regression = sampler->regression[side];

	return regression == NULL ? NULL : fm_regression_offset(regression);
}

/* FmTeamSliceBody: compute the sums over a slice that the prior is drawn from. */
static void
sum_slice(void *state, int32_t slice, int32_t begin, int32_t end)
{
	const SideLoop *loop = state;
	const Sampler *sampler = loop->sampler;
	const FmSide *ratings = &sampler->problem->side[loop->side];
	const float *offsets = prior_offset(sampler, loop->side);
	int rank = sampler->rank;
	CoordinateSums *sums = sampler->sums + (size_t) slice * (rank + 1);

	memset(sums, 0, (rank + 1) * sizeof(CoordinateSums));
	for (int32_t e = begin; e < end; e++)
	{
		const float *row = sampler->draw_rows[loop->side] + (size_t) e * sampler->stride;
		double g = sampler->covariate[loop->side][e], scale;

		fm_problem_check(sampler->problem, e);
		if (!fm_side_is_rated(ratings, e))
			continue;
		scale = 1.0 / row[rank];
		for (int f = 0; f <= rank; f++)
		{
			double theta = (f < rank ? row[f] : -row[rank + 1]) * scale;

			if (offsets)
				theta -= offsets[(size_t) e * sampler->stride + f];
			sums[f].theta += theta;
			sums[f].square += theta * theta;
			sums[f].product += theta * g;
		}
	}
}

/* Return the sums over a side of one coordinate: those of its slices, in their order. */
static CoordinateSums
add_slices(const Sampler *sampler, int coordinate)
{
	CoordinateSums total = {0};

	for (int slice = 0; slice < SLICES; slice++)
	{
		const CoordinateSums *sums = &sampler->sums[slice * (sampler->rank + 1) + coordinate];

		total.theta += sums->theta;
		total.square += sums->square;
		total.product += sums->product;
	}
	return total;
}

/*
 * Draw λ_f, μ_f and β_f from their normal-gamma conditional distribution, given the side's rows.
 * The covariate is centred, so that μ_f and β_f are independent.
 */
static void
draw_prior(Sampler *sampler, int side)
{
	double n = sampler->problem->num_rated[side];
	double n_slope = sampler->covariate2[side] + PRIOR_COUNT;
	Prior *prior = &sampler->prior;
	SideLoop loop = {sampler, side, NULL};

	fm_team_slices(sampler->problem->host, sampler->problem->side[side].count, SLICES, sum_slice,
				   &loop);
	for (int f = 0; f <= sampler->rank; f++)
	{
		FmRandomSequence random = {sampler_key(sampler, FM_STREAM_PRIOR + side), f, 0};
		CoordinateSums sums = add_slices(sampler, f);
		double mean = sums.theta / (n + PRIOR_COUNT);
		double slope = sums.product / n_slope;
		double spread = sums.square - sums.theta * mean - sums.product * slope;
		double precision;

		if (f < sampler->rank && sampler->iteration < START_ITERATIONS)
		{
			prior->precision[f] = START_PRECISION;
			prior->mean[f] = prior->slope[f] = 0;
			continue;
		}
		if (f < sampler->rank && f >= sampler->num_axes)
		{
			prior->precision[f] = IDLE_PRECISION;
			prior->mean[f] = prior->slope[f] = 0;
			continue;
		}
		precision = fm_random_gamma(&random, (PRIOR_SHAPE + n) / 2) * 2 /
					(PRIOR_RATE + fmax(spread, 0));
		mean += fm_random_normal(&random) / sqrt((n + PRIOR_COUNT) * precision);
		slope += fm_random_normal(&random) / sqrt(n_slope * precision);
		prior->precision[f] = (float) precision;
		prior->mean[f] = (float) mean;
		prior->slope[f] = (float) slope;
	}
}

/* Draw the effects of what is known of a side's entities on their prior means, given its rows. */
static void
draw_regression(Sampler *sampler, int side)
{
	FmRegressionStep step = {.rows = sampler->draw_rows[side],
							 .precision = sampler->prior.precision,
							 .mean = sampler->prior.mean,
							 .slope = sampler->prior.slope,
							 .covariate = sampler->covariate[side],
							 .iteration = sampler->iteration};

	if (sampler->regression[side] != NULL && sampler->iteration >= START_ITERATIONS)
		fm_regression_update(sampler->regression[side], &step);
}

/*
 * Draw ν of a side, given the residuals of the iteration before. Every member does this.
 */
static void
draw_share_count(Sampler *sampler, int side)
{
	const FmSide *ratings = &sampler->problem->side[side];
	FmRandomSequence random = {sampler_key(sampler, FM_STREAM_SHARE_COUNT + side), 0, 0};
	FmShareCounts counts = {0};

	if (sampler->problem->task == FM_TASK_CLASSIFICATION || sampler->iteration == 0 ||
		sampler->iteration % SHARE_COUNT_EVERY != 0)
		return;
	for (int32_t e = 0; e < ratings->count; e++)
	{
		fm_problem_check(sampler->problem, e);
		if (fm_side_is_rated(ratings, e))
			fm_share_counts_add(&counts, fm_problem_observations(sampler->problem, side, e),
								sampler->noise_precision * sampler->error[side][e]);
	}
	sampler->share_count[side] = fm_share_counts_draw(&counts, &random);
}

/* Draw τ for a range of entities whose θ have just been drawn, and scale their rows with it. */
static void
draw_shares(Sampler *sampler, int side, int32_t begin, int32_t end)
{
	FmRandomKey key = sampler_key(sampler, FM_STREAM_SHARE + side);
	double count = sampler->share_count[side];

	for (int32_t e = begin; e < end; e++)
	{
		FmRandomSequence random = {key, e, 0};
		double n = fm_problem_observations(sampler->problem, side, e);
		double rate = count + sampler->noise_precision * sampler->error[side][e];
		float *row = sampler->draw_rows[side] + (size_t) e * sampler->stride;
		float scale;

		fm_problem_check(sampler->problem, e);
		if (n <= 0)
			continue;
		sampler->share[side][e] =
			isinf(count) ? 1 : (float) (fm_random_gamma(&random, (count + n) / 2) * 2 / rate);
		scale = sqrtf(sampler->share[side][e]);
		for (int j = 0; j < sampler->rank + 2; j++)
			row[j] *= scale;
	}
}

/* FmTeamBody */
static void
draw_range(void *state, int32_t begin, int32_t end)
{
	const SideLoop *loop = state;

	fm_block_half_step(loop->step, loop->sampler->work, begin, end);
	if (loop->step->probit == NULL)
		draw_shares(loop->sampler, loop->side, begin, end);
}

/* Draw one side given the other. */
static void
draw_side(Sampler *sampler, int side)
{
	FmRandomKey key = sampler_key(sampler, FM_STREAM_BLOCK + side);
	FmProbit probit = {sampler_key(sampler, FM_STREAM_LATENT + side),
					   (float) sampler->problem->mean};
	FmHalfStep step = fm_problem_half_step(sampler->problem, side, sampler->rank,
										   sampler->draw_rows[1 - side], sampler->error[side]);

	FmReweighing reweighing = fm_problem_reweighing(sampler->problem, sampler->correlation);
	SideLoop loop = {sampler, side, &step};

	draw_share_count(sampler, side);
	/* Before this half-step writes, every member has passed the end of the loop in draw_prior. */
	draw_prior(sampler, side);
	draw_regression(sampler, side);
	if (sampler->problem->task == FM_TASK_CLASSIFICATION)
		step.probit = &probit;
	if (fm_problem_fits_correlation(sampler->problem))
		step.reweighing = &reweighing;
	step.noise_precision = sampler->noise_precision;
	step.noise_share = sampler->share[side];
	step.prior_precision = sampler->prior.precision;
	step.prior_mean = sampler->prior.mean;
	step.prior_slope = sampler->prior.slope;
	step.covariate = sampler->covariate[side];
	step.prior_offset = prior_offset(sampler, side);
	step.noise = &key;
	step.draw_rows = sampler->draw_rows[side];
	step.mean_rows = sampler->mean_rows[side];
	fm_context_add_term(sampler->context, side, &step);
	fm_team_for(sampler->problem->host, step.side->count, FM_BLOCK_CHUNK, draw_range, &loop);
}

/* Draw what contexts add to the users, given the users' prior. */
static void
draw_contexts(Sampler *sampler)
{
	FmContextStep step = {.rows = {sampler->draw_rows[FM_USERS], sampler->draw_rows[FM_ITEMS]},
						  .precision = sampler->prior.precision,
						  .noise_precision = sampler->noise_precision,
						  .iteration = sampler->iteration,
						  .work = sampler->work};

	if (sampler->iteration >= START_ITERATIONS)
		fm_context_update(sampler->context, &step);
}

/*
 * Draw α given the residuals; return their weighted root mean square. In a classification α is 1,
 * and the mean log loss is returned.
 */
static double
draw_noise_precision(Sampler *sampler)
{
	const FmProblem *problem = sampler->problem;
	FmRandomSequence random = {sampler_key(sampler, FM_STREAM_NOISE), 0, 0};
	double n = fm_problem_all_observations(problem);
	double error = 0, precision;

	if (problem->task == FM_TASK_CLASSIFICATION)
		return fm_problem_sum_error(problem, FM_ITEMS, sampler->error[FM_ITEMS]) /
			   problem->total_weight;
	for (int32_t e = 0; e < problem->side[FM_ITEMS].count; e++)
		error += sampler->share[FM_ITEMS][e] * sampler->error[FM_ITEMS][e];
	precision = fm_random_gamma(&random, (PRIOR_SHAPE + n) / 2) * 2 / (PRIOR_RATE + error);
	sampler->noise_precision = fmin(precision, NOISE_PRECISION_MAX);
	if (fm_problem_fits_correlation(problem) && sampler->iteration >= CORRELATION_ITERATIONS)
		sampler->correlation = fm_problem_correlation(problem, sampler->noise_precision);
	return sqrt(error / n);
}

/*
 * Return whether coordinates may become idle: what features and contexts add is not turned with V.
 */
static bool
may_idle(const FmProblem *problem)
{
	return problem->task == FM_TASK_REGRESSION && problem->contexts.num_columns == 0 &&
		   !fm_regression_is_needed(problem, FM_USERS) &&
		   !fm_regression_is_needed(problem, FM_ITEMS);
}

static FmLowRankShape
axes_shape(const FmProblem *problem, int rank)
{
	int32_t users = problem->side[FM_USERS].count, items = problem->side[FM_ITEMS].count;

	return (FmLowRankShape){{users, items}, {users, items}, rank, rank};
}

static void
sampler_init(Sampler *sampler, const FmProblem *problem, int rank)
{
	const FmHost *host = problem->host;
	FmLowRankShape shape = axes_shape(problem, rank);

	sampler->problem = problem;
	sampler->rank = rank;
	sampler->stride = fm_block_stride(problem->kernel, rank);
	sampler->num_axes = rank;
	sampler->noise_precision = 1;
	sampler->work = fm_block_work(host, problem->kernel, rank);
	for (int side = 0; side < 2; side++)
	{
		int32_t count = problem->side[side].count;

		sampler->draw_rows[side] = fm_problem_init_rows(problem, side, rank);
		sampler->mean_rows[side] = fm_problem_rows(problem, side, rank);
		sampler->error[side] = fm_team_alloc(host, count, sizeof(double));
		sampler->share[side] = fm_team_alloc(host, count, sizeof(float));
		sampler->covariate[side] = host->alloc(host->ctx, count, sizeof(float));
		for (int32_t e = 0; e < count && fm_team_leads(host); e++)
			sampler->share[side][e] = 1;
		sampler->share_count[side] = FIRST_SHARE_COUNT;
		sampler->covariate2[side] = fm_problem_centre_counts(problem, side,
															 sampler->covariate[side]);
		if (fm_regression_is_needed(problem, side))
			sampler->regression[side] = fm_regression_create(problem, side, rank, 0);
	}
	sampler->context = fm_context_create(problem, rank, true);
	sampler->correlation = problem->repeats.correlation;
	if (fm_problem_fits_correlation(problem) && problem->iterations > CORRELATION_ITERATIONS)
		sampler->correlation = FM_CORRELATION_MIN;
	if (may_idle(problem))
		sampler->axes = fm_low_rank_create(host, &shape);
	sampler->sums = fm_team_alloc(host, (size_t) SLICES * (rank + 1), sizeof(CoordinateSums));
	sampler->prior.precision = host->alloc(host->ctx, rank + 1, sizeof(float));
	sampler->prior.mean = host->alloc(host->ctx, rank + 1, sizeof(float));
	sampler->prior.slope = host->alloc(host->ctx, rank + 1, sizeof(float));
	fm_team_barrier(host);
}

static void
sampler_release(Sampler *sampler)
{
	const FmHost *host = sampler->problem->host;

	fm_block_work_release(host, sampler->work);
	for (int side = 0; side < 2; side++)
	{
		fm_team_release(host, sampler->draw_rows[side]);
		fm_team_release(host, sampler->mean_rows[side]);
		fm_team_release(host, sampler->error[side]);
		fm_team_release(host, sampler->share[side]);
		host->release(host->ctx, sampler->covariate[side]);
		fm_regression_release(sampler->regression[side]);
	}
	fm_context_release(sampler->context);
	if (sampler->axes != NULL)
		fm_low_rank_release(sampler->axes);
	fm_team_release(host, sampler->sums);
	host->release(host->ctx, sampler->prior.precision);
	host->release(host->ctx, sampler->prior.mean);
	host->release(host->ctx, sampler->prior.slope);
}

size_t
fm_gibbs_shared_size(const FmProblem *problem, int rank)
{
	FmLowRankShape shape = axes_shape(problem, rank);

	return (size_t) SLICES * (rank + 1) * sizeof(CoordinateSums) + FM_ALIGNMENT +
		   (may_idle(problem) ? (size_t) fm_low_rank_shared_size(&shape) : 0);
}

/* FmTeamBody: copy the v of some rows to the axes, without their scale. */
static void
load_axes(void *state, int32_t begin, int32_t end)
{
	const SideLoop *loop = state;
	const Sampler *sampler = loop->sampler;

	for (int32_t e = begin; e < end; e++)
	{
		const float *row = sampler->draw_rows[loop->side] + (size_t) e * sampler->stride;
		float *to = fm_low_rank_row(sampler->axes, loop->side, e);
		bool is_rated = fm_side_is_rated(&sampler->problem->side[loop->side], e);

		for (int f = 0; f < sampler->rank; f++)
			to[f] = is_rated ? row[f] / row[sampler->rank] : 0;
	}
}

/* FmTeamBody: set the v of some rows to the axes in use, as large on both sides. */
static void
turn_rows(void *state, int32_t begin, int32_t end)
{
	const SideLoop *loop = state;
	const Sampler *sampler = loop->sampler;
	const int32_t *rated = sampler->problem->num_rated;
	double balance = sqrt(sqrt((double) rated[loop->side] / rated[1 - loop->side]));

	for (int32_t e = begin; e < end; e++)
	{
		float *row = sampler->draw_rows[loop->side] + (size_t) e * sampler->stride;
		const float *from = fm_low_rank_row(sampler->axes, loop->side, e);
		float scale = (float) balance * row[sampler->rank];

		if (!fm_side_is_rated(&sampler->problem->side[loop->side], e))
			continue;
		for (int f = 0; f < sampler->rank; f++)
			row[f] = f < sampler->num_axes && f < sampler->axes->columns ? scale * from[f] : 0;
	}
}

static void
on_both_sides(Sampler *sampler, FmTeamBody body)
{
	for (int side = 0; side < 2; side++)
		fm_team_for(sampler->problem->host, sampler->problem->side[side].count, FM_BLOCK_CHUNK,
					body, &(SideLoop){sampler, side, NULL});
}

/* Return how many singular values come before the first gap; all of them if there is none. */
static int
count_axes(const double *value, int count, double gap)
{
	int axes = LEAST_AXES;

	while (axes < count && value[axes - 1] < gap * value[axes])
		axes++;
	return axes;
}

/* Return whether there is a wide gap, with nothing but noise behind it: values that are alike. */
static bool
rest_is_noise(const double *value, int count)
{
	int axes = count_axes(value, count, IDLE_GAP);

	return axes < count && value[axes] < NOISE_RANGE * value[count - 1];
}

/* Turn V to the axes and look for idle ones, if it is time to. Every member does the same. */
static void
find_idle(Sampler *sampler)
{
	const FmHost *host = sampler->problem->host;
	int rank = sampler->rank, iteration = sampler->iteration, found;
	double *value;

	if (sampler->axes == NULL || sampler->num_axes < rank || iteration < FIRST_AXES ||
		iteration % AXES_EVERY != 0 || iteration > sampler->problem->iterations / 4)
		return;
	on_both_sides(sampler, load_axes);
	sampler->axes->columns = rank;
	fm_low_rank_cut(sampler->axes, rank);
	found = sampler->axes->columns;
	value = host->alloc(host->ctx, rank, sizeof(double));
	fm_low_rank_values(sampler->axes, value);
	if (rest_is_noise(value, found))
		sampler->num_axes = count_axes(value, found, IDLE_GAP);
	if (count_axes(value, found, TURN_GAP) < found)
		on_both_sides(sampler, turn_rows);
	host->release(host->ctx, value);
}

/* Give the sink the conditional means of one side with the draws of the other. */
static void
hand_on(const Sampler *sampler, int mean_side, FmSampleSink sink, void *sink_ctx)
{
	FmSample sample = {.contexts = NULL};

	for (int side = 0; side < 2; side++)
	{
		const FmRegression *regression = sampler->regression[side];

		sample.rows[side] = side == mean_side ? sampler->mean_rows[side] : sampler->draw_rows[side];
		sample.effects[side] = regression == NULL ? NULL : fm_regression_effects(regression);
	}
	sample.contexts = sampler->context == NULL ? NULL : fm_context_rows(sampler->context);
	if (sampler->problem->history)
		sample.own_effects = fm_regression_history(sampler->regression[FM_ITEMS],
												   &sample.own_scale);
	sink(sink_ctx, &sample);
}

/*
 * Tell the host of an iteration. Before a half-step writes, every member has passed the end of the
 * loop in draw_prior.
 */
static void
report(const Sampler *sampler, double error, bool keep)
{
	const FmContextEffects *context = sampler->context;
	FmIteration iteration = {.solver = "mcmc",
							 .number = sampler->iteration + 1,
							 .count = sampler->problem->iterations,
							 .error = error,
							 .rank = sampler->rank,
							 .rows = {sampler->draw_rows[FM_USERS], sampler->draw_rows[FM_ITEMS]},
							 .levels = context == NULL ? NULL : fm_context_rows(context),
							 .averages = keep};

	fm_problem_report(sampler->problem, &iteration);
}

double
fm_gibbs(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx, FmSpread *spread)
{
	int burn_in = 1 + problem->iterations / BURN_IN;
	/* see the top of the file */
	bool dense = problem->task == FM_TASK_CLASSIFICATION;
	int mean_side = problem->num_rated[FM_USERS] < problem->num_rated[FM_ITEMS];
	Sampler sampler = {0};

	burn_in = burn_in < problem->iterations ? burn_in : problem->iterations - 1;
	sampler_init(&sampler, problem, rank);
	for (int iteration = 0; iteration < problem->iterations; iteration++)
	{
		bool keep = iteration >= burn_in;
		double error;

		sampler.iteration = iteration;
		find_idle(&sampler);
		draw_side(&sampler, FM_USERS);
		if (keep && (dense || mean_side == FM_USERS))
			hand_on(&sampler, FM_USERS, sink, sink_ctx);
		draw_contexts(&sampler);
		draw_side(&sampler, FM_ITEMS);
		if (keep && (dense || mean_side == FM_ITEMS))
			hand_on(&sampler, FM_ITEMS, sink, sink_ctx);
		if (keep && spread != NULL && (iteration - burn_in) % SPREAD_EVERY == 0)
			fm_spread_add(spread, sampler.draw_rows[FM_USERS], sampler.draw_rows[FM_ITEMS]);
		error = draw_noise_precision(&sampler);
		report(&sampler, error * problem->deviation, keep);
	}
	sampler_release(&sampler);
	return sampler.correlation;
}
