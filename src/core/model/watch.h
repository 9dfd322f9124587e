/*
 * Held-out ratings that a solver predicts after each iteration, for the curve of a training.
 */
#ifndef FMTOPX_CORE_WATCH_H
#define FMTOPX_CORE_WATCH_H

#include <stdbool.h>

#include "core/model/parameters.h"

typedef struct FmWatch FmWatch;

/* The parameters of an iteration, as solvers have them: rows (train/block.h) and units. */
typedef struct FmWatchRows
{
	const float *side[2];
	const float *levels; /* of contexts, or NULL */
	int rank;
	int stride;
	double mean;
	double deviation;
} FmWatchRows;

/*
 * Watch some of the held-out ratings, evenly spaced: a number that takes little time to predict
 * beside an iteration over the ratings. NULL if none can be predicted.
 */
extern FmWatch *fm_watch_create(FmTask task, const FmRatings *ratings, const FmTriples *held_out,
								uint64_t seed, const FmHost *host);
extern void fm_watch_release(FmWatch *watch, const FmHost *host);

/*
 * Predict them, and return the RMSE; of a classification the log loss. With `averages`, predictions
 * are the means of all calls with it so far: those of samples. Of a ranking, return the share of
 * held-out pairs with a higher score than another item, drawn once for each pair among those that
 * the user does not have.
 */
extern double fm_watch_score(FmWatch *watch, const FmWatchRows *rows, bool averages);

#endif
