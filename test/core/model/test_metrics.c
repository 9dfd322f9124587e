/*
 * Metrics of predictions, of probabilities and of ranked lists, against small cases computed by
 * hand. Prints TAP.
 */
#include <math.h>
#include <stdbool.h>

#include "core/math/normal.h"
#include "core/model/metrics.h"
#include "core/model/parameters.h"
#include "support/host.h"
#include "support/tap.h"

static void
test_errors(void)
{
	FmErrorSums sums = {0}, repeated = {0};

	fm_add_error(&sums, 1, 3, 2);
	fm_add_error(&sums, 1, 0, 1);
	for (int r = 0; r < 2; r++)
		fm_add_error(&repeated, 1, 3, 1);
	fm_add_error(&repeated, 1, 0, 1);
	ok(fabs(fm_rmse(&sums) - sqrt(3)) < 1e-12 && fabs(fm_mae(&sums) - 5.0 / 3) < 1e-12 &&
		   fm_rmse(&sums) == fm_rmse(&repeated) && fm_mae(&sums) == fm_mae(&repeated),
	   "an error counts as often as its weight says");
}

static void
test_ranking_metrics(void)
{
	const unsigned char is_hit[] = {0, 1, 0, 1, 0};
	FmRankingSums sums = {0};

	fm_add_ranking(&sums, is_hit, 5, 5, 3);
	ok(fabs(sums.precision - 2.0 / 5) < 1e-12 && fabs(sums.recall - 2.0 / 3) < 1e-12,
	   "precision and recall");
	ok(fabs(sums.mrr - 0.5) < 1e-12, "reciprocal rank");
	ok(fabs(sums.map - (1.0 / 2 + 2.0 / 4) / 3) < 1e-12, "average precision");
	ok(fabs(sums.ndcg - (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3) + 0.5)) < 1e-12,
	   "normalised discounted gain");
}

static void
test_probability(void)
{
	ok(fm_probability(0, 3) == 0.5 && fm_probability(2, 3) == fm_normal_cdf(1),
	   "a probability includes the variance");
}

static void
test_labels(void)
{
	static const double scores[] = {1, 1, 0.2, -0.5, -0.5, -2};
	static const bool labels[] = {true, false, true, true, false, false};
	FmLabelSums *sums = fm_label_sums_create(&host), *none = fm_label_sums_create(&host);
	double loss = 0;

	for (int r = 0; r < 6; r++)
	{
		double weight = r == 2 ? 2 : 1;

		fm_add_label(sums, 2 * scores[r], 3, labels[r], weight);
		loss -= weight * log(fm_normal_cdf(labels[r] ? scores[r] : -scores[r]));
	}
	ok(fabs(fm_log_loss(sums) - loss / 7) < 1e-12, "log loss");
	ok(fabs(fm_accuracy(sums) - 5.0 / 7) < 1e-12, "accuracy");
	ok(fabs(fm_f1(sums) - 6.0 / 8) < 1e-12, "f1");
	ok(fabs(fm_auc(sums) - (2.5 + 2 * 2 + 1.5) / 12) < 1e-12, "area under the curve, with ties");
	ok(isnan(fm_log_loss(none)) && isnan(fm_f1(none)) && isnan(fm_auc(none)), "none of nothing");
	fm_add_label(none, -1e6, 0, true, 1);
	ok(fm_log_loss(none) > 1e11 && isfinite(fm_log_loss(none)), "nothing is impossible");
	for (int label = 0; label < 2; label++)
	{
		host.release(host.ctx, sums->steps[label]);
		host.release(host.ctx, none->steps[label]);
	}
	host.release(host.ctx, sums);
	host.release(host.ctx, none);
}

/* A difference is known to be worse from 30 values on, if its mean is two standard errors away. */
static void
test_differences(void)
{
	FmDifference steady = {0}, unsteady = {0};

	ok(!fm_is_worse(&steady), "nothing is not worse");
	for (int i = 0; i < 29; i++)
	{
		fm_add_difference(&steady, 1 + i % 2);
		fm_add_difference(&unsteady, i % 2 == 0 ? 20 : -18);
	}
	ok(!fm_is_worse(&steady), "29 values are too few");
	fm_add_difference(&steady, 2);
	fm_add_difference(&unsteady, -18);
	ok(fm_is_worse(&steady), "30 are not");
	ok(!fm_is_worse(&unsteady), "a mean that may be chance is not worse");
}

int
main(void)
{
	test_errors();
	test_differences();
	test_ranking_metrics();
	test_probability();
	test_labels();
	return done_testing();
}
