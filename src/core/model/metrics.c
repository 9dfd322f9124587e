/*
 * Metrics of predictions and of ranked lists; metrics.h defines each. Sums are the caller's, only
 * those of labels come from the host.
 */
#include "core/model/metrics.h"

#include <math.h>

#include "core/math/normal.h"

double
fm_add_error(FmErrorSums *sums, double predicted, double actual, double weight)
{
	double error = predicted - actual;

	sums->count++;
	sums->weight += weight;
	sums->squared += weight * error * error;
	sums->absolute += weight * fabs(error);
	return weight * error * error;
}

double
fm_rmse(const FmErrorSums *sums)
{
	return sums->count == 0 ? NAN : sqrt(sums->squared / sums->weight);
}

double
fm_mae(const FmErrorSums *sums)
{
	return sums->count == 0 ? NAN : sums->absolute / sums->weight;
}

FmLabelSums *
fm_label_sums_create(const FmHost *host)
{
	FmLabelSums *sums = host->alloc(host->ctx, 1, sizeof(FmLabelSums));

	for (int label = 0; label < 2; label++)
		sums->steps[label] = host->alloc(host->ctx, FM_AUC_STEPS, sizeof(double));
	return sums;
}

/* Add a rating that is predicted as yes or no. `order` is the probability, for the curve. */
static void
add_label(FmLabelSums *sums, bool predicted, double order, bool yes, double weight)
{
	double place = order * FM_AUC_STEPS;
	int step = place < 0 ? 0 : place < FM_AUC_STEPS ? (int) place : FM_AUC_STEPS - 1;

	sums->count++;
	sums->weight[yes][predicted] += weight;
	sums->steps[yes][step] += weight;
}

static double
add_loss(FmLabelSums *sums, double loss)
{
	sums->log_loss += loss;
	return loss;
}

double
fm_add_label(FmLabelSums *sums, double score, double variance, bool yes, double weight)
{
	double z = score / sqrt(1 + variance);

	add_label(sums, z >= 0, fm_normal_cdf(z), yes, weight);
	return add_loss(sums, -weight * fm_normal_log_cdf(yes ? z : -z));
}

/* A base rate of 0 or 1 would make what has never been infinitely surprising. */
#define LEAST_BASE_RATE 1e-6

double
fm_add_base_rate(FmLabelSums *sums, double base_rate, double order, bool yes, double weight)
{
	double rate = fmin(fmax(base_rate, LEAST_BASE_RATE), 1 - LEAST_BASE_RATE);

	add_label(sums, rate >= 0.5, order, yes, weight);
	return add_loss(sums, -weight * log(yes ? rate : 1 - rate));
}

static double
total_weight(const FmLabelSums *sums)
{
	return sums->weight[0][0] + sums->weight[0][1] + sums->weight[1][0] + sums->weight[1][1];
}

double
fm_log_loss(const FmLabelSums *sums)
{
	return sums->count == 0 ? NAN : sums->log_loss / total_weight(sums);
}

double
fm_accuracy(const FmLabelSums *sums)
{
	double right = sums->weight[0][0] + sums->weight[1][1];

	return sums->count == 0 ? NAN : right / total_weight(sums);
}

double
fm_f1(const FmLabelSums *sums)
{
	double right = 2 * sums->weight[1][1];
	double all = right + sums->weight[0][1] + sums->weight[1][0];

	return all == 0 ? NAN : right / all;
}

double
fm_auc(const FmLabelSums *sums)
{
	double no_below = 0, yes = 0, ordered = 0;

	for (int step = 0; step < FM_AUC_STEPS; step++)
	{
		double no_here = sums->steps[0][step], yes_here = sums->steps[1][step];

		ordered += yes_here * (no_below + no_here / 2);
		no_below += no_here;
		yes += yes_here;
	}
	return no_below == 0 || yes == 0 ? NAN : ordered / (no_below * yes);
}

double
fm_add_ranking(FmRankingSums *sums, const unsigned char *is_hit, int32_t length, int32_t x,
			   int64_t relevant)
{
	int64_t best = relevant < x ? relevant : x;
	int64_t hits = 0;
	double gain = 0;
	double best_gain = 0;
	double precisions = 0;

	for (int32_t r = 0; r < length; r++)
		if (is_hit[r])
		{
			if (hits++ == 0)
				sums->mrr += 1.0 / (r + 1);
			gain += 1.0 / log2(r + 2.0);
			precisions += (double) hits / (r + 1);
		}
	for (int64_t r = 0; r < best; r++)
		best_gain += 1.0 / log2((double) r + 2.0);
	sums->users++;
	sums->precision += (double) hits / x;
	sums->recall += (double) hits / (double) relevant;
	sums->ndcg += gain / best_gain;
	sums->map += precisions / (double) best;
	return gain / best_gain;
}

void
fm_add_auc(FmRankingSums *sums, double auc)
{
	sums->auc_users++;
	sums->auc += auc;
}

void
fm_add_difference(FmDifference *difference, double excess)
{
	difference->count++;
	difference->sum += excess;
	difference->squares += excess * excess;
}

/* Of fewer values the standard error is not known well enough. */
#define LEAST_VALUES 30

bool
fm_is_worse(const FmDifference *difference)
{
	double spread;

	if (difference->count < LEAST_VALUES)
		return false;
	spread = difference->squares - difference->sum * difference->sum / (double) difference->count;
	return difference->sum > 2 * sqrt(fmax(spread, 0));
}
