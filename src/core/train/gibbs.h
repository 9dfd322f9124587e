/*
 * The blocked Gibbs sampler, and the samples that it gives to a sink.
 */
#ifndef FMTOPX_CORE_GIBBS_H
#define FMTOPX_CORE_GIBBS_H

#include "core/train/problem.h"
#include "core/train/spread.h"

/*
 * A sample: rows of both sides (block.h) and of the effects of their features (regression.h),
 * standardised.
 */
typedef struct FmSample
{
	const float *rows[2];
	const float *effects[2]; /* NULL if the side has no features */
	const float *contexts;	 /* rows of levels (context.h), or NULL */

	/*
	 * What a rating adds to its own score, as part of the item's history: the product of its user's
	 * θ and effect, times its item's scale. A row of effects for each user, and a number for each
	 * item; or NULL.
	 */
	const float *own_effects;
	const float *own_scale;
} FmSample;

/* Called for every kept sample. */
typedef void (*FmSampleSink)(void *ctx, const FmSample *sample);

/*
 * Return the bytes that a team shares besides two tables of rows, errors and shares, alignment
 * included.
 */
extern size_t fm_gibbs_shared_size(const FmProblem *problem, int rank);

/*
 * Sample, and give every kept sample to the sink. The spread, if not NULL, gets some of them, too.
 * Return the correlation of repeats in the end.
 */
extern double fm_gibbs(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx,
					   FmSpread *spread);

#endif
