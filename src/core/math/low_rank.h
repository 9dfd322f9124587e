/*
 * A product P Qᵀ of two tall matrices, kept in few columns: columns are added at the end, and cut
 * back to the best approximation if there is no more room.
 */
#ifndef FMTOPX_CORE_LOW_RANK_H
#define FMTOPX_CORE_LOW_RANK_H

#include <stddef.h>
#include <stdint.h>

#include "core/host.h"

typedef struct FmLowRankShape
{
	int32_t rows[2]; /* of P and of Q */
	int32_t fitted
		/*
		 * the first of these, whose product is approximated; the others are transformed with them
		 */
		[2];
	int kept;	  /* most columns after a cut */
	int capacity; /* most columns */
} FmLowRankShape;

typedef struct FmLowRank
{
	const FmHost *host;
	FmLowRankShape shape;
	int columns; /* in use; the same in every member of a team */

	/* Shared: */
	float *factor[2];	  /* rows × capacity: P and Q */
	double *gram[2];	  /* slices × capacity²: of the rows of a slice */
	double *transform[2]; /* capacity × kept, column-major */
	int *rank;			  /* columns of the transforms */

	double *panel;	   /* two panels of rows × capacity */
	double *square[2]; /* capacity × capacity; the leader's */
} FmLowRank;

/* Return the bytes that a team shares, and about those with what the leader needs in addition. */
extern double fm_low_rank_shared_size(const FmLowRankShape *shape);
extern double fm_low_rank_size(const FmLowRankShape *shape);

/*
 * Create a product of zeros, without columns. Every member of a team creates one, and does the same
 * with it.
 */
extern FmLowRank *fm_low_rank_create(const FmHost *host, const FmLowRankShape *shape);
extern void fm_low_rank_release(FmLowRank *product);

/*
 * Return a row of P (side 0) or Q. Cells from `columns` on must be written before `columns` grows.
 */
static inline float *
fm_low_rank_row(const FmLowRank *product, int side, int32_t row)
{
	return product->factor[side] + (size_t) row * product->shape.capacity;
}

/*
 * Cut P and Q to the best approximation of their product with at most max_rank columns (at most
 * `kept`), balanced: a column has the norm √s in both. There are fewer columns if the product has a
 * lower rank.
 */
extern void fm_low_rank_cut(FmLowRank *product, int max_rank);

/* Compute the singular values after a cut, one for each column. Every member does this. */
extern void fm_low_rank_values(const FmLowRank *product, double *value);

#endif
