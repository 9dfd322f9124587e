/*
 * What training computes for folding in: prior, Gram matrix and noise.
 *
 * Sums are in double. Results are the caller's, allocated through the host; scratch memory is
 * released. Only trainings call this, so BLAS may be used.
 */
#include "core/model/prior.h"

#include <math.h>
#include <stdbool.h>

#include "core/math/cholesky.h"
#include "core/math/lapack.h"

#define PANEL_ROWS 256

/* The noise of a ranking, as a share of the mean square of the residuals; measured in fold.c. */
#define RANKING_NOISE 0.3

/* Of the number of an item's ratings, in its share of all pairs; measured in ials.c. */
#define SHARE_POWER 0.1

/* Return whether an entity has ratings. */
static bool
is_rated(const int64_t *start, int32_t e)
{
	return start[e] < start[e + 1];
}

/* Sum up the mean θ of the rated entities; return their number. */
static int32_t
mean_of_side(const float *w, const float *v, const int64_t *start, int32_t count, int num_factors,
			 const FmHost *host, double *mean)
{
	int32_t num_rated = 0;

	for (int32_t e = 0; e < count; e++)
	{
		if (e % 1024 == 0)
			host->check_interrupts(host->ctx);
		if (!is_rated(start, e))
			continue;
		for (int f = 0; f < num_factors; f++)
			mean[f] += v[(size_t) e * num_factors + f];
		mean[num_factors] += w[e];
		num_rated++;
	}
	for (int f = 0; f <= num_factors; f++)
		mean[f] /= num_rated;
	return num_rated;
}

/* Sum (θ - mean)(θ - mean)ᵀ over the rated entities, as LAPACK's lower triangle. */
static void
scatter_of_side(const float *w, const float *v, const int64_t *start, int32_t count,
				int num_factors, const FmHost *host, const double *mean, double *scatter)
{
	int dim = num_factors + 1, rows = 0;
	double one = 1;
	double *panel = host->alloc(host->ctx, (size_t) PANEL_ROWS * dim, sizeof(double));

	for (int32_t e = 0; e < count; e++)
	{
		double *row = panel + (size_t) rows * dim;

		if (is_rated(start, e))
		{
			for (int f = 0; f < num_factors; f++)
				row[f] = v[(size_t) e * num_factors + f] - mean[f];
			row[num_factors] = w[e] - mean[num_factors];
			rows++;
		}
		if (rows < PANEL_ROWS && e + 1 < count)
			continue;
		host->check_interrupts(host->ctx);
		dsyrk_("U", "N", &dim, &rows, &one, panel, &dim, &one, scatter, &dim, 1, 1);
		rows = 0;
	}
	host->release(host->ctx, panel);
}

void
fm_prior_of_side(const float *w, const float *v, const int64_t *start, int32_t count,
				 int num_factors, const FmHost *host, FmPrior *prior)
{
	int dim = num_factors + 1;
	double *mean = host->alloc(host->ctx, dim, sizeof(double));
	double *matrix = host->alloc(host->ctx, (size_t) dim * dim, sizeof(double));
	int32_t num_rated = mean_of_side(w, v, start, count, num_factors, host, mean);
	float *root;

	scatter_of_side(w, v, start, count, num_factors, host, mean, matrix);
	for (size_t i = 0; i < (size_t) dim * dim; i++)
		matrix[i] /= num_rated;
	fm_cholesky(matrix, dim, host); /* its upper triangle by columns is the lower one by rows */

	prior->mean = host->alloc(host->ctx, dim, sizeof(float));
	prior->root = root = host->alloc(host->ctx, fm_prior_root_length(num_factors), sizeof(float));
	for (int i = 0; i < dim; i++)
	{
		prior->mean[i] = (float) mean[i];
		for (int j = 0; j <= i; j++)
			*root++ = (float) matrix[(size_t) i * dim + j];
	}
	host->release(host->ctx, mean);
	host->release(host->ctx, matrix);
}

double
fm_all_pairs_share(double num_ratings)
{
	return pow(num_ratings + 1, SHARE_POWER);
}

double
fm_all_pairs_shares(const int64_t *start, int32_t num_items, float *shares)
{
	double sum = 0;

	for (int32_t item = 0; item < num_items; item++)
	{
		double count = (double) (start[item + 1] - start[item]);

		shares[item] = is_rated(start, item) ? (float) fm_all_pairs_share(count) : 0;
		sum += shares[item];
	}
	return sum;
}

void
fm_gram_of_side(double b, const float *w, const float *v, const int64_t *start, const float *shares,
				int32_t count, int num_factors, const FmHost *host, float *gram)
{
	int dim = num_factors + 2;
	double *sums = host->alloc(host->ctx, fm_all_pairs_length(num_factors), sizeof(double));
	double *z = host->alloc(host->ctx, dim, sizeof(double));

	for (int32_t e = 0; e < count; e++)
	{
		double *sum = sums, share = shares == NULL ? 1 : shares[e];

		if (e % 64 == 0)
			host->check_interrupts(host->ctx);
		if (share == 0 || (start != NULL && !is_rated(start, e)))
			continue;
		for (int f = 0; f < num_factors; f++)
			z[f] = v[(size_t) e * num_factors + f];
		z[num_factors] = 1;
		z[num_factors + 1] = b + w[e];
		for (int i = 0; i < dim; i++)
			for (int j = 0; j <= i; j++)
				*sum++ += share * z[i] * z[j];
	}
	for (size_t i = 0; i < fm_all_pairs_length(num_factors); i++)
		gram[i] = (float) sums[i];
	host->release(host->ctx, sums);
	host->release(host->ctx, z);
}

double
fm_ranking_noise(const FmAllPairs *of_items, const float *gram_of_users, int num_factors,
				 double squared, double total_weight, double pair_shares)
{
	double all = 0;

	/* score = <(v_u, 1, w_u), (v_i, b + w_i, 1)>: for one side the last two change places */
	for (int i = 0; i < num_factors + 2; i++)
		for (int j = 0; j < num_factors + 2; j++)
		{
			const int swap[] = {num_factors + 1, num_factors};
			int a = i < num_factors ? i : swap[i - num_factors];
			int c = j < num_factors ? j : swap[j - num_factors];
			int u = i > j ? i : j, l = i > j ? j : i;
			int m = a > c ? a : c, n = a > c ? c : a;

			all += (double) gram_of_users[(size_t) u * (u + 1) / 2 + l] *
				   of_items->gram[(size_t) m * (m + 1) / 2 + n];
		}
	return RANKING_NOISE * (squared + of_items->weight * all) /
		   (total_weight + of_items->weight * pair_shares);
}
