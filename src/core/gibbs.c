/*
 * Blocked Gibbs sampling of a factorization machine with two one-hot sides.
 *
 * Model, in standardised units (problem.h), for entity e of a side and coordinate f of θ_e = (v_e,
 * w_e):
 *
 *   y = w_u + w_i + <v_u, v_i> + N(0, 1/α)      α   ~ Gamma(1/2, 1/2)
 *   θ_ef ~ N(μ_f, 1/λ_f)                        λ_f ~ Gamma(1/2, 1/2),  μ_f ~ N(0, 1/λ_f)
 *
 * These are the hyper-priors of Rendle ("Factorization Machines with libFM", 2012, section 3.4),
 * one group to a side; nothing is left for the user to tune. Given the other side, all θ_e of a
 * side are independent and each is drawn as one block (block.c), as in BPMF (Salakhutdinov and Mnih
 * 2008). The global b stays at the mean of the ratings: the two μ_w do its work.
 *
 * What is handed on is not the drawn pair (U, V). Of the side just updated the sink gets the mean
 * of the conditional, which is at hand anyway, together with the draw of the other side that it was
 * conditioned on. The average of E[U|V] Vᵀ over draws of V converges to the same posterior mean as
 * the average of U Vᵀ, with the noise of U integrated out (Rao-Blackwell; Gelfand and Smith 1990).
 *
 * Entities without ratings are integrated out by leaving them out.
 *
 * Memory: two tables of rows for each side, one worker's block memory.
 */
#include "core/gibbs.h"

#include <math.h>

#define PRIOR_SHAPE 1.0 /* twice the Gamma's: α₀ = β₀ = γ₀ = 1 */
#define PRIOR_RATE 1.0
#define PRIOR_COUNT 1.0

/* More would let exact data drive single precision to its limits. */
#define NOISE_PRECISION_MAX 1e5

typedef struct Sampler
{
	const FmProblem *problem;
	int rank;
	int stride;
	int iteration;
	double noise_precision;
	FmBlockWork *work;
	float *draw_rows[2];
	float *mean_rows[2];
	double *error[2];
	float *prior_mean; /* rank + 1: of v, then of w */
	float *prior_precision;
} Sampler;

static FmRandomKey
sampler_key(const Sampler *sampler, uint32_t stream)
{
	FmRandomKey key = {sampler->problem->seed, stream, (uint32_t) sampler->iteration};

	return key;
}

/* Draw (λ_f, μ_f) from their normal-gamma conditional, given the side's rows. */
static void
draw_prior(Sampler *sampler, int side)
{
	const FmSide *ratings = &sampler->problem->side[side];
	double n = sampler->problem->num_rated[side];

	for (int f = 0; f <= sampler->rank; f++)
	{
		FmRandomSequence random = {sampler_key(sampler, FM_STREAM_PRIOR + side), f, 0};
		/* w stands behind the constant 1, negated. */
		const float *theta = sampler->draw_rows[side] + (f < sampler->rank ? f : f + 1);
		double sum = 0, sum2 = 0, centre, rate, precision, mean;

		for (int32_t e = 0; e < ratings->count; e++, theta += sampler->stride)
		{
			sum += *theta;
			sum2 += (double) *theta * *theta;
		}
		if (f == sampler->rank)
			sum = -sum;
		centre = sum / (n + PRIOR_COUNT);
		rate = PRIOR_RATE + fmax(sum2 - sum * centre, 0);
		precision = fm_random_gamma(&random, (PRIOR_SHAPE + n) / 2) * 2 / rate;
		mean = centre + fm_random_normal(&random) / sqrt((n + PRIOR_COUNT) * precision);
		sampler->prior_precision[f] = (float) precision;
		sampler->prior_mean[f] = (float) mean;
	}
}

