/*
 * Alternating least squares.
 */
#ifndef FMTOPX_CORE_ALS_H
#define FMTOPX_CORE_ALS_H

#include "core/train/gibbs.h"

/* l2_reg_v where there is no search. */
#define FM_ALS_L2_REG_V 1.2f

typedef struct FmAlsChoice
{
	int rank;
	float l2_reg_v;
} FmAlsChoice;

/*
 * Choose what is not given, which is 0 or negative, by a search on ratings held out; with too few
 * ratings for that, and with features, history or contexts, the defaults. All members of a team
 * call this, and get the same.
 */
extern FmAlsChoice fm_als_choose(const FmProblem *problem, int num_factors, float l2_reg_v);

/* Return the bytes that a search allocates at most of the memory that its team shares. */
extern double fm_als_search_shared_size(const FmProblem *problem, int num_factors);

/* Train, and give the sink one sample: the result. */
extern void fm_als(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx);

#endif
