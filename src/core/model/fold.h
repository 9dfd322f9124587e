/*
 * Folding in: the θ = (v, w) of one user or item from his own ratings, all of the other side being as it is.
 */
#ifndef FMTOPX_CORE_FOLD_H
#define FMTOPX_CORE_FOLD_H

#include "core/host.h"
#include "core/model/parameters.h"
#include "core/model/prior.h"

/* One rating of the entity, of something with vector v (num_factors numbers). */
typedef struct FmFoldRow
{
	const float *v;
	double offset; /* what the score has without the entity: b and the other's w */
	float value;   /* in a classification 1 or 0, in a ranking 1 */
	float weight;  /* above 0 */
} FmFoldRow;

/*
 * The most probable θ (num_factors + 1 numbers) under the prior, where values are scores with a noise of
 * this variance, above 0; or in a classification, where the variance is 1 and not looked at, a value is 1
 * with probability Φ(score). all_pairs is that of the other side in a ranking, else NULL. Scratch comes from
 * the host and is released. Fails if θ does not fit floats.
 */
extern void fm_fold(const FmPrior *prior, int num_factors, FmTask task, double noise_variance,
					const FmAllPairs *all_pairs, const FmFoldRow *rows, int64_t num_rows,
					const FmHost *host, float *theta);

#endif