/* Draw one side given the other. */
static void
draw_side(Sampler *sampler, int side)
{
	FmRandomKey key = sampler_key(sampler, FM_STREAM_BLOCK + side);
	FmHalfStep step = fm_problem_half_step(sampler->problem, side, sampler->rank,
										   sampler->draw_rows[1 - side], sampler->error[side]);

	draw_prior(sampler, side);
	step.noise_precision = sampler->noise_precision;
	step.prior_precision = sampler->prior_precision;
	step.prior_mean = sampler->prior_mean;
	step.noise = &key;
	step.draw_rows = sampler->draw_rows[side];
	step.mean_rows = sampler->mean_rows[side];
	fm_block_half_step(&step, sampler->work, 0, step.side->count);
}

/* Draw α given the residuals; returns their root mean square. */
static double
draw_noise_precision(Sampler *sampler)
{
	const FmProblem *problem = sampler->problem;
	FmRandomSequence random = {sampler_key(sampler, FM_STREAM_NOISE), 0, 0};
	double n = problem->num_ratings;
	double error = fm_problem_sum_error(problem, FM_ITEMS, sampler->error[FM_ITEMS]);
	double precision = fm_random_gamma(&random, (PRIOR_SHAPE + n) / 2) * 2 / (PRIOR_RATE + error);

	sampler->noise_precision = fmin(precision, NOISE_PRECISION_MAX);
	return sqrt(error / n);
}

static void
sampler_init(Sampler *sampler, const FmProblem *problem, int rank)
{
	const FmHost *host = problem->host;

	sampler->problem = problem;
	sampler->rank = rank;
	sampler->stride = fm_block_stride(problem->kernel, rank);
	sampler->noise_precision = 1;
	sampler->work = fm_block_work(host, problem->kernel, rank);
	for (int side = 0; side < 2; side++)
	{
		sampler->draw_rows[side] = fm_problem_init_rows(problem, side, rank);
		sampler->mean_rows[side] = fm_problem_init_rows(problem, side, rank);
		sampler->error[side] = host->alloc(host->ctx, problem->side[side].count, sizeof(double));
	}
	sampler->prior_mean = host->alloc(host->ctx, rank + 1, sizeof(float));
	sampler->prior_precision = host->alloc(host->ctx, rank + 1, sizeof(float));
}

static void
sampler_release(Sampler *sampler)
{
	const FmHost *host = sampler->problem->host;

	fm_block_work_release(host, sampler->work);
	for (int side = 0; side < 2; side++)
	{
		host->release(host->ctx, sampler->draw_rows[side]);
		host->release(host->ctx, sampler->mean_rows[side]);
		host->release(host->ctx, sampler->error[side]);
	}
	host->release(host->ctx, sampler->prior_mean);
	host->release(host->ctx, sampler->prior_precision);
}

int
fm_gibbs_rank(const FmProblem *problem, int num_factors)
{
	return num_factors < 14 ? num_factors : 14;
}

int
fm_gibbs_burn_in(int iterations)
{
	return iterations / 5;
}

void
fm_gibbs(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx)
{
	const FmHost *host = problem->host;
	int burn_in = fm_gibbs_burn_in(problem->iterations);
	Sampler sampler = {0};

	sampler_init(&sampler, problem, rank);
	for (int iteration = 0; iteration < problem->iterations; iteration++)
	{
		bool keep = iteration >= burn_in;
		double error;

		sampler.iteration = iteration;
		draw_side(&sampler, FM_USERS);
		if (keep)
			sink(sink_ctx, sampler.mean_rows[FM_USERS], sampler.draw_rows[FM_ITEMS]);
		draw_side(&sampler, FM_ITEMS);
		if (keep)
			sink(sink_ctx, sampler.draw_rows[FM_USERS], sampler.mean_rows[FM_ITEMS]);
		error = draw_noise_precision(&sampler);
		if (host->progress)
			host->progress(host->ctx, "mcmc", iteration + 1, problem->iterations,
						   error * problem->deviation);
	}
	sampler_release(&sampler);
}
