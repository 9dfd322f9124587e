/*
 * A product P Qᵀ of two tall matrices, kept in few columns.
 *
 * Its best approximation of rank r is the truncated singular value decomposition (Eckart and Young
 * 1936). It needs nothing larger than the two Gram matrices: with PᵀP = L Lᵀ (Cholesky) and Lᵀ QᵀQ
 * L = F S² Fᵀ,
 *
 *   P Qᵀ = (P L⁻ᵀ F) S (Q L F S⁻¹)ᵀ,   both brackets with orthonormal columns.
 *
 * P and Q are float, all else is double. A team (team.h) sums the Gram matrices by slices that do
 * not depend on the team, and transforms rows. The leader alone factors the small matrices, while
 * the others wait.
 *
 * Memory: P, Q, the slices and the two transforms are shared; panels and small matrices are the
 * member's own.
 */
#include "core/math/low_rank.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/layout.h"
#include "core/math/eigen.h"
#include "core/math/lapack.h"
#include "core/team.h"

#define PANEL_ROWS 256

/* A Gram matrix is summed in at most this many slices. */
#define SLICES 16

/* Directions with less than this share of the largest eigenvalue are rounding error. */
#define EIGENVALUE_TOLERANCE 1e-14

/* For team loops over P or Q. */
typedef struct FactorLoop
{
	FmLowRank *product;
	int side;
} FactorLoop;

/*
 * Return the number of slices of a Gram matrix: few enough that adding them costs little compared
 * to filling them.
 */
static int
count_slices(const FmLowRankShape *shape, int side)
{
	int32_t slices = 1 + shape->fitted[side] / (8 * shape->capacity);

	return slices < SLICES ? slices : SLICES;
}

double
fm_low_rank_shared_size(const FmLowRankShape *shape)
{
	const int arrays = 7;
	double capacity = shape->capacity, bytes = arrays * FM_ALIGNMENT;

	for (int side = 0; side < 2; side++)
		bytes += shape->rows[side] * capacity * sizeof(float) +
				 (count_slices(shape, side) * capacity + shape->kept) * capacity * sizeof(double);
	return bytes;
}

double
fm_low_rank_size(const FmLowRankShape *shape)
{
	double capacity = shape->capacity;

	/* the leader's squares, and LAPACK's workspace: two more */
	return fm_low_rank_shared_size(shape) +
		   (4 * capacity + 2 * PANEL_ROWS) * capacity * sizeof(double);
}

FmLowRank *
fm_low_rank_create(const FmHost *host, const FmLowRankShape *shape)
{
	FmLowRank *product = host->alloc(host->ctx, 1, sizeof(FmLowRank));
	size_t capacity = shape->capacity, square = capacity * capacity;

	product->host = host;
	product->shape = *shape;
	for (int side = 0; side < 2; side++)
	{
		product->factor[side] = fm_team_alloc(host, shape->rows[side] * capacity, sizeof(float));
		product->gram[side] = fm_team_alloc(host, count_slices(shape, side) * square,
											sizeof(double));
		product->transform[side] = fm_team_alloc(host, capacity * shape->kept, sizeof(double));
	}
	product->rank = fm_team_alloc(host, 1, sizeof(int));
	product->panel = host->alloc(host->ctx, 2 * PANEL_ROWS * capacity, sizeof(double));
	if (fm_team_leads(host))
		for (int i = 0; i < 2; i++)
			product->square[i] = host->alloc(host->ctx, square, sizeof(double));
	return product;
}

void
fm_low_rank_release(FmLowRank *product)
{
	const FmHost *host = product->host;

	for (int side = 0; side < 2; side++)
	{
		fm_team_release(host, product->factor[side]);
		fm_team_release(host, product->gram[side]);
		fm_team_release(host, product->transform[side]);
		if (fm_team_leads(host))
			host->release(host->ctx, product->square[side]);
	}
	fm_team_release(host, product->rank);
	host->release(host->ctx, product->panel);
	host->release(host->ctx, product);
}

/* Widen some rows of P or Q into the panel; return how many. */
static int
load_panel(FmLowRank *product, int side, int32_t first, int32_t end)
{
	int rows = end - first < PANEL_ROWS ? end - first : PANEL_ROWS;

	product->host->check_interrupts(product->host->ctx);
	for (int r = 0; r < rows; r++)
	{
		const float *from = fm_low_rank_row(product, side, first + r);
		double *to = product->panel + (size_t) r * product->columns;

		for (int c = 0; c < product->columns; c++)
			to[c] = from[c];
	}
	return rows;
}

/* FmTeamSliceBody: compute the Gram matrix of a slice of P or Q, lower triangle. */
static void
gram_slice(void *state, int32_t slice, int32_t begin, int32_t end)
{
	const FactorLoop *loop = state;
	FmLowRank *product = loop->product;
	int n = product->columns;
	double *gram = product->gram[loop->side] + (size_t) slice * n * n;
	double one = 1, zero = 0;

	if (begin == end)
		memset(gram, 0, (size_t) n * n * sizeof(double));
	for (int32_t first = begin; first < end; first += PANEL_ROWS)
	{
		int rows = load_panel(product, loop->side, first, end);

		dsyrk_("L", "N", &n, &rows, &one, product->panel, &n, first == begin ? &zero : &one, gram,
			   &n, 1, 1);
	}
}

