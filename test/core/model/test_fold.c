/*
 * Folding in: the solution against the definition, by the derivative of the posterior; priors
 * against sums; corner cases. Prints TAP.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/math/normal.h"
#include "core/model/all_pairs.h"
#include "core/model/fold.h"
#include "support/data.h"
#include "support/tap.h"

#define MOST_FACTORS 40
#define MOST_ROWS 300

static double
around_zero(void)
{
	return uniform() + uniform() + uniform() + uniform() - 2;
}

/* ---- Solutions ---- */

typedef struct Case
{
	int k;
	int64_t n;
	FmTask task;
	double noise;
	float mean[MOST_FACTORS + 1];
	float root[(MOST_FACTORS + 1) * (MOST_FACTORS + 2) / 2];
	float v[MOST_ROWS][MOST_FACTORS];
	FmFoldRow rows[MOST_ROWS];
	FmPrior prior;
	const FmAllPairs *all_pairs;
} Case;

static void
make_case(Case *c, int k, int64_t n, FmTask task)
{
	size_t at = 0;

	*c = (Case){.k = k, .n = n, .task = task, .noise = 0.3 + uniform()};
	for (int i = 0; i <= k; i++)
	{
		c->mean[i] = (float) (0.3 * around_zero());
		for (int j = 0; j <= i; j++)
			c->root[at++] = (float) (i == j ? 0.2 + uniform() : 0.3 * around_zero());
	}
	for (int64_t r = 0; r < n; r++)
	{
		for (int f = 0; f < k; f++)
			c->v[r][f] = (float) around_zero();
		c->rows[r] = (FmFoldRow){c->v[r], around_zero(), 0, (float) (0.5 + uniform()), NULL};
		c->rows[r].value = task == FM_TASK_CLASSIFICATION ? uniform() < 0.7
														  : (float) (3 * around_zero());
	}
	c->prior = (FmPrior){c->mean, c->root};
}

static void
solve_case(const Case *c, float *theta)
{
	fm_fold(&c->prior, c->k, c->task, c->noise, c->all_pairs, c->rows, c->n, &host, theta);
}

static double
score_of(const Case *c, int64_t r, const float *theta)
{
	double score = c->rows[r].offset + theta[c->k];

	for (int f = 0; f < c->k; f++)
		score += (double) c->v[r][f] * theta[f];
	return score;
}

/*
 * Return how far θ is from the top of the posterior. There θ - mean = L Lᵀ Σ weight z (derivative
 * of the log-likelihood with respect to the score), whatever the rank of L.
 */
static double
off_the_top(const Case *c, const float *theta)
{
	double sum[MOST_FACTORS + 1] = {0}, inner[MOST_FACTORS + 1] = {0}, worst = 0;
	int dim = c->k + 1;

	for (int64_t r = 0; r < c->n; r++)
	{
		double score = score_of(c, r, theta), side = c->rows[r].value > 0 ? 1 : -1, slope;

		if (c->task == FM_TASK_REGRESSION)
			slope = (c->rows[r].value - score) / c->noise;
		else
			slope = side * exp(-score * score / 2) / sqrt(2 * M_PI) / fm_normal_cdf(side * score);
		for (int f = 0; f < dim; f++)
			sum[f] += c->rows[r].weight * slope * (f < c->k ? c->v[r][f] : 1);
	}
	for (int i = 0; i < dim; i++)
		for (int j = 0; j <= i; j++)
			inner[j] += c->root[i * (i + 1) / 2 + j] * sum[i];
	for (int i = 0; i < dim; i++)
	{
		double expected = c->mean[i];

		for (int j = 0; j <= i; j++)
			expected += c->root[i * (i + 1) / 2 + j] * inner[j];
		worst = fmax(worst, fabs(expected - theta[i]) / (1 + fabs(expected)));
	}
	return worst;
}

