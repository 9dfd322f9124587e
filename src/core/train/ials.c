/*
 * Implicit alternating least squares (Hu, Koren and Volinsky, "Collaborative filtering for implicit
 * feedback datasets", 2008). Observed pairs count as 1. Besides, all pairs count as 0 with a small
 * weight α₀: unobserved pairs are weak negatives.
 *
 * It minimises, over the users u and items i with ratings, with ŷ = w_u + w_i + <v_u, v_i>,
 *
 *   Σ_observed c (1 - ŷ)² + Σ_all α_i ŷ²
 *     + Σ_e (n_e + α₀ N) / (n̄ + α₀ N) (λ_w w_e² + λ_v |v_e|²)
 *
 * where c is the weight of an observation, n_e the total weight of an entity's observations, n̄ its
 * mean over the side, and N the number of entities on the other side. α_i is α₀ times the item's
 * share of all pairs (fm_all_pairs_share), divided by the mean share. The sum over all pairs is
 * never enumerated: for each entity of a side it is the same quadratic form in θ but for a factor,
 * whose matrix is the Gram matrix of the other side's rows (Bayer et al. 2017). Every entity's sums
 * start from it.
 *
 * With few factors the solution is exact (block.c). With more, two steps of conjugate gradients are
 * made from the previous solution (pcg.c), which lower the objective as much in each iteration.
 *
 * How strongly to regularise cannot be told from the shape of the data: at the best l2_reg_v the
 * data below differ by a factor of two. So it is searched for. A tenth of the pairs is held out
 * (held_out.c). l2_reg_v climbs a ladder, upwards because factors that a large one has killed do
 * not grow again, each rung from the rows of the one before, so that it takes two iterations.
 * When two rungs in a row are no better than the best one, the search ends. l2_reg_v is where a
 * parabola through the scores of the best rung and its neighbours is highest. The final
 * iterations, on all pairs, start from the rows of the best rung. All that takes some 1.7 times as
 * long as to train once.
 *
 * Measured: MovieLens 100k with rating ≥ 4 (A), and four tenths of its training (B); Last.fm, 2k
 * users and 18k artists (C); positives of MovieLens 1M (D); made-up choices, by users with about 5
 * (E), 20 (F) and 100 (G) of them, and 11 of 12,000 items (H). A fifth is held out, of D its
 * published test. Differences of 0.5 % are noise, of B and E twice that.
 *
 * - The search found 0.63, 0.80, 0.41, 0.57, 0.88, 0.70, 0.75 and 0.83 for A to H. Against the best
 *   NDCG@20 of l2_reg_v 0.2, 0.35, 0.55, 0.8 and 1.2 with 32, 64, 128 and 256 factors, it is 0.0 %
 *   better on A, 0.8 % worse on C, 0.8 % better on E, 0.1, 0.4 and 0.9 % worse on F, G and H.
 * - Those are of a ladder of 13 rungs, with 8 iterations on the first one and 6 final iterations.
 *   The present one takes 0.7 of its time, and NDCG@20 of A to H is 0.1, 1.1, -0.1, -0.1, 1.1, 0.0,
 *   0.0 and 1.9 % higher. To end at the first rung that is no better loses a tenth with a tenth of
 *   the ratings of MovieLens 100k.
 * - λ = l2_reg (√n̄_users + √n̄_items). Regularisation of both sides lowers the singular values of
 *   V_u V_iᵀ by λ, and √n̄_users + √n̄_items is about the largest singular value of noise: of a
 *   matrix with as many ones in random places (as the variance of its entries is their density).
 *   That makes the best l2_reg_v alike, though not the same, and short the ladder.
 * - α₀, unless given, makes the unobserved pairs weigh UNOBSERVED_SHARE times as much as the
 *   observed.
 * - Shares (n_i + 1)^g: with g 0, 0.1, 0.2 and 0.3 NDCG@10 is 0.326, 0.325, 0.324 and 0.320 on A,
 *   0.170, 0.168, 0.170 and 0.169 on B, 0.265, 0.266, 0.268 and 0.269 on C, 0.130, 0.131, 0.130 and
 *   0.129 on E; with 0, 0.1 and 0.2 0.250, 0.249 and 0.246 on D, 0.072 on H.
 * - The regularisation grows with n_e + α₀ N itself (Rendle et al., "Revisiting the performance of
 *   iALS", 2021), not with its root.
 * - Biases: with λ_w equal to λ_v they lowered NDCG@10 of A by 6 %, with 40 times as much they made
 *   no difference. So l2_reg_w is large: biases are next to nothing, and pcg.c leaves them out.
 *   What all users have in common still ends up in w_i, by the gauge of the result (solver.h).
 *
 * Memory: as als.c, and the sums over a side and what pcg.c makes of them, shared; in a search the
 * best rows so far and the pairs that are not held out, too.
 */
