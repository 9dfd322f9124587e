/*
 * What training computes for folding in: the prior of a side, its Gram matrix and the noise of a ranking.
 */
#ifndef FMTOPX_CORE_PRIOR_H
#define FMTOPX_CORE_PRIOR_H

#include <stddef.h>
#include <stdint.h>

#include "core/host.h"

/*
 * What is known of an entity before its ratings: θ = mean + root a, where a is standard normal. v comes
 * first, then w: num_factors + 1 numbers. root is lower triangular, its rows one after the other, row i of
 * i + 1 numbers; it may be singular.
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
 * The mean and the root of the covariance of a side's θ as they were trained: w and v (count × num_factors) of
 * the entities that have ratings, as start (count + 1) tells. Allocates *prior.
 */
extern void fm_prior_of_side(const float *w, const float *v, const int64_t *start, int32_t count,
							 int num_factors, const FmHost *host, FmPrior *prior);

/*
 * In a ranking every pair counts as a 0 of this weight, besides the ratings. Of the vectors (v, 1, offset) of the
 * other side, dim = num_factors + 2, gram has the sum of the products of all elements: the lower triangle, by rows.
 */
typedef struct FmAllPairs
{
	double weight;
	float *gram; /* fm_all_pairs_length numbers */
} FmAllPairs;

static inline size_t
fm_all_pairs_length(int num_factors)
{
	return fm_prior_root_length(num_factors + 1);
}

/* The gram of a side, where offset = b + w, over the entities that start (as above; NULL: all) has ratings for. */
extern void fm_gram_of_side(double b, const float *w, const float *v, const int64_t *start,
							int32_t count, int num_factors, const FmHost *host, float *gram);

/*
 * The noise of a ranking, from the grams of both sides and the weighted sum of (1 - score)² over the ratings, whose
 * total weight and number of pairs are given.
 */
extern double fm_ranking_noise(const FmAllPairs *of_items, const float *gram_of_users,
							   int num_factors, double squared, double total_weight,
							   double num_pairs);

#endif
