/*
 * The result of a training, as it is stored.
 */
#ifndef FMTOPX_RESULT_H
#define FMTOPX_RESULT_H

#include "core/model/prior.h"
#include "core/model/parameters.h"
#include "source/training_data.h"

/* A solver's result with the maps from its canonical indices back to the ids. */
typedef struct FmResult
{
	const FmParameters *parameters;
	const FmTrainingData *data;
	const int32 *user_canonical; /* idx → canonical index; NULL: they are the same */
	const int32 *item_canonical;
	const int64 *digest[2];		/* by idx: of the ratings, see fm_digest_ratings */
	const FmFeatures *features; /* of both sides, or NULL */
	double rating_mean;
	double noise_variance; /* of a rating around its score; so for the next two, for folding in */
	FmPrior user_prior;
	FmPrior item_prior;
	FmAllPairs item_pairs; /* of a ranking; gram NULL: it is none */
} FmResult;

#endif