#include "core/train/ials.h"

#include <math.h>
#include <string.h>

#include "core/layout.h"
#include "core/model/prior.h"
#include "core/team.h"
#include "core/train/held_out.h"
#include "core/train/pcg.h"
#include "core/train/precondition.h"
#include "core/train/regression.h"

#define UNOBSERVED_SHARE 12.0

/* The ladder of the search. */
static const float rungs[] = {0.15f, 0.22f, 0.32f, 0.45f, 0.62f, 0.85f, 1.15f, 1.55f, 2.1f};

#define NUM_RUNGS ((int) (sizeof rungs / sizeof *rungs))
#define FIRST_ITERATIONS 5
#define RUNG_ITERATIONS 2
#define MAX_FALLS 2
#define EXPECTED_RUNGS 4

/*
 * Without a search, because there are too few pairs. Few are better than none, but chance decides
 * more than it should: the score of a rung is lowered by PULL / pairs held out × log²(l2_reg_v /
 * DEFAULT_L2_REG_V).
 */
#define DEFAULT_L2_REG_V 0.7f
#define PULL 50.0

/* After a search; with features or history, their regression begins with the final iterations. */
#define FINAL_ITERATIONS 4

/* Rows that a member of a team copies at a time. */
#define COPY_CHUNK 1024

/*
 * The strength of the regression on features and history, as in als.c, with all entities of a side
 * weighing alike. MovieLens 100k, four times five fifths of the users left out: NDCG@10 of their
 * lists with age, gender and occupation 0.4104, 0.4129, 0.4085 and 0.4072; of the ten most liked
 * films 0.4057, 0.4069, 0.4060 and 0.4046. On two of them 1, 2 and 3 gave 0.4149 and 0.4096, 0.4113
 * and 0.4061, 0.4079 and 0.4041; entities weighed by the roots of their counts 0.4108 and 0.4090
 * with 1, 0.4037 and 0.4020 with 5. Known users, with genres as well, two random fifths: 0.3959 and
 * 0.3895 with 1, 0.3966 and 0.3908 with 1.5, 0.3980 and 0.3908 with 2, 0.3981 and 0.3911 before.
 */
#define STRENGTH 1.5

/*
 * Sums over a side are cut into SLICES slices. In single precision they run over SINGLE_ROWS rows.
 */
#define SLICES 8
#define SINGLE_ROWS 1024

typedef struct Ials
{
	const FmProblem *problem;
	int rank;
	int stride;
	int columns;			  /* of base and rated, which are square matrices */
	double mean_unobserved;	  /* α₀ */
	double unobserved_weight; /* α of an item with a share of 1 */
	float l2_reg_v;
	int iterations;	   /* so far */
	FmBlockWork *work; /* for exact half-steps; or NULL, and the next two are used */
	FmPcgWork *pcg;
	FmPreconditioner *preconditioner;
	float *prior_mean;
	float *prior_precision;
	float *base;	/* α × the Gram matrix of the other side's rows */
	float *rated;	/* pcg: the mean of z zᵀ over all ratings */
	float *weight;	/* of some rows' entities: total weights, or shares of all pairs */
	float *weighed; /* SINGLE_ROWS × stride: those rows */
	float *gram;	/* their Gram matrix */
	double *sums;	/* SLICES × num_sums × stride × stride, shared */
	float *rows[2]; /* by side */
	double *error[2];
	FmRegression *regression[2]; /* or NULL */
} Ials;

