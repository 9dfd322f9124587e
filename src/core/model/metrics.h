/*
 * Metrics of predictions and of ranked lists, in double precision.
 */
#ifndef FMTOPX_CORE_METRICS_H
#define FMTOPX_CORE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host.h"

/*
 * Errors of predictions: add each prediction, then read the metrics. Adding returns the weighted
 * squared error.
 */
typedef struct FmErrorSums
{
	int64_t count;
	double weight;
	double squared;
	double absolute;
} FmErrorSums;

extern double fm_add_error(FmErrorSums *sums, double predicted, double actual, double weight);
/* root of the mean squared error; NaN if empty */
extern double fm_rmse(const FmErrorSums *sums);
extern double fm_mae(const FmErrorSums *sums); /* mean absolute error; NaN if empty */

/*
 * Predicted probabilities of yes: add each prediction, then read the metrics. A probability of at
 * least 0.5 predicts yes. The area under the ROC curve is computed from probabilities rounded to
 * one part in FM_AUC_STEPS; equal ones count half, as they do in the definition.
 */
#define FM_AUC_STEPS 65536

typedef struct FmLabelSums
{
	int64_t count;
	double log_loss;
	double weight[2][2]; /* by the label, then by the prediction */
	double *steps[2];	 /* weight by the label, then by the probability */
} FmLabelSums;

extern FmLabelSums *fm_label_sums_create(const FmHost *host);

/* The prediction is Φ(score / √(1 + variance)). Return its weighted loss, here and below. */
extern double fm_add_label(FmLabelSums *sums, double score, double variance, bool yes,
						   double weight);

/*
 * Add a rating that no model predicts: its probability is the base rate, the share of yes. That
 * has no order, so the area under the curve is of other numbers between 0 and 1.
 */
extern double fm_add_base_rate(FmLabelSums *sums, double base_rate, double order, bool yes,
							   double weight);
extern double fm_log_loss(const FmLabelSums *sums); /* mean -ln P(label); NaN if empty */
extern double fm_accuracy(const FmLabelSums *sums); /* share predicted right; NaN if empty */
/* of yes; NaN if there is none and none is predicted */
extern double fm_f1(const FmLabelSums *sums);
extern double fm_auc(const FmLabelSums *sums); /* NaN unless there are both labels */

/*
 * Lists of length x for users who each have some relevant items (binary relevance; Järvelin &
 * Kekäläinen 2002 for the discounted gain). Every metric is a mean over users.
 *
 *   precision  hits / x
 *   recall     hits / relevant
 *   ndcg       Σ_hits 1/log2(rank + 1), over the same sum for the best possible list of length x
 *   map        Σ_hits (hits up to the rank / rank) / min(relevant, x)
 *   mrr        1 / rank of the first hit, 0 without one
 *   auc        share of pairs of a relevant item and another in which the relevant one is higher
 */
typedef struct FmRankingSums
{
	int64_t users;
	double precision;
	double recall;
	double ndcg;
	double map;
	double mrr;
	int64_t auc_users; /* users who also have items that are not relevant */
	double auc;
} FmRankingSums;

/*
 * Add one user's list: is_hit[r] is whether the item at rank r + 1 is relevant; relevant ≥ 1, x ≥
 * 1. Return its ndcg.
 */
extern double fm_add_ranking(FmRankingSums *sums, const unsigned char *is_hit, int32_t length,
							 int32_t x, int64_t relevant);

/* Add one user's area under the ROC curve, for users who have one. */
extern void fm_add_auc(FmRankingSums *sums, double auc);

/*
 * Whether one of two predictors is worse than the other by more than chance explains: add by how
 * much each loss of the one exceeds that of the other on the same rating or user.
 */
typedef struct FmDifference
{
	int64_t count;
	double sum;
	double squares;
} FmDifference;

extern void fm_add_difference(FmDifference *difference, double excess);

/* Return whether the mean is above 0 by two standard errors, from 30 values on. */
extern bool fm_is_worse(const FmDifference *difference);

#endif
