/*
 * The largest eigenvalues of a symmetric matrix, as LAPACK's dsyevd computes them, but with checks
 * for interrupts in between: a thousand columns take seconds. One member of a team does this alone.
 *
 * Memory: a dozen columns and two squares, released on return except for the vectors.
 */
#include "core/math/eigen.h"

#include "core/math/lapack.h"

/* Columns reduced, or transformed back, between checks for interrupts. */
#define COLUMNS_AT_ONCE 32

/*
 * A symmetric matrix as Q T Qᵀ with T tridiagonal. Q is in the reflectors, below the matrix's
 * diagonal and here.
 */
typedef struct Tridiagonal
{
	double *diagonal;
	double *off_diagonal;
	double *reflector;
} Tridiagonal;

/* Reduce the lower triangle of a symmetric matrix to tridiagonal form, as dsytrd does. */
static void
tridiagonalise(const FmHost *host, int n, double *a, const Tridiagonal *t)
{
	double *panel = host->alloc(host->ctx, (size_t) n * COLUMNS_AT_ONCE, sizeof(double));
	double minus_one = -1, one = 1;
	int width = COLUMNS_AT_ONCE, at = 0, left, info;

	for (; n - at > 2 * COLUMNS_AT_ONCE; at += COLUMNS_AT_ONCE)
	{
		double *corner = a + (size_t) at * (n + 1);
		double *below = corner + (size_t) width * (n + 1);

		host->check_interrupts(host->ctx);
		left = n - at;
		dlatrd_("L", &left, &width, corner, &n, t->off_diagonal + at, t->reflector + at, panel, &n,
				1);
		left -= width;
		dsyr2k_("L", "N", &left, &width, &minus_one, corner + width, &n, panel + width, &n, &one,
				below, &n, 1, 1);
		for (int j = 0; j < width; j++)
		{
			double *diagonal = corner + (size_t) j * (n + 1);

			diagonal[1] = t->off_diagonal[at + j];
			t->diagonal[at + j] = diagonal[0];
		}
	}
	left = n - at;
	dsytd2_("L", &left, a + (size_t) at * (n + 1), &n, t->diagonal + at, t->off_diagonal + at,
			t->reflector + at, &info, 1);
	host->release(host->ctx, panel);
}

double *
fm_eigen_largest(const FmHost *host, int n, double *a, int wanted, double *eigenvalue)
{
	int lwork = 1 + 4 * n + n * n, liwork = 3 + 5 * n, info;
	double *vectors = host->alloc(host->ctx, (size_t) n * n, sizeof(double));
	double *work = host->alloc(host->ctx, lwork, sizeof(double));
	int *iwork = host->alloc(host->ctx, liwork, sizeof(int));
	Tridiagonal t = {eigenvalue, host->alloc(host->ctx, n, sizeof(double)),
					 host->alloc(host->ctx, n, sizeof(double))};

	tridiagonalise(host, n, a, &t);
	host->check_interrupts(host->ctx);
	dstedc_("I", &n, eigenvalue, t.off_diagonal, vectors, &n, work, &lwork, iwork, &liwork, &info,
			1);
	if (info != 0)
		host->fail(host->ctx, "the eigenvalues of a factor matrix could not be computed");
	for (int at = n - wanted; at < n; at += COLUMNS_AT_ONCE)
	{
		int columns = n - at < COLUMNS_AT_ONCE ? n - at : COLUMNS_AT_ONCE;

		host->check_interrupts(host->ctx);
		dormtr_("L", "L", "N", &n, &columns, a, &n, t.reflector, vectors + (size_t) at * n, &n,
				work, &lwork, &info, 1, 1, 1);
	}
	host->release(host->ctx, work);
	host->release(host->ctx, iwork);
	host->release(host->ctx, t.off_diagonal);
	host->release(host->ctx, t.reflector);
	return vectors;
}