double
fm_ials_unobserved_weight(double given, double total_weight, double num_pairs)
{
	return given >= 0 ? given : UNOBSERVED_SHARE * total_weight / num_pairs;
}

/*
 * Return the number of sums over a side: one for the pairs, and with pcg one more for the ratings.
 */
static int
num_sums(int rank)
{
	return fm_pcg_pays(rank) ? 2 : 1;
}

size_t
fm_ials_shared_size(const FmProblem *problem, int rank, int stride)
{
	size_t size = (size_t) SLICES * num_sums(rank) * stride * stride * sizeof(double) +
				  FM_ALIGNMENT;

	if (fm_pcg_pays(rank))
		size += fm_precondition_shared_size(stride);
	if (problem->l2_reg_v < 0)
		size += (size_t) fm_held_out_shared_size(problem->num_ratings,
												 problem->side[FM_USERS].count,
												 problem->side[FM_ITEMS].count);
	return size;
}

double
fm_ials_search_size(const FmProblem *problem, int rank)
{
	return problem->l2_reg_v < 0 ? fm_held_out_size(problem->side[FM_ITEMS].count, rank) : 0;
}

typedef struct SideLoop
{
	Ials *ials;
	int side;
	const FmHalfStep *step;
} SideLoop;

/* Add the Gram matrix of some rows to sums. */
static void
add_gram(Ials *ials, const float *rows, int count, double *sums)
{
	size_t size = (size_t) ials->stride * ials->stride;

	memset(ials->gram, 0, size * sizeof(float));
	ials->problem->kernel->accumulate(rows, count, ials->stride, ials->gram);
	for (size_t i = 0; i < size; i++)
		sums[i] += ials->gram[i];
}

/* Copy rows, each times the square root of its entity's total weight, or of its share of pairs. */
static void
weigh_rows(Ials *ials, int side, int32_t first, int count, bool by_share)
{
	const FmSide *ratings = &ials->problem->side[side];
	size_t at = (size_t) first * ials->stride;

	for (int r = 0; r < count; r++)
		ials->weight[r] =
			(float) (by_share ? fm_all_pairs_share((double) fm_side_count(ratings, first + r))
							  : fm_side_weight(ratings, first + r));
	memcpy(ials->weighed, ials->rows[side] + at, (size_t) count * ials->stride * sizeof(float));
	fm_block_weigh_rows(ials->weight, count, ials->stride, ials->weighed);
}

/*
 * FmTeamSliceBody: sum the Gram matrices of a slice of rows. Entities without ratings have rows of
 * zeros.
 */
static void
sum_slice(void *state, int32_t slice, int32_t begin, int32_t end)
{
	const SideLoop *loop = state;
	Ials *ials = loop->ials;
	const FmHost *host = ials->problem->host;
	size_t size = (size_t) ials->stride * ials->stride;
	double *sums = ials->sums + num_sums(ials->rank) * size * slice;

	memset(sums, 0, num_sums(ials->rank) * size * sizeof(double));
	for (int32_t e = begin; e < end; e += SINGLE_ROWS)
	{
		int count = end - e < SINGLE_ROWS ? end - e : SINGLE_ROWS;

		host->check_interrupts(host->ctx);
		if (loop->side == FM_ITEMS)
			weigh_rows(ials, loop->side, e, count, true);
		add_gram(ials,
				 loop->side == FM_ITEMS ? ials->weighed
										: ials->rows[loop->side] + (size_t) e * ials->stride,
				 count, sums);
		if (ials->pcg == NULL)
			continue;
		weigh_rows(ials, loop->side, e, count, false);
		add_gram(ials, ials->weighed, count, sums + size);
	}
}

