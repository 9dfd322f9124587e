/*
 * From sums over samples (distill.c) to the V, w and b of their mean.
 */
#ifndef FMTOPX_CORE_DISTILL_MODEL_H
#define FMTOPX_CORE_DISTILL_MODEL_H

#include "core/math/low_rank.h"
#include "core/train/problem.h"

/*
 * Sums over samples, of standardised targets. Rows of w, P and Q are the entities, then the levels
 * of their features, then, for users, the levels of contexts.
 */
typedef struct FmSampleSums
{
	int64_t samples;
	double b;
	double *w[2];		/* shared, by row */
	FmLowRank *product; /* P Qᵀ: the sum over samples of <v_u, v_i> */
} FmSampleSums;

static inline int32_t
fm_sums_rows(const FmProblem *problem, int side)
{
	return problem->side[side].count + problem->features[side].num_levels +
		   (side == FM_USERS ? problem->contexts.num_levels : 0);
}

/* Return the row of the first level of contexts. */
static inline int32_t
fm_sums_first_context(const FmProblem *problem)
{
	return problem->side[FM_USERS].count + problem->features[FM_USERS].num_levels;
}

/*
 * Write the model, in the units of the ratings. The product has been cut to the model's number of
 * factors.
 */
extern void fm_model_of_sums(const FmProblem *problem, const FmSampleSums *sums,
							 FmParameters *result);

#endif
