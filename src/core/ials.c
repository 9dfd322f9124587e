/*
 * Implicit alternating least squares (Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback
 * datasets", 2008): observed pairs are 1, all pairs are 0 with a small weight α₀ as well.
 *
 * It minimises, over the users u and items i with ratings, ŷ = w_u + w_i + <v_u, v_i>,
 *
 *   Σ_observed c (1 - ŷ)² + α₀ Σ_all ŷ² + Σ_e √((n_e + α₀ N) / (n̄ + α₀ N)) (λ_w w_e² + λ_v |v_e|²)
 *
 * where c is the weight of an observation, n_e the total weight of an entity's, n̄ its mean over the side, and
 * N the number of entities on the other side. The sum over all pairs is never enumerated: for each entity of
 * a side it is the same quadratic form in θ, whose matrix is the Gram matrix of the other side's rows (Bayer
 * et al. 2017). Block.c starts every entity's sums from it.
 *
 * Options are without the size of the data:
 *
 * - λ = l2_reg (√n̄_users + √n̄_items). What regularisation of both sides does to V_u V_iᵀ is to lower its
 *   singular values by λ, and √n̄_users + √n̄_items is about the largest singular value of noise: of a matrix of
 *   as many ones in random places (as its entries' variance is their density). On MovieLens 100k (rating ≥ 4;
 *   three splits, 32 factors) an l2_reg_v of 0.4, 0.5, 0.6 and 0.8 gave an NDCG@10 of 0.313, 0.318, 0.312 and
 *   0.287. With four tenths of the ratings it was 0.152, 0.162, 0.169 and 0.168.
 * - α₀, unless given, such that the unobserved pairs weigh UNOBSERVED_SHARE times as much as the observed: 3,
 *   6, 10 and 20 gave at best 0.314, 0.318, 0.319 and 0.317, and with four tenths 0.172, 0.171, 0.170 and 0.166.
 * - The root in the weights of the regularisation: exponents 0, ½ and 1 for both sides gave 0.320, 0.321 and 0.317
 *   at their best λ; Rendle et al. ("Revisiting the performance of iALS", 2021) found 1 better than 0.
 * - Biases: with λ_w equal to λ_v they lowered the NDCG to 0.302, with 40 times as much they made no difference.
 *   So l2_reg_w is large. What all users have in common ends up in w_i all the same, by the gauge of the
 *   result (solver.h).
 *
 * Memory: as als.c, and the sums over a side, shared.
 */
#include "core/ials.h"

#include <math.h>
#include <string.h>

#include "core/regression.h"
#include "core/team.h"

#define UNOBSERVED_SHARE 6.0

/* Of the regression on features and history, as in als.c. */
#define STRENGTH 5.0

/* Sums over a side are cut into so many slices, and in single precision run over so many rows. */
#define SLICES 8
#define SINGLE_ROWS 1024

typedef struct Ials
{
	const FmProblem *problem;
	int rank;
	int stride;
	double unobserved_weight;
	FmBlockWork *work;
	float *prior_mean;
	float *prior_precision;
	float *base;	/* stride × stride: α₀ × the Gram matrix of the other side's rows */
	float *gram;	/* likewise, of a few rows */
	double *sums;	/* SLICES × stride × stride, shared */
	float *rows[2]; /* by side */
	double *error[2];
	FmRegression *regression[2]; /* or NULL */
} Ials;

double
fm_ials_unobserved_weight(double given, double total_weight, double num_pairs)
{
	return given >= 0 ? given : UNOBSERVED_SHARE * total_weight / num_pairs;
}

size_t
fm_ials_sums_size(int stride)
{
	return (size_t) SLICES * stride * stride * sizeof(double) + 64;
}

typedef struct SideLoop
{
	Ials *ials;
	int side;
	const FmHalfStep *step;
} SideLoop;

/* FmTeamSliceBody: the Gram matrix of a slice of rows; those of entities without ratings are zero. */
static void
sum_slice(void *state, int32_t slice, int32_t begin, int32_t end)
{
	const SideLoop *loop = state;
	Ials *ials = loop->ials;
	const FmProblem *problem = ials->problem;
	size_t size = (size_t) ials->stride * ials->stride;
	double *sums = ials->sums + size * slice;

	memset(sums, 0, size * sizeof(double));
	for (int32_t e = begin; e < end; e += SINGLE_ROWS)
	{
		int count = end - e < SINGLE_ROWS ? end - e : SINGLE_ROWS;

		problem->host->check_interrupts(problem->host->ctx);
		memset(ials->gram, 0, size * sizeof(float));
		problem->kernel->accumulate(ials->rows[loop->side] + (size_t) e * ials->stride, count,
									ials->stride, ials->gram);
		for (size_t i = 0; i < size; i++)
			sums[i] += ials->gram[i];
	}
}

/* What all entities of the other side owe to the pairs with this one's. */
static void
sum_all_pairs(Ials *ials, int side)
{
	SideLoop loop = {ials, side, NULL};
	size_t size = (size_t) ials->stride * ials->stride;

	fm_team_slices(ials->problem->host, ials->problem->side[side].count, SLICES, sum_slice, &loop);
	for (size_t i = 0; i < size; i++)
	{
		double sum = 0;

		for (int slice = 0; slice < SLICES; slice++)
			sum += ials->sums[size * slice + i];
		ials->base[i] = (float) (ials->unobserved_weight * sum);
	}
}