/* Write the slices' sums times a factor as a symmetric matrix; they hold the lower triangle. */
static void
add_slices(const Ials *ials, int which, double factor, float *matrix)
{
	size_t stride = ials->stride, size = stride * stride, columns = ials->columns;

	for (size_t i = 0; i < columns; i++)
		for (size_t j = 0; j <= i; j++)
		{
			const double *at = ials->sums + which * size + i * stride + j;
			double sum = 0;

			for (int slice = 0; slice < SLICES; slice++)
				sum += at[num_sums(ials->rank) * size * slice];
			matrix[i * columns + j] = matrix[j * columns + i] = (float) (factor * sum);
		}
}

/*
 * Compute the sums over one side that a half-step of the other needs: for the pairs, and with pcg
 * the mean of z zᵀ over the ratings.
 */
static void
sum_other_side(Ials *ials, int side)
{
	const FmProblem *problem = ials->problem;
	SideLoop loop = {ials, side, NULL};

	fm_team_slices(problem->host, problem->side[side].count, SLICES, sum_slice, &loop);
	add_slices(ials, 0, ials->unobserved_weight, ials->base);
	if (ials->pcg != NULL)
		add_slices(ials, 1, 1 / problem->total_weight, ials->rated);
}

/* FmTeamBody */
static void
update_range(void *state, int32_t begin, int32_t end)
{
	const SideLoop *loop = state;

	if (loop->ials->pcg != NULL)
		fm_pcg_half_step(loop->step, loop->ials->preconditioner, loop->ials->pcg, begin, end);
	else
		fm_block_half_step(loop->step, loop->ials->work, begin, end);
}

static bool
has_biases(const FmProblem *problem)
{
	return problem->l2_reg_w < FM_IALS_NO_BIASES;
}

static double
mean_weight(const FmProblem *problem, int side)
{
	return problem->total_weight / problem->num_rated[side];
}

/* Set λ, divided by the mean of what block.c multiplies it by: n_e + α₀ N. */
static void
set_prior(Ials *ials, int side)
{
	const FmProblem *problem = ials->problem;
	double all = ials->mean_unobserved * problem->num_rated[1 - side];
	double unit = (sqrt(mean_weight(problem, FM_USERS)) + sqrt(mean_weight(problem, FM_ITEMS))) /
				  (mean_weight(problem, side) + all);

	for (int f = 0; f < ials->rank; f++)
		ials->prior_precision[f] = (float) (ials->l2_reg_v * unit);
	ials->prior_precision[ials->rank] = (float) (problem->l2_reg_w * unit);
}

/*
 * Update the regression of a side, if it has one; return the prior mean that it gives each entity,
 * or NULL. A search has none.
 */
static const float *
fit_regression(Ials *ials, int side, int iteration)
{
	FmRegressionStep fit = {.rows = ials->rows[side],
							.precision = ials->prior_precision,
							.mean = ials->prior_mean,
							.iteration = iteration};

	if (!fm_regression_is_needed(ials->problem, side))
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

	sum_other_side(ials, 1 - side);
	set_prior(ials, side);
	step.base = ials->base;
	step.base_by_count = side == FM_ITEMS;
	step.prior_offset = fit_regression(ials, side, iteration);
	step.prior_precision = ials->prior_precision;
	step.prior_mean = ials->prior_mean;
	step.prior_growth = FM_PRIOR_BY_COUNT;
	step.prior_count_base = ials->mean_unobserved * problem->num_rated[1 - side];
	step.mean_rows = ials->rows[side];
	if (ials->preconditioner != NULL)
		fm_precondition_update(ials->preconditioner, &step, side, ials->rated);
	fm_team_for(problem->host, step.side->count, FM_BLOCK_CHUNK, update_range, &loop);
}

/* Tell the host of an iteration. All members meet in sum_other_side before rows are written. */
static void
report(const Ials *ials, int total)
{
	const FmProblem *problem = ials->problem;
	double squares = fm_problem_sum_error(problem, FM_ITEMS, ials->error[FM_ITEMS]);
	FmIteration iteration = {.solver = "ials",
							 .number = ials->iterations,
							 .count = total,
							 .error = sqrt(squares / problem->total_weight),
							 .rank = ials->rank,
							 .rows = {ials->rows[FM_USERS], ials->rows[FM_ITEMS]}};

	fm_problem_report(problem, &iteration);
}

