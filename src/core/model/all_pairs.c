/*
 * All pairs of a ranking as part of a prior.
 *
 * Besides the ratings, all pairs of a ranking count as 0 with a small weight (core/model/fold.c).
 * What they say of an entity is the same for all of a side, so the covariance of θ after them can
 * be computed beforehand. Scratch memory comes from the host and is released.
 */
#include "core/model/all_pairs.h"

#include <string.h>

#include "core/math/cholesky.h"
#include "core/model/fold.h"

static double
inner_product(const double *x, const double *y, int length)
{
	double sum = 0;

	for (int i = 0; i < length; i++)
		sum += x[i] * y[i];
	return sum;
}

/* Replace the rows of a matrix X by those of X C⁻ᵀ, where C is a Cholesky factor. */
static void
divide_rows(double *rows, const double *factor, int dim, const FmHost *host)
{
	for (int r = 0; r < dim; r++)
	{
		double *row = rows + (size_t) r * dim;

		host->check_interrupts(host->ctx);
		for (int i = 0; i < dim; i++)
			row[i] = (row[i] - inner_product(factor + (size_t) i * dim, row, i)) /
					 factor[(size_t) i * dim + i];
	}
}

/*
 * The covariance after all pairs is L A⁻¹ Lᵀ, where A = I + p Lᵀ gram L = C Cᵀ. With T = L C⁻ᵀ it
 * is T Tᵀ, of which this returns the Cholesky factor.
 */
double *
fm_root_of_all_pairs(const FmPrior *prior, int num_factors, double noise_variance,
					 const FmAllPairs *all_pairs, const FmHost *host)
{
	int dim = num_factors + 1;
	size_t length = (size_t) dim * dim;
	double *root = fm_whiten_all_pairs(prior, num_factors, all_pairs, host);
	double *factor = host->alloc(host->ctx, length, sizeof(double));
	double *rows = host->alloc(host->ctx, length, sizeof(double));
	double precision = all_pairs->weight / noise_variance;

	for (int i = 0; i < dim; i++)
		for (int j = 0; j <= i; j++)
		{
			size_t element = (size_t) i * (i + 1) / 2 + j;

			factor[(size_t) i * dim + j] = precision * root[element] + (i == j ? 1 : 0);
			rows[(size_t) i * dim + j] = prior->root[element];
		}
	fm_cholesky(factor, dim, host);
	divide_rows(rows, factor, dim, host);
	for (int i = 0; i < dim; i++)
	{
		host->check_interrupts(host->ctx);
		for (int j = 0; j <= i; j++)
			factor[(size_t) i * dim + j] = inner_product(rows + (size_t) i * dim,
														 rows + (size_t) j * dim, dim);
	}
	fm_cholesky(factor, dim, host);
	for (int i = 0; i < dim; i++)
		memcpy(root + (size_t) i * (i + 1) / 2, factor + (size_t) i * dim,
			   (i + 1) * sizeof(double));
	host->release(host->ctx, factor);
	host->release(host->ctx, rows);
	return root;
}
