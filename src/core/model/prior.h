/*
 * What training computes for folding in: the prior of a side, its Gram matrix and the noise of a
 * ranking.
 */
#ifndef FMTOPX_CORE_PRIOR_H
#define FMTOPX_CORE_PRIOR_H

#include <stddef.h>
#include <stdint.h>

#include "core/host.h"

/*
 * The prior of an entity: θ = mean + root a, where a is standard normal. v comes first, then w:
 * num_factors + 1 numbers. root is lower triangular, row by row: row i has i + 1 numbers. It may be
 * singular.
 */
typedef struct FmPrior
{
	float *mean;
	float *root; /* fm_prior_root_length numbers */
} FmPrior;

static inline size_t
fm_prior_root_length(int num_factors)
{
	return ((size_t) num_factors + 1) * ((size_t) num_factors + 2) / 2;
}

/*
 * Compute the mean and the root of the covariance of a side's trained θ, given w and v (count ×
 * num_factors), over the entities that have ratings according to start (count + 1 elements).
 * Allocates the arrays of *prior.
 */
extern void fm_prior_of_side(const float *w, const float *v, const int64_t *start, int32_t count,
							 int num_factors, const FmHost *host, FmPrior *prior);

/*
 * The pairs of a ranking: besides the ratings, every pair counts as a 0 of a weight that depends on
 * its item. gram is the Gram matrix of the vectors (v, 1, offset) of the other side: num_factors +
 * 2 rows, the lower triangle row by row. Of the items, it is weighted by their shares; to fold in
 * an item, weight is multiplied by its share.
 */
typedef struct FmAllPairs
{
	double weight;
	float *gram;	  /* fm_all_pairs_length numbers */
	double *whitened; /* of fm_whiten_all_pairs, or NULL */
	double *root;	  /* of fm_root_of_all_pairs, for this weight, or NULL */
} FmAllPairs;

/*
 * Return the share of an item in the weights of all pairs, given the number of its ratings: who has
 * not chosen what many have is a little more likely not to want it.
 */
extern double fm_all_pairs_share(double num_ratings);

/*
 * Compute the shares of all items, 0 of those without ratings; start has num_items + 1 elements.
 * Return their sum.
 */
extern double fm_all_pairs_shares(const int64_t *start, int32_t num_items, float *shares);

static inline size_t
fm_all_pairs_length(int num_factors)
{
	return fm_prior_root_length(num_factors + 1);
}

/*
 * Compute the Gram matrix of a side, with offset = b + w, over the entities that have ratings
 * according to start (as above; NULL: over all), each times its share (NULL: 1).
 */
extern void fm_gram_of_side(double b, const float *w, const float *v, const int64_t *start,
							const float *shares, int32_t count, int num_factors, const FmHost *host,
							float *gram);

/*
 * Return the noise of a ranking, from the Gram matrices of both sides, the weighted sum of (1 -
 * score)² over the ratings, their total weight, and the sum of the shares of all pairs.
 */
extern double fm_ranking_noise(const FmAllPairs *of_items, const float *gram_of_users,
							   int num_factors, double squared, double total_weight,
							   double pair_shares);

#endif
