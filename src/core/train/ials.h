/*
 * Implicit alternating least squares: ranking from implicit feedback.
 */
#ifndef FMTOPX_CORE_IALS_H
#define FMTOPX_CORE_IALS_H

#include "core/train/gibbs.h"

/* With an l2_reg_w of at least this there are no biases. */
#define FM_IALS_NO_BIASES 100.0f

/* Train, and give the sink one sample: the result. The values of the ratings are 1. */
extern void fm_ials(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx);

/*
 * Return the weight of a pair without a rating: the one given, or if that is negative, the default
 * for this number of pairs.
 */
extern double fm_ials_unobserved_weight(double given, double total_weight, double num_pairs);

/*
 * Return the bytes that a team shares besides rows and errors: sums over a side, and what is
 * computed from them.
 */
extern size_t fm_ials_shared_size(int rank, int stride);

#endif
