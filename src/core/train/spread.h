/*
 * How far the samples of a posterior are spread around their mean: what a probability needs beside the
 * mean score.
 */
#ifndef FMTOPX_CORE_SPREAD_H
#define FMTOPX_CORE_SPREAD_H

#include "core/train/problem.h"

typedef struct FmSpread FmSpread;

/* Bytes, about, of a spread. */
extern double fm_spread_size(int sample_rank, int num_factors);

/* For samples of sample_rank, to be compared with a model of num_factors. */
extern FmSpread *fm_spread_create(const FmProblem *problem, int sample_rank, int num_factors);

/* Take in one sample: a draw of both sides (block.h). */
extern void fm_spread_add(FmSpread *spread, const float *user_rows, const float *item_rows);

/*
 * s²: the variance of the samples' scores around the model's, on average over all pairs of a user and an
 * item, each as often as it has ratings. 0 without samples. Releases the spread.
 */
extern double fm_spread_finish(FmSpread *spread, const FmParameters *model);

#endif