static void
test_solutions(FmTask task, const char *name)
{
	const int factors[] = {1, 2, 7, 32, 40}, counts[] = {1, 5, 33, 200, 300};
	double worst = 0;
	static Case c;
	float theta[MOST_FACTORS + 1];

	for (int i = 0; i < 5; i++)
		for (int j = 0; j < 5; j++)
		{
			make_case(&c, factors[i], counts[j], task);
			solve_case(&c, theta);
			worst = fmax(worst, off_the_top(&c, theta));
		}
	ok(worst < 1e-4, "%s: the derivative of the posterior is zero (%.1e)", name, worst);

	/* only the directions of v[0] and of the bias have variance */
	make_case(&c, 6, 20, task);
	for (int i = 1; i < 6; i++)
		for (int j = 0; j <= i; j++)
			c.root[i * (i + 1) / 2 + j] = 0;
	solve_case(&c, theta);
	ok(off_the_top(&c, theta) < 1e-4 && memcmp(theta + 1, c.mean + 1, 5 * sizeof(float)) == 0 &&
		   theta[0] != c.mean[0],
	   "%s: directions without variance in the prior stay at its mean", name);

	make_case(&c, 3, 0, task);
	solve_case(&c, theta);
	ok(memcmp(theta, c.mean, 4 * sizeof(float)) == 0, "%s: without ratings, the mean", name);
}

static void
test_weights(FmTask task, const char *name)
{
	static Case once, weighted;
	float a[MOST_FACTORS + 1], b[MOST_FACTORS + 1];
	double worst = 0;

	make_case(&once, 5, 30, task);
	for (int r = 0; r < 30; r++)
		once.rows[r].weight = 1;
	weighted = once;
	weighted.prior = (FmPrior){weighted.mean, weighted.root};
	memcpy(&once.rows[30], once.rows, 20 * sizeof(FmFoldRow));
	once.n = 50;
	for (int r = 0; r < 30; r++)
	{
		weighted.rows[r].v = weighted.v[r];
		weighted.rows[r].weight = r < 20 ? 2 : 1;
	}
	solve_case(&once, a);
	solve_case(&weighted, b);
	for (int f = 0; f <= 5; f++)
		worst = fmax(worst, fabs(a[f] - b[f]));
	ok(worst < 1e-5, "%s: a weight of 2 is the rating twice (%.1e)", name, worst);
}

