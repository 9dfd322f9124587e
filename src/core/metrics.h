/*
 * Metrics of predictions and of ranked lists, in double precision.
 */
#ifndef FMTOPX_CORE_METRICS_H
#define FMTOPX_CORE_METRICS_H

#include <stdint.h>

/* Errors of predictions: add each, then read off. */
typedef struct FmErrorSums
{
	int64_t count;
	double weight;
	double squared;
	double absolute;
} FmErrorSums;

extern void fm_add_error(FmErrorSums *sums, double predicted, double actual, double weight);
extern double fm_rmse(const FmErrorSums *sums); /* root of the mean squared error; NaN when empty */
extern double fm_mae(const FmErrorSums *sums);	/* mean absolute error; NaN when empty */

/*
 * Lists of length x for users who each have some relevant items (binary relevance; Järvelin & Kekäläinen
 * 2002 for the discounted gain). Every figure is a mean over users.
 *
 *   precision  hits / x
 *   recall     hits / relevant
 *   ndcg       Σ_hits 1/log2(rank + 1), over the same sum for the best possible list of length x
 *   map        Σ_hits (hits up to the rank / rank) / min(relevant, x)
 *   mrr        1 / rank of the first hit, 0 without one
 */
typedef struct FmRankingSums
{
	int64_t users;
	double precision;
	double recall;
	double ndcg;
	double map;
	double mrr;
} FmRankingSums;

/* One user's list: is_hit[r] tells whether the item at rank r + 1 is relevant; relevant ≥ 1, x ≥ 1. */
extern void fm_add_ranking(FmRankingSums *sums, const unsigned char *is_hit, int32_t length,
						   int32_t x, int64_t relevant);

#endif
