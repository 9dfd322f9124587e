/*
 * The Cholesky factor of a small matrix. Plain loops are enough for small matrices, and serving
 * does not need to load OpenBLAS.
 *
 * Works in the caller's memory and allocates nothing.
 */
#include "core/math/cholesky.h"

#include <math.h>
#include <stddef.h>

/* Pivots below this share of their initial value are rounding error. */
#define PIVOT_TOLERANCE 1e-12

void
fm_cholesky(double *matrix, int dim, const FmHost *host)
{
	for (int j = 0; j < dim; j++)
	{
		double *row_j = matrix + (size_t) j * dim;
		double pivot = row_j[j];

		host->check_interrupts(host->ctx);
		for (int f = 0; f < j; f++)
			pivot -= row_j[f] * row_j[f];
		row_j[j] = pivot > PIVOT_TOLERANCE * row_j[j] ? sqrt(pivot) : 0;
		for (int i = j + 1; i < dim; i++)
		{
			double *row_i = matrix + (size_t) i * dim;
			double sum = row_i[j];

			for (int f = 0; f < j; f++)
				sum -= row_i[f] * row_j[f];
			row_i[j] = row_j[j] > 0 ? sum / row_j[j] : 0;
		}
	}
}

/* Divide by a pivot. Without one there is no solution, which the caller finds as NaN. */
static double
divide(double value, double pivot)
{
	return pivot > 0 ? value / pivot : NAN;
}

void
fm_cholesky_solve(const double *factor, int dim, double *x)
{
	for (int i = 0; i < dim; i++)
	{
		const double *row = factor + (size_t) i * dim;

		for (int j = 0; j < i; j++)
			x[i] -= row[j] * x[j];
		x[i] = divide(x[i], row[i]);
	}
	for (int i = dim - 1; i >= 0; i--)
	{
		const double *row = factor + (size_t) i * dim;

		x[i] = divide(x[i], row[i]);
		for (int j = 0; j < i; j++)
			x[j] -= row[j] * x[i];
	}
}