/* In a ranking, the sums computed beforehand are the same as a row for every pair. */
static void
test_all_pairs(void)
{
	enum
	{
		K = 6,
		OTHERS = 200,
		OBSERVED = 25
	};
	static Case summed, listed;
	float w[OTHERS], v[OTHERS * K], gram[(K + 2) * (K + 3) / 2], users[(K + 2) * (K + 3) / 2];
	float a[MOST_FACTORS + 1], b[MOST_FACTORS + 1];
	FmAllPairs all_pairs = {0.07, gram, NULL, NULL};
	float shares[OTHERS];
	double worst = 0, squares = 0, total = 0, noise;

	make_case(&listed, K, OTHERS + OBSERVED, FM_TASK_RANKING);
	for (int e = 0; e < OTHERS; e++)
	{
		w[e] = (float) around_zero();
		memcpy(v + e * K, listed.v[e], K * sizeof(float));
		shares[e] = e % 3 == 0 ? 1.5f : 0.75f;
		total += shares[e];
		listed.rows[e] = (FmFoldRow){listed.v[e], 0.1 + w[e], 0, 0.07f * shares[e], NULL};
	}
	for (int r = 0; r < OBSERVED; r++)
		listed.rows[OTHERS + r] = (FmFoldRow){listed.v[3 * r], 0.1 + w[3 * r], 1, 1 + r % 2, NULL};
	fm_gram_of_side(0.1, w, v, NULL, shares, OTHERS, K, &host, gram);
	summed = listed;
	summed.n = OBSERVED;
	summed.all_pairs = &all_pairs;
	memcpy(summed.rows, listed.rows + OTHERS, OBSERVED * sizeof(FmFoldRow));
	solve_case(&listed, a);
	solve_case(&summed, b);
	for (int f = 0; f <= K; f++)
		worst = fmax(worst, fabs(a[f] - b[f]));
	ok(worst < 1e-5, "all pairs by their sums, as by one row each (%.1e)", worst);

	all_pairs.whitened = fm_whiten_all_pairs(&summed.prior, K, &all_pairs, &host);
	worst = 0;
	solve_case(&summed, a);
	for (int f = 0; f <= K; f++)
		worst = fmax(worst, fabs(a[f] - b[f]));
	ok(worst < 1e-6, "and by their sums whitened beforehand (%.1e)", worst);
	host.release(host.ctx, all_pairs.whitened);
	all_pairs.whitened = NULL;

	all_pairs.root = fm_root_of_all_pairs(&summed.prior, K, summed.noise, &all_pairs, &host);
	worst = 0;
	solve_case(&summed, a);
	for (int f = 0; f <= K; f++)
		worst = fmax(worst, fabs(a[f] - b[f]));
	ok(worst < 1e-5, "and taken into the prior beforehand (%.1e)", worst);
	host.release(host.ctx, all_pairs.root);
	all_pairs.root = NULL;

	/* the Gram matrices of all, as users and as items */
	fm_gram_of_side(0, w, v, NULL, NULL, OTHERS, K, &host, users);
	for (int u = 0; u < OTHERS; u++)
		for (int i = 0; i < OTHERS; i++)
		{
			double score = 0.1 + w[u] + w[i];

			for (int f = 0; f < K; f++)
				score += (double) v[u * K + f] * v[i * K + f];
			squares += shares[i] * score * score;
		}
	noise = fm_ranking_noise(&all_pairs, users, K, 50, 80, OTHERS * total) /
			fm_ranking_noise(&(FmAllPairs){0, gram, NULL, NULL}, users, K, 80, 80, 0);
	ok(fabs(noise / ((50 + 0.07 * squares) / (80 + 0.07 * OTHERS * total)) - 1) < 1e-4,
	   "the noise of a ranking (%.6g)", noise);
}

/* Few ratings are solved by their own number, many by the number of factors. */
static void
test_few(FmTask task)
{
	enum
	{
		FACTORS = 38,
		FEW = 25
	};
	static Case few, many;
	static double whitened[FEW][FACTORS + 1];
	float a[FACTORS + 1], b[FACTORS + 1], worst = 0;

	make_case(&few, FACTORS, FEW, task);
	many = few;
	many.n = 2 * FEW;
	for (int r = 0; r < FEW; r++)
	{
		many.rows[r].weight /= 2;
		many.rows[FEW + r] = many.rows[r];
	}
	many.prior = few.prior;
	solve_case(&few, a);
	solve_case(&many, b);
	for (int f = 0; f <= FACTORS; f++)
		worst = fmaxf(worst, fabsf(a[f] - b[f]));
	ok(worst < 2e-6, "few ratings, as twice as many of half the weight (%.1e)", worst);
	for (int r = 0; r < FEW; r += r % 7 == 0 ? 3 : 1)
	{
		fm_whiten_row(&few.prior, FACTORS, NULL, few.rows[r].v, whitened[r]);
		few.rows[r].whitened = whitened[r];
	}
	solve_case(&few, b);
	ok(memcmp(a, b, sizeof(a)) == 0, "and with some rows whitened beforehand, bit for bit");
}