/* FmTeamBody: multiply rows of P or Q with the transform, in place. */
static void
transform_range(void *state, int32_t begin, int32_t end)
{
	const FactorLoop *loop = state;
	FmLowRank *product = loop->product;
	double *transformed = product->panel + (size_t) PANEL_ROWS * product->shape.capacity;
	int n = product->columns, rank = *product->rank;
	double one = 1, zero = 0;

	for (int32_t first = begin; first < end; first += PANEL_ROWS)
	{
		int rows = load_panel(product, loop->side, first, end);

		/* A row-major panel is its own transpose in column-major order. */
		dgemm_("T", "N", &rank, &rows, &n, &one, product->transform[loop->side], &n, product->panel,
			   &n, &zero, transformed, &rank, 1, 1);
		for (int r = 0; r < rows; r++)
		{
			float *to = fm_low_rank_row(product, loop->side, first + r);

			for (int c = 0; c < rank; c++)
				to[c] = (float) transformed[(size_t) r * rank + c];
		}
	}
}

/* Add up the slices of a side's Gram matrix. */
static void
add_slices(const FmLowRank *product, int side, double *gram)
{
	size_t square = (size_t) product->columns * product->columns;
	int slices = count_slices(&product->shape, side);

	memcpy(gram, product->gram[side], square * sizeof(double));
	for (int slice = 1; slice < slices; slice++)
		for (size_t i = 0; i < square; i++)
			gram[i] += product->gram[side][slice * square + i];
}

/*
 * Factor PᵀP in place (Cholesky). P may have fewer dimensions than columns; for the others the
 * diagonal is raised by the size of the rounding error. Return false if P is zero.
 */
static bool
factor_gram(const FmHost *host, int n, double *gram, double *scratch)
{
	int info = 1;
	double largest = 0;

	for (int c = 0; c < n; c++)
		largest = fmax(largest, gram[(size_t) c * (n + 1)]);
	if (!(largest > 0))
		return false;
	for (double ridge = n * DBL_EPSILON * largest; info != 0; ridge *= 16)
	{
		if (!(ridge < largest))
			host->fail(host->ctx, "a factor matrix could not be factored");
		memcpy(scratch, gram, (size_t) n * n * sizeof(double));
		for (int c = 0; c < n; c++)
			scratch[(size_t) c * (n + 1)] += ridge;
		dpotrf_("L", &n, scratch, &n, &info, 1);
	}
	memcpy(gram, scratch, (size_t) n * n * sizeof(double));
	return true;
}

/* Write the two transforms: L⁻ᵀ F √S and L F / √S, strongest first. */
static void
write_transforms(FmLowRank *product, const double *cholesky, const double *eigenvalue,
				 const double *vectors, int rank)
{
	int n = product->columns;
	double *p = product->transform[0], *q = product->transform[1];
	double one = 1;

	for (int c = 0; c < rank; c++)
	{
		const double *f = vectors + (size_t) (n - 1 - c) * n;
		double root = sqrt(sqrt(eigenvalue[n - 1 - c]));

		for (int r = 0; r < n; r++)
		{
			p[(size_t) c * n + r] = f[r] * root;
			q[(size_t) c * n + r] = f[r] / root;
		}
	}
	dtrsm_("L", "L", "T", "N", &n, &rank, &one, cholesky, &n, p, &n, 1, 1, 1, 1);
	dtrmm_("L", "L", "N", "N", &n, &rank, &one, cholesky, &n, q, &n, 1, 1, 1, 1);
	*product->rank = rank;
}

/* Compute the transforms to at most max_rank columns, from the slices of the Gram matrices. */
static void
find_transforms(FmLowRank *product, int max_rank)
{
	const FmHost *host = product->host;
	int n = product->columns, rank = 0, type = 2, info;
	int wanted = max_rank < n ? max_rank : n;
	double *cholesky = product->square[0], *core = product->square[1];
	double *eigenvalue, *vectors, floor;

	*product->rank = 0;
	add_slices(product, 0, cholesky);
	if (n == 0 || !factor_gram(host, n, cholesky, core))
		return;
	add_slices(product, 1, core);
	host->check_interrupts(host->ctx);
	dsygst_(&type, "L", &n, core, &n, cholesky, &n, &info, 1); /* Lᵀ QᵀQ L */
	eigenvalue = host->alloc(host->ctx, n, sizeof(double));
	vectors = fm_eigen_largest(host, n, core, wanted, eigenvalue);
	floor = fmax(EIGENVALUE_TOLERANCE * eigenvalue[n - 1], 0);
	while (rank < wanted && eigenvalue[n - 1 - rank] > floor)
		rank++;
	write_transforms(product, cholesky, eigenvalue, vectors, rank);
	host->release(host->ctx, eigenvalue);
	host->release(host->ctx, vectors);
}

void
fm_low_rank_cut(FmLowRank *product, int max_rank)
{
	const FmHost *host = product->host;
	const FmLowRankShape *shape = &product->shape;

	for (int side = 0; side < 2; side++)
		fm_team_slices(host, shape->fitted[side], count_slices(shape, side), gram_slice,
					   &(FactorLoop){product, side});
	if (fm_team_leads(host))
		find_transforms(product, max_rank);
	fm_team_barrier(host);
	for (int side = 0; side < 2; side++)
		fm_team_for(host, shape->rows[side], PANEL_ROWS, transform_range,
					&(FactorLoop){product, side});
	product->columns = *product->rank;
}

void
fm_low_rank_values(const FmLowRank *product, double *value)
{
	memset(value, 0, product->columns * sizeof(double));
	for (int32_t row = 0; row < product->shape.fitted[1]; row++)
	{
		const float *at = fm_low_rank_row(product, 1, row);

		for (int c = 0; c < product->columns; c++)
			value[c] += (double) at[c] * at[c];
	}
}
