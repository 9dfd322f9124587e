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

/*
 * The factor is made row by row. The upper triangle holds the transpose of the rows so far, so that
 * what is subtracted from a row is adjacent, and no operation waits for the one before.
 */
void
fm_cholesky(double *matrix, int dim, const FmHost *host)
{
	for (int i = 0; i < dim; i++)
	{
		double *row = matrix + (size_t) i * dim;
		double pivot = row[i], least = PIVOT_TOLERANCE * row[i];

		host->check_interrupts(host->ctx);
		for (int f = 0; f < i; f++)
		{
			const double *column = matrix + (size_t) f * dim;
			double value = column[f] > 0 ? row[f] / column[f] : 0;

			row[f] = value;
			for (int j = f + 1; j < i; j++)
				row[j] -= value * column[j];
			pivot -= value * value;
		}
		row[i] = pivot > least ? sqrt(pivot) : 0;
		for (int f = 0; f < i; f++)
			matrix[(size_t) f * dim + i] = row[f];
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
