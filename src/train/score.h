/*
 * The metrics of a training.
 */
#ifndef FMTOPX_SCORE_H
#define FMTOPX_SCORE_H

#include "registry/registry_runs.h"
#include "source/read_ratings.h"

/* What a training has made, and the ratings to score it on. */
typedef struct FmScored
{
	const FmRatings *ratings; /* those trained on */
	const FmTriples *held_out;
	const FmParameters *parameters;
} FmScored;

/*
 * Score all ratings into the run, in memory of the host. Returns the mean of those trained on, as a
 * rating.
 */
extern double fm_score_run(const FmDefinition *definition, const FmRatingReading *reading,
						   const FmScored *scored, const FmHost *host, FmRun *run);

#endif
