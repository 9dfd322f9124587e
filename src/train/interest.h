/*
 * What the interest head of a training learns from: who rated what, and how strongly that counts.
 */
#ifndef FMTOPX_INTEREST_H
#define FMTOPX_INTEREST_H

#include "core/data/recency.h"
#include "core/model/strength.h"

/*
 * Make a pair of each user and item with ratings, of value 1 and weighted by its strength. What
 * strengths are made of is learnt, or given. Memory: the current context.
 */
extern FmTriples fm_interest_pairs(const FmRatings *ratings, bool learn, const FmHost *host,
								   FmStrength *strength);

/* Multiply the weights of pairs by their recency. */
extern void fm_weigh_by_recency(const FmRecency *recency, const FmTriples *pairs);

/* Do so for a ranking, whose pairs are its ratings and have weights, in both orders. */
extern void fm_weigh_ratings_by_recency(const FmRecency *recency, const FmRatings *ratings);

/* Return weights of 1, in the current memory context. */
extern float *fm_equal_weights(int64_t count);

#endif
