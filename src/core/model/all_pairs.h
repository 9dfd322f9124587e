/*
 * All pairs of a ranking as part of a prior.
 */
#ifndef FMTOPX_CORE_ALL_PAIRS_H
#define FMTOPX_CORE_ALL_PAIRS_H

#include "core/host.h"
#include "core/model/prior.h"

/*
 * Return the root of the covariance that a prior has after all pairs, by rows of the lower
 * triangle. In all_pairs->root it makes folding in with this prior (with whatever mean),
 * noise_variance and weight as fast as without all pairs. The result comes from the host.
 */
extern double *fm_root_of_all_pairs(const FmPrior *prior, int num_factors, double noise_variance,
									const FmAllPairs *all_pairs, const FmHost *host);

#endif
