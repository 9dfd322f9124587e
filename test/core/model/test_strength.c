/*
 * Strengths of pairs: units, repeats of a constant, outliers, users in other units. Prints TAP.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/model/strength.h"
#include "support/data.h"
#include "support/tap.h"

#define USERS 40
#define ITEMS 30

/* Values that are multiples of a half, so that all sums and products below are exact. */
static FmRatings
make_ratings(double value_unit, double weight_unit, bool weighted)
{
	FmTriples triples = new_triples(USERS * ITEMS, weighted);

	random_state = 1;
	for (int32_t u = 0; u < USERS; u++)
		for (int32_t i = 0; i < ITEMS; i++)
		{
			double value = floor(1 + 9 * uniform()) / 2;
			double weight = floor(exp(2 + 1.5 * normal())) + 1;

			if (uniform() < 0.4)
				add_rating(&triples, u, i, value * value_unit, weight * weight_unit);
		}
	return new_ratings(&triples, USERS, ITEMS);
}

/* Learn, and compute the strengths in the order of the users. */
static float *
strengths_of(FmStrengthKind kind, const FmRatings *ratings, FmStrength *strength)
{
	float *by_user = host.alloc(host.ctx, ratings->num_ratings, sizeof(float));
	float *by_item = host.alloc(host.ctx, ratings->num_ratings, sizeof(float));

	fm_strength_learn(kind, ratings, &host, strength);
	fm_strengths_of_ratings(strength, ratings, &host, by_user, by_item);
	host.release(host.ctx, by_item);
	return by_user;
}

/* Return the largest relative difference of two arrays. */
static double
difference(const float *a, const float *b, int64_t count)
{
	double most = 0;

	for (int64_t r = 0; r < count; r++)
		most = fmax(most, fabs((double) a[r] / b[r] - 1));
	return most;
}

static double
mean(const float *values, int64_t count)
{
	double sum = 0;

	for (int64_t r = 0; r < count; r++)
		sum += values[r];
	return sum / count;
}

static void
test_units(FmStrengthKind kind, const char *name)
{
	FmRatings ratings = make_ratings(1, 1, true), scaled = make_ratings(20, 1e-9, true);
	FmStrength strength, other;
	float *a = strengths_of(kind, &ratings, &strength), *b = strengths_of(kind, &scaled, &other);
	int64_t count = ratings.num_ratings;

	ok(fabs(mean(a, count) - 1) < 1e-6, "%s: the mean is 1", name);
	ok(difference(a, b, count) < 1e-5, "%s: the unit does not matter", name);
	host.release(host.ctx, a);
	host.release(host.ctx, b);
	free_ratings(&ratings);
	free_ratings(&scaled);
}

static void
test_equal(void)
{
	FmTriples triples = new_triples(100, true);
	FmRatings ratings;
	FmStrength strength;
	float *a;
	bool is_one = true;

	for (int32_t r = 0; r < 100; r++)
		add_rating(&triples, r % 7, r / 7, 3.5, 0.01);
	ratings = new_ratings(&triples, 7, 15);
	for (int kind = FM_STRENGTH_EQUAL; kind <= FM_STRENGTH_BOTH; kind++)
	{
		a = strengths_of((FmStrengthKind) kind, &ratings, &strength);
		for (int64_t r = 0; r < ratings.num_ratings; r++)
			is_one = is_one && fabs(a[r] - 1) < 1e-6;
		host.release(host.ctx, a);
	}
	ok(is_one, "equal ratings and counts have a strength of 1");
	free_ratings(&ratings);
}

/* Return the most that the strengths of other users change if one row has this weight and value. */
static double
outlier_effect(FmStrengthKind kind, double value, double weight)
{
	FmRatings ratings = make_ratings(1, 1, true);
	int64_t first = ratings.user_start[1], rest = ratings.num_ratings - first;
	FmStrength strength;
	float *before = strengths_of(kind, &ratings, &strength), *after;
	double most;

	ratings.user_value[0] = (float) value;
	ratings.user_weight[0] = (float) weight;
	after = strengths_of(kind, &ratings, &strength);
	most = difference(before + first, after + first, rest);
	for (int64_t r = 0; r < ratings.num_ratings; r++)
		if (!(after[r] > 0 && after[r] < 100))
			most = INFINITY;
	host.release(host.ctx, before);
	host.release(host.ctx, after);
	free_ratings(&ratings);
	return most;
}

static void
test_outliers(void)
{
	static const double weights[] = {1e-44, 1e-6, 1e6, 1e38};

	for (int w = 0; w < 4; w++)
		ok(outlier_effect(FM_STRENGTH_COUNTS, 3, weights[w]) < 0.02,
		   "a count of %g changes the strengths of others by less than 2 %%", weights[w]);
	ok(outlier_effect(FM_STRENGTH_RATINGS, 1e30, 1) < 0.02 &&
		   outlier_effect(FM_STRENGTH_RATINGS, -3e38, 1) < 0.02,
	   "so does a rating of 1e30 or -3e38");
}

static void
test_order(void)
{
	static const float values[] = {1, 5, 3}, weights[] = {2, 2, 50};
	FmStrength strength = {FM_STRENGTH_RATINGS, 3, 1, log(4), 1};
	float by_rating[3], by_count[3];

	fm_strengths_of_user(&strength, values, weights, 3, &host, by_rating);
	ok(by_rating[0] < by_rating[2] && by_rating[2] < by_rating[1] && by_rating[2] == 1,
	   "a higher rating is stronger");
	strength.kind = FM_STRENGTH_COUNTS;
	fm_strengths_of_user(&strength, values, weights, 3, &host, by_count);
	ok(by_count[0] == by_count[1] && by_count[1] < by_count[2] && by_count[2] < 1,
	   "a higher count is stronger, by less than it is higher");
	ok(fabs(by_count[0] - 2 / (2 + 4 * exp(3 * log(0.5) / 8))) < 1e-6,
	   "a count is compared with the median of the user, drawn towards all users'");
	fm_strengths_of_user(&strength, values, NULL, 3, &host, by_count);
	ok(by_count[0] == 0.5 && by_count[2] == 0.5, "without counts, all are as the median");
}

static void
test_sides(void)
{
	FmRatings ratings = make_ratings(1, 1, true);
	FmStrength strength;
	float *expected = strengths_of(FM_STRENGTH_BOTH, &ratings, &strength);
	int64_t at = 0;
	bool is_same = true;

	fm_strengths_of_ratings(&strength, &ratings, &host, ratings.user_weight, ratings.item_weight);
	ok(memcmp(ratings.user_weight, expected, ratings.num_ratings * sizeof(float)) == 0,
	   "the results may be the weights");
	for (int32_t user = 0; user < ratings.num_users; user++)
		for (; at < ratings.user_start[user + 1]; at++)
		{
			int64_t r = ratings.item_start[ratings.user_item[at]];

			while (ratings.item_user[r] != user)
				r++;
			is_same = is_same && ratings.item_weight[r] == expected[at];
		}
	ok(is_same, "both orders have the same strengths");
	host.release(host.ctx, expected);
	free_ratings(&ratings);
}

int
main(void)
{
	test_units(FM_STRENGTH_COUNTS, "counts");
	test_units(FM_STRENGTH_RATINGS, "ratings");
	test_units(FM_STRENGTH_BOTH, "both");
	test_equal();
	test_outliers();
	test_order();
	test_sides();
	return done_testing();
}
