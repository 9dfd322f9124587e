/*
 * Metrics of predictions and of ranked lists; metrics.h defines each.
 */
#include "core/metrics.h"

#include <math.h>

void
fm_add_error(FmErrorSums *sums, double predicted, double actual, double weight)
{
	double error = predicted - actual;

	sums->count++;
	sums->weight += weight;
	sums->squared += weight * error * error;
	sums->absolute += weight * fabs(error);
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

void
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
}
