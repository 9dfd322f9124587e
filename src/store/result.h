/*
 * The result of a training, ready to be stored.
 */
#ifndef FMTOPX_RESULT_H
#define FMTOPX_RESULT_H

#include "core/model/parameters.h"
#include "source/training_data.h"
#include "store/version.h"

/*
 * The parameters are in the solver's canonical order; the tables are in the order of the ids (idx).
 */
typedef struct FmResult
{
	FmVersion version;
	FmVersionArrays arrays;
	const FmParameters *parameters;
	const FmParameters *interest; /* the interest head, or NULL */
	const float *popularity;	  /* of each item, in the order of its parameters; or NULL */
	const FmTrainingData *data;
	const int32 *user_canonical; /* idx → canonical index; NULL: they are the same */
	const int32 *item_canonical;
	const int64 *digest[2];		/* by idx: fm_digest_ratings */
	const FmFeatures *features; /* of both sides, or NULL */
} FmResult;

#endif
