/*
 * Products of few columns are cut as promised, and eigenvectors satisfy their definition. Prints
 * TAP.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/math/eigen.h"
#include "core/math/low_rank.h"
#include "support/data.h"
#include "support/tap.h"

/* ---- Eigenvectors ---- */

/*
 * Test eigenvectors of a random symmetric matrix: A v = λ v, lengths are 1, and the sum of all λ is
 * the trace.
 */
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

/* Return random P and Q, of whose columns only `rank` are not copies of others. */
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

/* Return Σ (A - B)² over all entries of two products. */
static double
squared_distance(const FmLowRank *a, const FmLowRank *b)
{
	double sum = 0;

	for (int32_t p = 0; p < P_ROWS; p++)
		for (int32_t q = 0; q < Q_ROWS; q++)
			sum += pow(product_entry(a, p, q) - product_entry(b, p, q), 2);
	return sum;
}

/*
 * Return Σ s² over the columns from `first` on if all columns are balanced and those of a side
 * orthogonal; NaN otherwise.
 */
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

/*
 * A cut to r columns loses exactly the singular values beyond the r largest, which is the least
 * possible.
 */
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

int
main(void)
{
	test_eigen(1, 1);
	test_eigen(40, 7);
	test_eigen(150, 150);
	test_cut();
	return done_testing();
}