/* FmTeamBody */
static void
update_range(void *state, int32_t begin, int32_t end)
{
	const SideLoop *loop = state;

	fm_block_half_step(loop->step, loop->ials->work, begin, end);
}

static double
mean_weight(const FmProblem *problem, int side)
{
	return problem->total_weight / problem->num_rated[side];
}

/* λ, over the root that block.c multiplies by √(n_e + α₀ N). */
static void
set_prior(Ials *ials, int side)
{
	const FmProblem *problem = ials->problem;
	double all = ials->unobserved_weight * problem->num_rated[1 - side];
	double unit = (sqrt(mean_weight(problem, FM_USERS)) + sqrt(mean_weight(problem, FM_ITEMS))) /
				  sqrt(mean_weight(problem, side) + all);

	for (int f = 0; f < ials->rank; f++)
		ials->prior_precision[f] = (float) (problem->l2_reg_v * unit);
	ials->prior_precision[ials->rank] = (float) (problem->l2_reg_w * unit);
}

/* What the entities of a side are expected to be, of all that is known of them; or NULL. */
static const float *
fit_regression(Ials *ials, int side, int iteration)
{
	FmRegressionStep fit = {.rows = ials->rows[side],
							.precision = ials->prior_precision,
							.mean = ials->prior_mean,
							.iteration = iteration};

	if (ials->regression[side] == NULL)
		return NULL;
	if (iteration > 0)
		fm_regression_update(ials->regression[side], &fit);
	return fm_regression_offset(ials->regression[side]);
}

static void
update_side(Ials *ials, int side, int iteration)
{
	const FmProblem *problem = ials->problem;
	FmHalfStep step = fm_problem_half_step(problem, side, ials->rank, ials->rows[1 - side],
										   ials->error[side]);
	SideLoop loop = {ials, side, &step};

	sum_all_pairs(ials, 1 - side);
	set_prior(ials, side);
	step.base = ials->base;
	step.prior_offset = fit_regression(ials, side, iteration);
	step.prior_precision = ials->prior_precision;
	step.prior_mean = ials->prior_mean;
	step.prior_by_count = true;
	step.prior_count_base = ials->unobserved_weight * problem->num_rated[1 - side];
	step.mean_rows = ials->rows[side];
	fm_team_for(problem->host, step.side->count, FM_BLOCK_CHUNK, update_range, &loop);
}

static void
ials_init(Ials *ials, const FmProblem *problem, int rank)
{
	const FmHost *host = problem->host;
	double pairs = (double) problem->num_rated[FM_USERS] * problem->num_rated[FM_ITEMS];
	size_t size;

	ials->problem = problem;
	ials->rank = rank;
	ials->stride = fm_block_stride(problem->kernel, rank);
	size = (size_t) ials->stride * ials->stride;
	ials->unobserved_weight = fm_ials_unobserved_weight(problem->unobserved_weight,
														problem->total_weight, pairs);
	ials->work = fm_block_work(host, problem->kernel, rank);
	ials->prior_mean = host->alloc(host->ctx, rank + 1, sizeof(float));
	ials->prior_precision = host->alloc(host->ctx, rank + 1, sizeof(float));
	ials->base = host->alloc(host->ctx, size, sizeof(float));
	ials->gram = host->alloc(host->ctx, size, sizeof(float));
	for (int side = 0; side < 2; side++)
	{
		ials->rows[side] = fm_problem_init_rows(problem, side, rank);
		ials->error[side] = fm_team_alloc(host, problem->side[side].count, sizeof(double));
		if (fm_regression_is_needed(problem, side))
			ials->regression[side] = fm_regression_create(problem, side, rank, STRENGTH);
	}
	ials->sums = fm_team_alloc(host, SLICES * size, sizeof(double));
	fm_team_barrier(host);
}

static void
ials_release(Ials *ials)
{
	const FmHost *host = ials->problem->host;

	fm_block_work_release(host, ials->work);
	host->release(host->ctx, ials->prior_mean);
	host->release(host->ctx, ials->prior_precision);
	host->release(host->ctx, ials->base);
	host->release(host->ctx, ials->gram);
	for (int side = 0; side < 2; side++)
	{
		fm_team_release(host, ials->rows[side]);
		fm_team_release(host, ials->error[side]);
		fm_regression_release(ials->regression[side]);
	}
	fm_team_release(host, ials->sums);
}

void
fm_ials(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx)
{
	const FmHost *host = problem->host;
	Ials ials = {0};
	FmSample sample = {{NULL}, {NULL}, NULL};

	ials_init(&ials, problem, rank);
	for (int iteration = 0; iteration < problem->iterations; iteration++)
	{
		for (int side = 0; side < 2; side++)
			update_side(&ials, side, iteration);
		if (host->progress)
			host->progress(host->ctx, "ials", iteration + 1, problem->iterations,
						   sqrt(fm_problem_sum_error(problem, FM_ITEMS, ials.error[FM_ITEMS]) /
								problem->total_weight));
	}
	for (int side = 0; side < 2; side++)
	{
		FmRegression *regression = ials.regression[side];

		sample.rows[side] = ials.rows[side];
		sample.effects[side] = regression ? fm_regression_effects(regression) : NULL;
	}
	if (sink != NULL)
		sink(sink_ctx, &sample);
	ials_release(&ials);
}
