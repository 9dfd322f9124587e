/*
 * Baselines: damped means, ratings left out of their own prediction, and popular items, against
 * their definitions. Prints TAP.
 */
#include "core/model/baseline.h"

#include <math.h>
#include <stdlib.h>

#include "core/bitset.h"
#include "support/data.h"
#include "support/tap.h"

#define USERS 40
#define ITEMS 30
#define RATINGS 400

static FmTriples
draw_ratings(void)
{
	FmTriples triples = new_triples(RATINGS, false);

	for (int r = 0; r < RATINGS; r++)
	{
		int user = (int) (uniform() * (USERS - 1));
		int item = (int) (uniform() * uniform() * (ITEMS - 1));

		add_rating(&triples, user, item, user % 5 + item % 3 + normal(), 1);
	}
	return triples;
}

/* Predict by the definition, from all rows but one (-1: from all). */
static double
predict(const FmTriples *rows, double mean, int32_t user, int32_t item, int64_t without)
{
	double item_part[ITEMS], user_sum = 0, own_sum = 0;
	int item_count[ITEMS] = {0}, user_count = 0, own_count = 0;

	for (int i = 0; i < ITEMS; i++)
	{
		double sum = 0;

		for (int64_t r = 0; r < rows->count; r++)
			if (rows->item[r] == i)
			{
				sum += rows->value[r] - mean;
				item_count[i]++;
			}
		item_part[i] = sum / (item_count[i] + FM_DAMPING);
	}
	for (int64_t r = 0; r < rows->count; r++)
	{
		if (r == without)
			continue;
		if (rows->user[r] == user)
		{
			user_sum += rows->value[r] - mean - item_part[rows->item[r]];
			user_count++;
		}
		if (rows->item[r] == item)
		{
			own_sum += rows->value[r] - mean;
			own_count++;
		}
	}
	return mean + own_sum / (own_count + FM_DAMPING) + user_sum / (user_count + FM_DAMPING);
}

static void
test_means(const FmTriples *rows, const FmBaseline *baseline)
{
	double mean = 0, worst = 0, worst_own = 0;

	for (int64_t r = 0; r < rows->count; r++)
		mean += rows->value[r] / (double) rows->count;
	ok(fabs(baseline->mean - mean) < 1e-9, "the mean");
	for (int user = 0; user < USERS; user++)
		for (int item = 0; item < ITEMS; item++)
			worst = fmax(worst, fabs(fm_baseline_rating(baseline, user, item, NAN) -
									 predict(rows, mean, user, item, -1)));
	ok(worst < 1e-9, "damped means of every pair (%.1e)", worst);
	for (int64_t r = 0; r < rows->count; r++)
		worst_own = fmax(worst_own, fabs(fm_baseline_rating(baseline, rows->user[r], rows->item[r],
															rows->value[r]) -
										 predict(rows, mean, rows->user[r], rows->item[r], r)));
	ok(worst_own < 1e-9, "and of every rating from the others (%.1e)", worst_own);
	ok(fm_baseline_rating(baseline, USERS - 1, ITEMS - 1, NAN) == baseline->mean,
	   "of whom and what nothing is known, the mean");
	ok(fm_baseline_rating(baseline, USERS - 1, ITEMS + 7, NAN) == baseline->mean,
	   "also of an unknown item");
}

static void
test_lists(const FmTriples *rows, const FmBaseline *baseline)
{
	uint64_t excluded[ITEMS / 64 + 1] = {0};
	int32_t list[ITEMS], length, count[ITEMS] = {0};
	bool ordered = true, eligible = true;

	for (int64_t r = 0; r < rows->count; r++)
		count[rows->item[r]]++;
	for (int i = 0; i < ITEMS; i += 3)
		fm_bitset_add(excluded, i);
	length = fm_baseline_list(baseline, excluded, ITEMS, list);
	for (int r = 0; r < length; r++)
	{
		eligible &= list[r] % 3 != 0;
		if (r > 0)
			ordered &= count[list[r - 1]] > count[list[r]] ||
					   (count[list[r - 1]] == count[list[r]] && list[r - 1] < list[r]);
		if (r > 0)
			ordered &= baseline->standing[list[r - 1]] > baseline->standing[list[r]];
	}
	ok(length == ITEMS - ITEMS / 3 && eligible, "a list has all items but the excluded ones");
	ok(ordered, "by number of ratings, then by index");
	ok(fm_baseline_list(baseline, excluded, 4, list) == 4, "not more than wanted");
}

int
main(void)
{
	FmTriples rows = draw_ratings();
	FmRatings ratings = build_ratings(&rows, USERS, ITEMS);
	FmBaseline *baseline = fm_baseline_of(&ratings, &host);

	test_means(&rows, baseline);
	test_lists(&rows, baseline);
	fm_baseline_release(baseline, &host);
	free_triples(&rows);
	free_ratings(&ratings);
	return done_testing();
}
