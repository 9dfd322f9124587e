/*
 * The blocked Gibbs sampler, apart from what becomes of its samples.
 */
#ifndef FMTOPX_CORE_GIBBS_H
#define FMTOPX_CORE_GIBBS_H

#include "core/problem.h"
#include "core/spread.h"

/* Called for every kept sample with the rows of both sides (block.h), standardised. */
typedef void (*FmSampleSink)(void *ctx, const float *user_rows, const float *item_rows);

/* The rank that is sampled for a model of num_factors. */
extern int fm_gibbs_rank(const FmProblem *problem, int num_factors);

/* Bytes that a team's sums over a side take, alignment included. */
extern size_t fm_gibbs_sums_size(int rank);

/* The spread, if it is not NULL, gets some of the samples, too. */
extern void fm_gibbs(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx,
					 FmSpread *spread);

#endif
