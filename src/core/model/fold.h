/*
 * Folding in: the θ = (v, w) of one user or item from its own ratings, given all of the other side.
 */
#ifndef FMTOPX_CORE_FOLD_H
#define FMTOPX_CORE_FOLD_H

#include "core/host.h"
#include "core/model/parameters.h"
#include "core/model/prior.h"

/* One rating of the entity; v (num_factors numbers) is the vector of what was rated. */
typedef struct FmFoldRow
{
	const float *v;
	double offset;			/* the score without the entity: b and the other's w */
	float value;			/* 1 or 0 in a classification, 1 in a ranking */
	float weight;			/* above 0 */
	const double *whitened; /* of fm_whiten_row, or NULL */
} FmFoldRow;

/*
 * Compute the most probable θ (num_factors + 1 numbers) under the prior.
 *
 * Values are scores with a noise of noise_variance, above 0. In a classification noise_variance is
 * not read: a value is 1 with probability Φ(score), else 0. In a ranking all_pairs is that of the
 * other side, else NULL. Scratch memory comes from the host and is released. Fails if θ does not
 * fit floats.
 */
extern void fm_fold(const FmPrior *prior, int num_factors, FmTask task, double noise_variance,
					const FmAllPairs *all_pairs, const FmFoldRow *rows, int64_t num_rows,
					const FmHost *host, float *theta);

/*
 * Compute what fm_fold makes of a v first, num_factors + 1 numbers: Lᵀ (v, 1). It is the same for
 * all entities with this prior, and the same all_pairs->root, or NULL. If many of them have rated
 * the same, it is worth putting it into their rows.
 */
extern void fm_whiten_row(const FmPrior *prior, int num_factors, const double *root, const float *v,
						  double *whitened);

/*
 * Return what fm_fold makes of all pairs first: Lᵀ gram L, by rows of the lower triangle. If many
 * entities of a side are folded in, it is worth putting it into all_pairs->whitened. The result
 * comes from the host.
 */
extern double *fm_whiten_all_pairs(const FmPrior *prior, int num_factors,
								   const FmAllPairs *all_pairs, const FmHost *host);

#endif
