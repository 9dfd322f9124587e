/*
 * The metrics of a training.
 */
#ifndef FMTOPX_SCORE_H
#define FMTOPX_SCORE_H

#include "registry/registry_runs.h"
#include "source/read_ratings.h"
#include "store/result.h"

/* What a training has made, and the ratings to score it on. */
typedef struct FmScored
{
	const FmRatings *ratings; /* those trained on */
	const FmTriples *held_out;
	const FmParameters *parameters;
	FmBaseline *baseline; /* of the ratings trained on; set by fm_score_run if any are held out */
} FmScored;

/*
 * Score the predictions of all ratings into the run, in memory of the host. Returns the mean of
 * those trained on, as a rating.
 */
extern double fm_score_run(const FmDefinition *definition, const FmRatingReading *reading,
						   FmScored *scored, const FmHost *host, FmRun *run);

/*
 * Look up the held-out ratings in the lists of the result, whose version is complete. Releases the
 * baseline. The ratings trained on may have become pairs.
 */
extern void fm_score_lists(const FmScored *scored, const FmResult *result, const FmHost *host,
						   FmRun *run);

#endif
