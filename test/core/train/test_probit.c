/*
 * Classification: latent draws against the normal distribution that they are cut from, calibration
 * on planted data, corner cases. Prints TAP.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/math/normal.h"
#include "core/math/rng.h"
#include "core/train/block.h"
#include "support/data.h"
#include "support/tap.h"

/* ---- Latent draws ---- */

/* Draw `count` times for one row of the score a, into t = ±(y* - η); return -ln P. */
static double
draw(const FmBlockKernel *kernel, double eta, bool yes, float weight, int count, double *t)
{
	FmProbit probit = {{3, 9, 1}, 0.25f};
	float panel[FM_PROBIT_ROWS * 16] __attribute__((aligned(64)));
	float theta[16] __attribute__((aligned(64))) = {(float) eta - 0.25f, 0, -1};
	float value[FM_PROBIT_ROWS], weights[FM_PROBIT_ROWS];
	double loss = 0;

	for (int first = 0; first < count; first += FM_PROBIT_ROWS)
	{
		memset(panel, 0, sizeof panel);
		for (int r = 0; r < FM_PROBIT_ROWS; r++)
		{
			panel[r * 16] = 1;
			value[r] = yes;
			weights[r] = weight;
		}
		loss = fm_probit_draw(&probit, kernel->draw_latent, 7, first, theta, value,
							  weight == 1 ? NULL : weights, FM_PROBIT_ROWS, 16, 15, panel);
		for (int r = 0; r < FM_PROBIT_ROWS; r++)
			t[first + r] = (yes ? 1 : -1) * (panel[r * 16 + 15] - (eta - 0.25));
	}
	return loss / FM_PROBIT_ROWS / weight;
}

static int
compare(const void *a, const void *b)
{
	double left = *(const double *) a, right = *(const double *) b;

	return left < right ? -1 : left > right;
}

/*
 * Return the Kolmogorov-Smirnov distance from the normal distribution above -a: about 1/√count by
 * chance. The tail beyond t, as a share of that beyond -a, is computed by logarithms.
 */
static double
distance(double a, double *t, int count)
{
	double worst = 0;

	qsort(t, count, sizeof(double), compare);
	for (int i = 0; i < count; i++)
	{
		double share = exp(fm_normal_log_cdf(-t[i]) - fm_normal_log_cdf(a));

		worst = fmax(worst, fabs(share - 1 + (i + 0.5) / count));
	}
	return worst;
}

static void
moments(const double *t, int count, double *mean, double *variance)
{
	*mean = *variance = 0;
	for (int i = 0; i < count; i++)
		*mean += t[i] / count;
	for (int i = 0; i < count; i++)
		*variance += (t[i] - *mean) * (t[i] - *mean) / count;
}

static void
test_draws(const FmBlockKernel *kernel)
{
	static double t[1 << 16], best[1 << 16];
	static const double scores[] = {-1000, -30, -8, -3, -1, -1e-3, 0, 0.5, 2, 4, 9, 1000};
	double worst = 0, loss = 0, apart = 0;
	const int count = 1 << 16;

	for (size_t i = 0; i < sizeof scores / sizeof *scores; i++)
		for (int yes = 0; yes < 2; yes++)
		{
			double a = yes ? scores[i] : -scores[i], expected = -fm_normal_log_cdf(a);
			double given = draw(kernel, scores[i], yes, 1, count, t);

			(void) draw(fm_block_kernels()[0], scores[i], yes, 1, count, best);
			loss = fmax(loss, fabs(given - expected) / (expected + 0.1));
			for (int r = 0; r < count; r++)
				apart = fmax(apart, fabs(t[r] - best[r]) / fmax(1, fabs(a)));
			/* single precision does not resolve the excess over 1000 */
			if (fabs(a) < 100)
				worst = fmax(worst, distance(a, t, count));
		}
	ok(worst < 1.6 / sqrt(count), "%s: draws are those of the normal cut off (%.1e)", kernel->name,
	   worst);
	ok(loss < 1e-5, "%s: the log loss is right (%.1e)", kernel->name, loss);
	ok(apart < 1e-2, "%s: the same draws as %s (%.1e)", kernel->name, fm_block_kernels()[0]->name,
	   apart);
}

/*
 * The mean of `weight` latent variables has their mean, and their variance divided by the weight.
 */
static void
test_weighted_draws(const FmBlockKernel *kernel)
{
	static double t[1 << 16], w[1 << 16];
	static const double scores[] = {-3, 0, 1};
	static const float weights[] = {4, 0.25f};
	double off = 0;

	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 2; j++)
		{
			double mean, variance, weighted_mean, weighted_variance;

			(void) draw(kernel, scores[i], true, 1, 1 << 16, t);
			(void) draw(kernel, scores[i], true, weights[j], 1 << 16, w);
			moments(t, 1 << 16, &mean, &variance);
			moments(w, 1 << 16, &weighted_mean, &weighted_variance);
			off = fmax(off, fabs(weighted_mean - mean) / sqrt(variance));
			off = fmax(off, fabs(weighted_variance * weights[j] / variance - 1));
		}
	ok(off < 0.02, "%s: a weight is so many latent variables (%.3f off)", kernel->name, off);
}