static void
test_extremes(void)
{
	static Case c;
	float theta[MOST_FACTORS + 1], again[MOST_FACTORS + 1];
	double worst = 0;

	/* exact ratings give the true θ */
	make_case(&c, 10, 200, FM_TASK_REGRESSION);
	c.noise = 1e-9;
	for (int r = 0; r < 200; r++)
	{
		double value = c.rows[r].offset + 0.5;

		for (int f = 0; f < 10; f++)
			value += (f - 4.5) * c.v[r][f];
		c.rows[r].value = (float) value;
	}
	solve_case(&c, theta);
	for (int f = 0; f < 10; f++)
		worst = fmax(worst, fabs(theta[f] - (f - 4.5)));
	ok(worst < 1e-4 && fabs(theta[10] - 0.5) < 1e-4, "many exact ratings tell the truth (%.1e)",
	   worst);

	/* neither "yes" to everything nor values that the prior does not expect diverge */
	make_case(&c, 4, 300, FM_TASK_CLASSIFICATION);
	for (int r = 0; r < 300; r++)
	{
		c.rows[r].value = r % 2;
		c.rows[r].offset = r % 2 ? -60 : 60;
	}
	solve_case(&c, theta);
	make_case(&c, 4, 300, FM_TASK_CLASSIFICATION);
	for (int r = 0; r < 300; r++)
		c.rows[r].value = 1;
	solve_case(&c, again);
	for (int f = 0; f <= 4; f++)
		worst = fmax(worst, fmax(fabs(theta[f]), fabs(again[f])));
	ok(worst < 1e4 && off_the_top(&c, again) < 1e-3, "one-sided labels stay finite (%.1f)", worst);
	interrupt_checks = 0;
	solve_case(&c, theta);
	ok(interrupt_checks > 4, "interrupts are heeded");
}

/* ---- Priors ---- */

static void
test_prior(int32_t count, int k)
{
	float *w = malloc(count * sizeof(float)), *v = malloc((size_t) count * k * sizeof(float));
	int64_t *start = malloc((count + 1) * sizeof(int64_t));
	double mean[8] = {0}, worst = 0;
	FmPrior prior;
	int32_t rated = 0;

	start[0] = 0;
	for (int32_t e = 0; e < count; e++)
	{
		start[e + 1] = start[e] + (e % 5 != 3);
		w[e] = (float) around_zero();
		for (int f = 0; f < k; f++)
			v[(size_t) e * k + f] = (float) (around_zero() + 0.5 * w[e]);
	}
	fm_prior_of_side(w, v, start, count, k, &host, &prior);
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i <= k; i++)
			for (int j = 0; j <= (pass ? i : 0); j++)
			{
				double covariance = 0, stored = 0;

				rated = 0;
				for (int32_t e = 0; e < count; e++)
				{
					double a = i < k ? v[(size_t) e * k + i] : w[e];
					double b = j < k ? v[(size_t) e * k + j] : w[e];

					if (start[e] == start[e + 1])
						continue;
					rated++;
					if (pass == 0)
						mean[i] += a;
					else
						covariance += (a - mean[i]) * (b - mean[j]);
				}
				if (pass == 0)
				{
					mean[i] /= rated;
					worst = fmax(worst, fabs(mean[i] - prior.mean[i]));
					continue;
				}
				for (int f = 0; f <= j; f++)
					stored += (double) prior.root[i * (i + 1) / 2 + f] *
							  prior.root[j * (j + 1) / 2 + f];
				worst = fmax(worst, fabs(covariance / rated - stored));
			}
	ok(worst < 1e-5, "mean and covariance of %d with %d factors (%.1e)", count, k, worst);
	host.release(host.ctx, prior.mean);
	host.release(host.ctx, prior.root);
	free(w);
	free(v);
	free(start);
}

int
main(void)
{
	test_solutions(FM_TASK_REGRESSION, "regression");
	test_solutions(FM_TASK_CLASSIFICATION, "classification");
	test_weights(FM_TASK_REGRESSION, "regression");
	test_weights(FM_TASK_CLASSIFICATION, "classification");
	test_all_pairs();
	test_few(FM_TASK_REGRESSION);
	test_few(FM_TASK_CLASSIFICATION);
	test_extremes();
	test_prior(1, 1);
	test_prior(3, 7);
	test_prior(2000, 5);
	return done_testing();
}
