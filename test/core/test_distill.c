/*
 * Distillation: the model is the posterior mean, in the gauge that is promised; products are cut as they should be,
 * and eigenvectors are what they should be. Prints TAP.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/train/distill.h"
#include "core/math/eigen.h"
#include "core/train/gibbs.h"
#include "core/math/low_rank.h"
#include "planted_test.h"
#include "tap_test.h"

/* ---- Eigenvectors ---- */

/* Of a random symmetric matrix: A v = λ v, lengths are 1, the sum of all λ is the trace. */
static void
test_eigen(int n, int wanted)
{
	size_t square = (size_t) n * n;
	double *a = host.alloc(host.ctx, square, sizeof(double));
	double *spent = host.alloc(host.ctx, square, sizeof(double));
	double *eigenvalue = host.alloc(host.ctx, n, sizeof(double)), *vectors;
	double off = 0, trace = 0;

	random_state = 3;
	for (int i = 0; i < n; i++)
		for (int j = 0; j <= i; j++)
			a[i * n + j] = a[j * n + i] = normal();
	memcpy(spent, a, square * sizeof(double));
	vectors = fm_eigen_largest(&host, n, spent, wanted, eigenvalue);
	for (int c = n - wanted; c < n; c++)
	{
		const double *v = vectors + (size_t) c * n;
		double length = 0;

		for (int i = 0; i < n; i++)
		{
			double rest = -eigenvalue[c] * v[i];

			for (int j = 0; j < n; j++)
				rest += a[i * n + j] * v[j];
			off = fmax(off, fabs(rest));
			length += v[i] * v[i];
		}
		off = fmax(off, fabs(length - 1));
	}
	for (int i = 0; i < n; i++)
	{
		trace += a[i * (n + 1)] - eigenvalue[i];
		if (i > 0 && eigenvalue[i] < eigenvalue[i - 1])
			off = INFINITY;
	}
	ok(fmax(off, fabs(trace)) < 1e-11 * n, "the %d largest eigenvalues of %d, with vectors (%.1e)",
	   wanted, n, off);
	host.release(host.ctx, a);
	host.release(host.ctx, spent);
	host.release(host.ctx, eigenvalue);
	host.release(host.ctx, vectors);
}

/* ---- Products of few columns ---- */

#define P_ROWS 700 /* more than one panel */
#define Q_ROWS 90
#define COLUMNS 14

/* P and Q of so many columns, of which only `rank` are not sums of others. */
static FmLowRank *
random_product(int rank)
{
	FmLowRankShape shape = {{P_ROWS, Q_ROWS}, {P_ROWS, Q_ROWS}, COLUMNS, COLUMNS};
	FmLowRank *product = fm_low_rank_create(&host, &shape);

	random_state = 4;
	for (int side = 0; side < 2; side++)
		for (int32_t r = 0; r < shape.rows[side]; r++)
		{
			float *row = fm_low_rank_row(product, side, r);

			for (int c = 0; c < COLUMNS; c++)
				row[c] = c < rank ? (float) normal() : row[c - rank];
		}
	product->columns = COLUMNS;
	return product;
}

static double
product_entry(const FmLowRank *product, int32_t p, int32_t q)
{
	double sum = 0;

	for (int c = 0; c < product->columns; c++)
		sum += (double) fm_low_rank_row(product, 0, p)[c] * fm_low_rank_row(product, 1, q)[c];
	return sum;
}

/* Σ (A - B)², of all entries of two products. */
static double
squared_distance(const FmLowRank *a, const FmLowRank *b)
{
	double sum = 0;

	for (int32_t p = 0; p < P_ROWS; p++)
		for (int32_t q = 0; q < Q_ROWS; q++)
			sum += pow(product_entry(a, p, q) - product_entry(b, p, q), 2);
	return sum;
}

/* Σ s² over the columns from `first` on, where all columns are balanced, those of a side orthogonal: else NaN. */
static double
singular_squares(const FmLowRank *product, int first)
{
	double sum = 0;

	for (int i = 0; i < product->columns; i++)
		for (int j = 0; j <= i; j++)
		{
			double inner[2] = {0};

			for (int side = 0; side < 2; side++)
				for (int32_t r = 0; r < product->shape.rows[side]; r++)
				{
					const float *row = fm_low_rank_row(product, side, r);

					inner[side] += (double) row[i] * row[j];
				}
			if (fabs(inner[0] - inner[1]) > 1e-2 || (i != j && fabs(inner[0]) > 1e-2))
				return NAN;
			if (i == j && i >= first)
				sum += inner[0] * inner[0];
		}
	return sum;
}

/* What a cut to r columns loses is what all singular values but the r largest have, and no less can be lost. */
static void
test_cut(void)
{
	FmLowRank *whole = random_product(COLUMNS), *cut = random_product(COLUMNS);
	FmLowRank *thin = random_product(5), *again = random_product(5);
	double lost;

	fm_low_rank_cut(thin, COLUMNS);
	ok(thin->columns == 5, "of 14 columns with 5 dimensions 5 remain");
	lost = squared_distance(thin, again);
	ok(lost < 1e-6 * P_ROWS * Q_ROWS, "their product is what it was (%.1e)", lost);
	fm_low_rank_cut(whole, COLUMNS);
	fm_low_rank_cut(cut, 6);
	lost = squared_distance(whole, cut);
	ok(whole->columns == COLUMNS && cut->columns == 6 &&
		   fabs(lost / singular_squares(whole, 6) - 1) < 1e-4,
	   "a cut to 6 loses the squares of the other singular values (%.1f)", lost);
	fm_low_rank_release(whole);
	fm_low_rank_release(cut);
	fm_low_rank_release(thin);
	fm_low_rank_release(again);
}

/* ---- Gauge ---- */

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

int
main(void)
{
	test_eigen(1, 1);
	test_eigen(40, 7);
	test_eigen(150, 150);
	test_cut();
	test_gauge();
	test_distillation();
	return done_testing();
}
