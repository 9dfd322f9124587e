/*
 * Distillation: the model is the posterior mean, in the gauge that is promised. Prints TAP.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/train/distill.h"
#include "core/train/gibbs.h"
#include "support/planted.h"
#include "support/tap.h"

/* ---- Gauge ---- */

/* Return the largest |Σ v_f| or |Σ w| of a side. */
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
		.side = {{r->num_users, r->user_start, r->user_item, r->user_value, NULL},
				 {r->num_items, r->item_start, r->item_user, r->item_value, NULL}},
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
	FmParameters p = {.num_factors = 12,
					  .user_w = host.alloc(host.ctx, USERS, sizeof(float)),
					  .user_v = host.alloc(host.ctx, USERS * 12, sizeof(float)),
					  .item_w = host.alloc(host.ctx, ITEMS, sizeof(float)),
					  .item_v = host.alloc(host.ctx, ITEMS * 12, sizeof(float))};
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

int
main(void)
{
	test_gauge();
	test_distillation();
	return done_testing();
}
