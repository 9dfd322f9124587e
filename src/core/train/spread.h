/*
 * How far the samples of a posterior are spread around their mean: what a probability needs besides
 * the mean score.
 */
#ifndef FMTOPX_CORE_SPREAD_H
#define FMTOPX_CORE_SPREAD_H

#include "core/train/problem.h"

typedef struct FmSpread FmSpread;

/* Return about how many bytes a spread takes. */
extern double fm_spread_size(int sample_rank, int num_factors);

/* Create a spread for samples of sample_rank, to be compared with a model of num_factors. */
extern FmSpread *fm_spread_create(const FmProblem *problem, int sample_rank, int num_factors);

/* Add one sample: a draw of both sides (block.h). */
extern void fm_spread_add(FmSpread *spread, const float *user_rows, const float *item_rows);

/*
 * Return s²: the variance of the samples' scores around the model's, on average over all pairs of a
 * user and an item, each as often as it has ratings; 0 without samples. Release the spread.
 */
extern double fm_spread_finish(FmSpread *spread, const FmParameters *model);

#endif