/* ---- Training ---- */

#define USERS 300
#define ITEMS 200

static double
planted_score(int u, int i)
{
	return 0.4 + 0.8 * sin(u) + 0.7 * cos(i) + sin(u * 0.7) * cos(i * 1.3);
}

typedef bool (*Answer)(int u, int i);

static bool
answer_planted(int u, int i)
{
	return uniform() < fm_normal_cdf(planted_score(u, i));
}

static bool
answer_separable(int u, int i)
{
	return (u + i) % 2 == 0;
}

static bool
answer_yes(int u, int i)
{
	return true;
}

static bool
answer_rarely(int u, int i)
{
	return u == 7 && i == 9;
}

/* Return the answers of a share of all pairs, chosen at random. */
static FmRatings
answers(Answer answer, double share, bool weighted)
{
	FmTriples triples = new_triples(USERS * ITEMS, weighted);

	random_state = 17;
	for (int u = 0; u < USERS; u++)
		for (int i = 0; i < ITEMS; i++)
		{
			bool yes = answer(u, i);

			if (uniform() > share)
				continue;
			add_rating(&triples, u, i, yes, weighted ? pow(10, 12 * uniform() - 6) : 1);
		}
	return new_ratings(&triples, USERS, ITEMS);
}

static FmParameters
train(FmRatings *ratings, int num_factors, int iterations)
{
	FmSolverOptions options = default_options(FM_SOLVER_MCMC, num_factors, iterations, 3);
	FmParameters parameters;

	options.task = FM_TASK_CLASSIFICATION;
	fm_solve(ratings, &options, &host, &parameters);
	free_ratings(ratings);
	return parameters;
}

/* Predicted probabilities are, on average over equal ones, the planted probability. */
static void
test_calibration(void)
{
	FmRatings ratings = answers(answer_planted, 0.5, false);
	FmParameters p = train(&ratings, 8, 200);
	double sum[10] = {0}, planted[10] = {0}, count[10] = {0}, worst = 0, error = 0;

	for (int u = 0; u < USERS; u++)
		for (int i = 0; i < ITEMS; i++)
		{
			double predicted = fm_probability(fm_score(&p, u, i), p.score_variance);
			double truth = fm_normal_cdf(planted_score(u, i));
			int bin = predicted < 1 ? (int) (predicted * 10) : 9;

			sum[bin] += predicted;
			planted[bin] += truth;
			count[bin]++;
			error += fabs(predicted - truth) / (USERS * ITEMS);
		}
	for (int bin = 0; bin < 10; bin++)
		if (count[bin] >= 200)
			worst = fmax(worst, fabs(sum[bin] - planted[bin]) / count[bin]);
	ok(worst < 0.04, "planted probabilities are found: %.3f off in the worst of ten bins", worst);
	ok(error < 0.07, "and %.3f in the mean of all pairs", error);
	ok(p.score_variance > 0.01 && p.score_variance < 1, "s² is %.3f", p.score_variance);
	free_parameters(&p);
}

static void
check_corner(const char *name, Answer answer, double share, bool weighted, int num_factors,
			 int iterations, double user_limit)
{
	FmRatings ratings = answers(answer, share, weighted);
	FmParameters p = train(&ratings, num_factors, iterations);
	double largest = 0;

	for (int u = 0; u < USERS; u++)
		for (int i = 0; i < ITEMS; i++)
			largest = fmax(largest, fabs(fm_score(&p, u, i)));
	ok(largest < user_limit && isfinite(p.score_variance), "%s: scores are up to %.1f, s² is %.2f",
	   name, largest, p.score_variance);
	free_parameters(&p);
}

static void
test_corners(void)
{
	check_corner("separable", answer_separable, 0.5, false, 4, 300, 100);
	check_corner("all yes", answer_yes, 0.3, false, 4, 300, 100);
	check_corner("one yes", answer_rarely, 1, false, 4, 100, 100);
	check_corner("hardly any ratings", answer_planted, 0.0005, false, 4, 100, 100);
	check_corner("weights from 1e-6 to 1e6", answer_planted, 0.1, true, 4, 50, 1e4);
	check_corner("one iteration", answer_planted, 0.1, false, 32, 1, 100);
	check_corner("many factors", answer_planted, 0.05, false, 200, 3, 100);
}

int
main(void)
{
	for (const FmBlockKernel *const *kernel = fm_block_kernels(); *kernel != NULL; kernel++)
	{
		test_draws(*kernel);
		test_weighted_draws(*kernel);
	}
	test_calibration();
	test_corners();
	return done_testing();
}
