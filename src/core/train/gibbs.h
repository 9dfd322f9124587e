/*
 * The blocked Gibbs sampler, apart from what becomes of its samples.
 */
#ifndef FMTOPX_CORE_GIBBS_H
#define FMTOPX_CORE_GIBBS_H

#include "core/train/problem.h"
#include "core/train/spread.h"

/* Rows of both sides (block.h), and of their features' effects (regression.h), standardised. */
typedef struct FmSample
{
	const float *rows[2];
	const float *effects[2]; /* NULL where a side has no features */
	const float *contexts;	 /* rows of levels (context.h), or NULL */
} FmSample;

/* Called for every kept sample. */
typedef void (*FmSampleSink)(void *ctx, const FmSample *sample);

/* The rank that is sampled for a model of num_factors. */
extern int fm_gibbs_rank(const FmProblem *problem, int num_factors);

/* Bytes that a team's sums over a side take, alignment included. */
extern size_t fm_gibbs_sums_size(int rank);

/* The spread, if it is not NULL, gets some of the samples, too. */
extern void fm_gibbs(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx,
					 FmSpread *spread);

#endif
