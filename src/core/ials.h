/*
 * Implicit alternating least squares: ranking from what has been observed at all.
 */
#ifndef FMTOPX_CORE_IALS_H
#define FMTOPX_CORE_IALS_H

#include "core/gibbs.h"

/* Train, and call the sink once with the result. The values of the ratings are 1. */
extern void fm_ials(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx);

/* The weight of a pair without a rating: as given, or if that is negative, by the number of pairs. */
extern double fm_ials_unobserved_weight(double given, double total_weight, double num_pairs);

/* Bytes of shared memory for the sums over a side. */
extern size_t fm_ials_sums_size(int stride);

#endif