/* Make `count` iterations, of about `expected` that are left, these included. */
static void
iterate(Ials *ials, int count, int expected)
{
	int total = ials->iterations + (expected > count ? expected : count);

	for (int iteration = 0; iteration < count; iteration++)
	{
		for (int side = 0; side < 2; side++)
			update_side(ials, side, iteration);
		ials->iterations++;
		report(ials, total);
	}
}

/* Go on with another problem, which has the same users and items. */
static void
set_problem(Ials *ials, const FmProblem *problem)
{
	double pairs = (double) problem->num_rated[FM_USERS] * problem->num_rated[FM_ITEMS];
	const FmSide *items = &problem->side[FM_ITEMS];
	double shares = 0;

	ials->problem = problem;
	for (int32_t item = 0; item < items->count; item++)
	{
		fm_problem_check(problem, item);
		if (fm_side_is_rated(items, item))
			shares += fm_all_pairs_share((double) fm_side_count(items, item));
	}
	ials->mean_unobserved = fm_ials_unobserved_weight(problem->unobserved_weight,
													  problem->total_weight, pairs);
	ials->unobserved_weight = ials->mean_unobserved * problem->num_rated[FM_ITEMS] / shares;
	if (ials->preconditioner != NULL)
		fm_precondition_set_problem(ials->preconditioner, problem);
}

typedef struct RowCopy
{
	size_t stride;
	const float *from;
	float *to;
} RowCopy;

/* FmTeamBody */
static void
copy_range(void *state, int32_t begin, int32_t end)
{
	const RowCopy *copy = state;

	memcpy(copy->to + begin * copy->stride, copy->from + begin * copy->stride,
		   (end - begin) * copy->stride * sizeof(float));
}

/* Copy the rows of both sides. */
static void
copy_rows(const Ials *ials, float *const from[2], float *const to[2])
{
	for (int side = 0; side < 2; side++)
	{
		RowCopy copy = {ials->stride, from[side], to[side]};

		fm_team_for(ials->problem->host, ials->problem->side[side].count, COPY_CHUNK, copy_range,
					&copy);
	}
}

/*
 * Return where the parabola through the scores of a rung and its two neighbours is highest; the
 * rung itself at an end of what was tried.
 */
static float
highest_between(const double *score, int best, int tried)
{
	double left, right, below, above, at;

	if (best == 0 || best == tried - 1)
		return rungs[best];
	left = log(rungs[best] / rungs[best - 1]);
	right = log(rungs[best + 1] / rungs[best]);
	below = (score[best] - score[best - 1]) / left;
	above = (score[best + 1] - score[best]) / right;
	if (!(below > above))
		return rungs[best];
	at = (below * right + above * left) / (2 * (below - above));
	return (float) (rungs[best] * exp(at));
}

/*
 * Climb the ladder on the pairs that are not held out; keep the best rows and return the best
 * l2_reg_v.
 */
static float
search(Ials *ials, FmHeldOut *held, int final_iterations)
{
	const FmProblem *problem = ials->problem;
	float *best_rows[2];
	double score[NUM_RUNGS];
	int best = 0, rung;

	for (int side = 0; side < 2; side++)
		best_rows[side] = fm_problem_rows(problem, side, ials->rank);
	set_problem(ials, fm_held_out_rest(held));
	for (rung = 0; rung < NUM_RUNGS && rung <= best + MAX_FALLS; rung++)
	{
		ials->l2_reg_v = rungs[rung];
		iterate(ials, rung == 0 ? FIRST_ITERATIONS : RUNG_ITERATIONS,
				final_iterations + (rung == 0 ? FIRST_ITERATIONS + EXPECTED_RUNGS * RUNG_ITERATIONS
											  : (best + MAX_FALLS + 1 - rung) * RUNG_ITERATIONS));
		score[rung] = fm_held_out_score(held, ials->rows, has_biases(problem)) -
					  PULL / (double) fm_held_out_pairs(held) *
						  pow(log(rungs[rung] / DEFAULT_L2_REG_V), 2);
		if (rung > 0 && score[rung] <= score[best])
			continue;
		best = rung;
		copy_rows(ials, ials->rows, best_rows);
	}
	copy_rows(ials, best_rows, ials->rows);
	for (int side = 0; side < 2; side++)
		fm_team_release(problem->host, best_rows[side]);
	set_problem(ials, problem);
	return highest_between(score, best, rung);
}

