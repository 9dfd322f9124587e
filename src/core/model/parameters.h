/*
 * The parameters of a model, V, w and b, and the score that they give.
 *
 * The model is ŷ(u, i) = b + w_u + w_i + ⟨v_u, v_i⟩ (Rendle 2010, eq. 1, for two one-hot blocks).
 * In a context, each of its levels adds to w_u and v_u. fm_solve() allocates the arrays.
 */
#ifndef FMTOPX_CORE_PARAMETERS_H
#define FMTOPX_CORE_PARAMETERS_H

#include <stdint.h>

#include "core/data/ratings.h"

#define FM_MIN_FACTORS 1
#define FM_MAX_FACTORS 1024
#define FM_DEFAULT_FACTORS 32
#define FM_MIN_ITERATIONS 1
#define FM_MAX_ITERATIONS 100000

typedef enum FmTask
{
	FM_TASK_REGRESSION,
	FM_TASK_CLASSIFICATION, /* values are 0 and 1; mcmc only */
	FM_TASK_RANKING			/* values are 1; ials only */
} FmTask;

typedef struct FmParameters
{
	int num_factors;
	double b;
	double score_variance; /* classification: P(1) = fm_probability(score, score_variance) */
	float *user_w;		   /* num_users */
	float *user_v;		   /* num_users × num_factors, row-major */
	float *item_w;		   /* num_items */
	float *item_v;		   /* num_items × num_factors, row-major */

	/*
	 * What the levels of the features add to an entity's w and v: (num_levels + 1) rows for each
	 * side. The last row is added to the sum of the others. NULL if the side has no features.
	 */
	float *level_w[2];
	float *level_v[2];

	/*
	 * What the levels of contexts add to a user, rows by level; NULL without contexts. The mean
	 * over the ratings is 0 in every column, so a user without a context is their own average.
	 */
	float *context_w;
	float *context_v;

	int iterations; /* that the solver made */
	float l2_reg_v; /* als, ials: as given, or as chosen */
	/* ranking: the weight of the pairs of an item with a share of 1 (fm_all_pairs_share) */
	double unobserved_weight;
	double repeat_correlation; /* if repeats have made weights: ρ in the end */
} FmParameters;

/* Return the predictive probability of a 1: Φ(score / √(1 + variance)). Grows with the score. */
extern double fm_probability(double score, double variance);

/* Return ŷ(u, i), in double, summed in factor order. */
extern double fm_score(const FmParameters *parameters, int32_t user, int32_t item);

/* Return ŷ(u, i) in one of the combinations of contexts. */
extern double fm_score_in_context(const FmParameters *parameters, const FmContexts *contexts,
								  int32_t combination, int32_t user, int32_t item);

#endif
