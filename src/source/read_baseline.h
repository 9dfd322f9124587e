/*
 * Baselines from what a ratings relation holds now.
 */
#ifndef FMTOPX_READ_BASELINE_H
#define FMTOPX_READ_BASELINE_H

#include "core/model/baseline.h"
#include "source/read_ratings.h"

/* What to read, and how the model that it is for takes the ratings. */
typedef struct FmBaselineSource
{
	const FmDefinition *definition; /* of the relation; the task is the model's */
	bool has_ratings;				/* whether the values can be read; else only rows count */
	bool read_only;
	int32 num_items; /* of the model: the first ones of the map */
	float no;		 /* of a classification: the two labels */
	float yes;
} FmBaselineSource;

/*
 * Read the relation as the current user into a baseline for the users and the items of a reading
 * that is complete, with values relative to its center. `mean` is that of the training, in the same
 * way; it is what all ratings are predicted as if none can be read.
 */
extern FmBaseline *fm_read_baseline(const FmBaselineSource *source,
									const FmRatingReading *evaluated, double mean,
									const FmHost *host);

#endif