static void
ials_init(Ials *ials, const FmProblem *problem, int rank)
{
	const FmHost *host = problem->host;
	bool biases = has_biases(problem);
	size_t size;

	ials->rank = rank;
	ials->stride = fm_block_stride(problem->kernel, rank);
	size = (size_t) ials->stride * ials->stride;
	ials->columns = ials->stride;
	if (fm_pcg_pays(rank))
	{
		ials->columns = fm_pcg_columns(problem->kernel, rank, biases);
		ials->pcg = fm_pcg_work(host, problem->kernel, rank, biases);
		ials->preconditioner = fm_precondition_create(problem, fm_pcg_dim(rank, biases),
													  ials->columns);
		ials->rated = host->alloc(host->ctx, size, sizeof(float));
	}
	else
		ials->work = fm_block_work(host, problem->kernel, rank);
	ials->weight = host->alloc(host->ctx, SINGLE_ROWS, sizeof(float));
	ials->weighed = host->alloc(host->ctx, (size_t) SINGLE_ROWS * ials->stride, sizeof(float));
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
	ials->sums = fm_team_alloc(host, SLICES * num_sums(rank) * size, sizeof(double));
	fm_team_barrier(host);
	set_problem(ials, problem);
}

static void
ials_release(Ials *ials)
{
	const FmHost *host = ials->problem->host;

	if (ials->pcg != NULL)
	{
		fm_pcg_work_release(host, ials->pcg);
		fm_precondition_release(ials->preconditioner);
		host->release(host->ctx, ials->rated);
	}
	else
		fm_block_work_release(host, ials->work);
	host->release(host->ctx, ials->weight);
	host->release(host->ctx, ials->weighed);
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

static int
default_iterations(const FmProblem *problem, bool after_search)
{
	bool has_regression = fm_regression_is_needed(problem, FM_USERS) ||
						  fm_regression_is_needed(problem, FM_ITEMS);

	return after_search && !has_regression ? FINAL_ITERATIONS : FM_IALS_ITERATIONS;
}

/* Find l2_reg_v, and rows to start from, unless it is given or there are too few pairs. */
static void
train(Ials *ials)
{
	const FmProblem *problem = ials->problem;
	FmHeldOut *held = problem->l2_reg_v < 0 ? fm_held_out_create(problem, ials->rank) : NULL;
	int iterations = problem->iterations;

	if (iterations == 0)
		iterations = default_iterations(problem, held != NULL);
	ials->l2_reg_v = problem->l2_reg_v < 0 ? DEFAULT_L2_REG_V : problem->l2_reg_v;
	if (held != NULL)
		ials->l2_reg_v = search(ials, held, iterations);
	fm_held_out_release(held);
	iterate(ials, iterations, iterations);
}

FmIalsChoice
fm_ials(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx)
{
	Ials ials = {0};
	FmSample sample = {.contexts = NULL};
	FmIalsChoice choice;

	ials_init(&ials, problem, rank);
	train(&ials);
	for (int side = 0; side < 2; side++)
	{
		FmRegression *regression = ials.regression[side];

		sample.rows[side] = ials.rows[side];
		sample.effects[side] = regression ? fm_regression_effects(regression) : NULL;
	}
	if (sink != NULL)
		sink(sink_ctx, &sample);
	choice = (FmIalsChoice){ials.l2_reg_v, ials.unobserved_weight, ials.iterations};
	ials_release(&ials);
	return choice;
}
