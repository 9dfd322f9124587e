/*
 * Implicit alternating least squares: ranking from what has been observed at all.
 */
#ifndef FMTOPX_CORE_IALS_H
#define FMTOPX_CORE_IALS_H

#include "core/train/gibbs.h"

/* The l2_reg_w from which on there are no biases. */
#define FM_IALS_NO_BIASES 100.0f

/* Train, and call the sink once with the result. The values of the ratings are 1. */
extern void fm_ials(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx);

/* The weight of a pair without a rating: as given, or if that is negative, by the number of pairs. */
extern double fm_ials_unobserved_weight(double given, double total_weight, double num_pairs);

/* Bytes that a team shares besides rows and errors: sums over a side and what comes of them. */
extern size_t fm_ials_shared_size(int rank, int stride);

#endif
