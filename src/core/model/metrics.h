/*
 * Metrics of predictions and of ranked lists, in double precision.
 */
#ifndef FMTOPX_CORE_METRICS_H
#define FMTOPX_CORE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host.h"

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
 * Predicted probabilities of yes: add each, then read off. From 0.5 on a prediction is yes. The area under
 * the ROC curve is that of the probabilities to one part in FM_AUC_STEPS: equals count half, as they do.
 */
#define FM_AUC_STEPS 65536

typedef struct FmLabelSums
{
	int64_t count;
	double log_loss;
	double weight[2][2]; /* by the label, then by what was predicted */
	double *steps[2];	 /* weight by the label, then by the probability */
} FmLabelSums;

extern FmLabelSums *fm_label_sums_create(const FmHost *host);

/* The prediction is Φ(score / √(1 + variance)). */
extern void fm_add_label(FmLabelSums *sums, double score, double variance, bool yes, double weight);
extern double fm_log_loss(const FmLabelSums *sums); /* mean -ln P(label); NaN when empty */
extern double fm_accuracy(const FmLabelSums *sums); /* the share predicted right; NaN when empty */
extern double fm_f1(const FmLabelSums *sums);  /* of yes; NaN when there is none, nor predicted */
extern double fm_auc(const FmLabelSums *sums); /* NaN unless there are both labels */

/*
 * Lists of length x for users who each have some relevant items (binary relevance; Järvelin & Kekäläinen
 * 2002 for the discounted gain). Every figure is a mean over users.
 *
 *   precision  hits / x
 *   recall     hits / relevant
 *   ndcg       Σ_hits 1/log2(rank + 1), over the same sum for the best possible list of length x
 *   map        Σ_hits (hits up to the rank / rank) / min(relevant, x)
 *   mrr        1 / rank of the first hit, 0 without one
 *   auc        the share of pairs of a relevant item and another in which the relevant one stands higher
 */
typedef struct FmRankingSums
{
	int64_t users;
	double precision;
	double recall;
	double ndcg;
	double map;
	double mrr;
	int64_t auc_users; /* who have items that are not relevant as well */
	double auc;
} FmRankingSums;

/* One user's list: is_hit[r] tells whether the item at rank r + 1 is relevant; relevant ≥ 1, x ≥ 1. */
extern void fm_add_ranking(FmRankingSums *sums, const unsigned char *is_hit, int32_t length,
						   int32_t x, int64_t relevant);

/* One user's area, where there is one. */
extern void fm_add_auc(FmRankingSums *sums, double auc);

#endif
