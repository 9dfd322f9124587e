/*
 * Merging of repeats, and relative weights. Prints TAP.
 */
#include "core/data/repeats.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "support/data.h"
#include "support/tap.h"

#define USERS 60
#define ITEMS 40
#define PAIRS 900
#define MAX_ROWS 8

/* How the rows of a pair vary. */
typedef struct Noise
{
	double of_pair; /* deviation of what they have in common */
	double of_row;
	int least; /* rows */
	int most;
} Noise;

static FmTriples
noisy_triples(const Noise *noise, bool weighted)
{
	FmTriples triples = new_triples((int64_t) PAIRS * MAX_ROWS, weighted);

	random_state = 5;
	for (int p = 0; p < PAIRS; p++)
	{
		int user = p % USERS, item = (p / USERS * 7 + p) % ITEMS;
		int rows = noise->least + p % (noise->most - noise->least + 1);
		double mean = sin(user) + cos(item) + noise->of_pair * normal();

		for (int n = 0; n < rows; n++)
			add_rating(&triples, user, item, mean + noise->of_row * normal(), 1 + p % 3);
	}
	return triples;
}

/* Move rows about, without losing any. */
static void
shuffle(FmTriples *triples)
{
	for (int64_t r = triples->count - 1; r > 0; r--)
	{
		int64_t other = (int64_t) (random_bits() % (uint64_t) (r + 1));
		int32_t user = triples->user[r], item = triples->item[r];
		float value = triples->value[r];

		triples->user[r] = triples->user[other];
		triples->item[r] = triples->item[other];
		triples->value[r] = triples->value[other];
		triples->user[other] = user;
		triples->item[other] = item;
		triples->value[other] = value;
		if (triples->weight == NULL)
			continue;
		value = triples->weight[r];
		triples->weight[r] = triples->weight[other];
		triples->weight[other] = value;
	}
}

static FmTriples
copy_times(const FmTriples *triples, int times)
{
	FmTriples copies = new_triples(triples->count * times, triples->weight != NULL);

	for (int n = 0; n < times; n++)
		for (int64_t r = 0; r < triples->count; r++)
			add_rating(&copies, triples->user[r], triples->item[r], triples->value[r],
					   triples->weight ? triples->weight[r] : 1);
	shuffle(&copies);
	return copies;
}

static FmRepeats
merge(FmTriples *triples, bool labels, double correlation)
{
	float *spare = host.alloc(host.ctx, triples->count + 1, sizeof(float));
	FmRepeats repeats = fm_merge_repeats(triples, NULL, labels, correlation, spare, USERS, ITEMS,
										 &host);

	if (triples->weight != spare)
		host.release(host.ctx, spare);
	return repeats;
}

/* Return whether both are the same ratings, which are compared in order. */
static bool
same_ratings(const FmTriples *a, const FmTriples *b)
{
	FmRatings one = build_ratings(a, USERS, ITEMS), two = build_ratings(b, USERS, ITEMS);
	size_t size = (size_t) one.num_ratings * sizeof(float);
	bool same = one.num_ratings == two.num_ratings &&
				memcmp(one.user_item, two.user_item, size) == 0 &&
				memcmp(one.item_user, two.item_user, size) == 0 &&
				memcmp(one.user_value, two.user_value, size) == 0 &&
				(one.user_weight == NULL) == (two.user_weight == NULL) &&
				(one.user_weight == NULL || memcmp(one.user_weight, two.user_weight, size) == 0);

	free_ratings(&one);
	free_ratings(&two);
	return same;
}

static void
test_copies(bool weighted)
{
	const Noise noise = {1, 0, 1, 1};
	const char *kind = weighted ? "with weights" : "without weights";

	for (int times = 1; times <= 10; times += 3)
	{
		FmTriples plain = noisy_triples(&noise, weighted);
		FmTriples copies = copy_times(&plain, times);
		FmRepeats repeats = merge(&copies, false, NAN);

		ok(repeats.rows == (int64_t) PAIRS * times && repeats.pairs == PAIRS &&
			   repeats.correlation == 1,
		   "%d rows of each pair, %s: found", times, kind);
		ok(same_ratings(&plain, &copies), "%d rows of each pair, %s: one rating", times, kind);
		free_triples(&plain);
		free_triples(&copies);
	}
}

static void
test_correlation(const char *name, Noise noise, double least, double most)
{
	FmTriples triples = noisy_triples(&noise, false), again = copy_times(&triples, 1);
	FmTriples tripled = copy_times(&triples, 3);
	FmRepeats repeats = merge(&triples, false, NAN), other = merge(&again, false, NAN);
	double rho = repeats.correlation;
	bool right = true;

	ok(rho >= least && rho <= most, "%s: a correlation of %g", name, rho);
	ok(rho == other.correlation && same_ratings(&triples, &again),
	   "%s: the order of the rows does not matter", name);
	for (int64_t r = 0; r < triples.count && noise.least == noise.most; r++)
		right &= fabs(triples.weight[r] - noise.most / (1 + (noise.most - 1) * rho)) < 1e-6;
	ok(right && triples.count == PAIRS, "%s: one row for each pair, with its weight", name);
	(void) merge(&tripled, false, NAN);
	if (noise.least == noise.most)
		for (int64_t r = 0; r < tripled.count; r++)
			right &= fabs(tripled.weight[r] / tripled.weight[0] - 1) < 1e-6 &&
					 fabs(tripled.weight[r] / triples.weight[0] - 1) < 0.03;
	ok(right, "%s: copies of repeats weigh the same", name);
	free_triples(&triples);
	free_triples(&again);
	free_triples(&tripled);
}

/* One pair with a hundred thousand rows that do not agree weighs little more than another. */
static void
test_one_pair(void)
{
	const Noise noise = {1, 0, 1, 1};
	FmTriples plain = noisy_triples(&noise, false);
	FmTriples triples = new_triples(PAIRS + 100000, false);
	double largest = 0;

	for (int64_t r = 0; r < plain.count; r++)
		add_rating(&triples, plain.user[r], plain.item[r], plain.value[r], 1);
	for (int n = 0; n < 100000; n++)
		add_rating(&triples, plain.user[0], plain.item[0], plain.value[0] + normal(), 1);
	(void) merge(&triples, false, NAN);
	for (int64_t r = 0; r < triples.count; r++)
		largest = fmax(largest, triples.weight[r]);
	ok(triples.count == PAIRS && largest > 1 && largest < 1.3,
	   "100,000 rows of one pair weigh %.2f", largest);
	free_triples(&plain);
	free_triples(&triples);
}

static void
test_labels(void)
{
	FmTriples triples = new_triples(6, false);
	double yes = 0, no = 0;

	add_rating(&triples, 0, 0, 1, 1);
	add_rating(&triples, 0, 1, 1, 1);
	add_rating(&triples, 0, 1, 0, 1);
	add_rating(&triples, 0, 1, 1, 1);
	add_rating(&triples, 1, 1, 0, 1);
	add_rating(&triples, 1, 1, 0, 1);
	(void) merge(&triples, true, 0.5);
	for (int64_t r = 0; r < triples.count; r++)
		if (triples.user[r] == 0 && triples.item[r] == 1)
			*(triples.value[r] > 0 ? &yes : &no) += triples.weight[r];
	ok(triples.count == 4 && fabs(yes - 1.0) < 1e-6 && fabs(no - 0.5) < 1e-6,
	   "labels that differ share the weight of their pair");
	free_triples(&triples);
}

/* Contexts keep rows apart, but not on different sides of a split. */
static void
test_contexts(void)
{
	FmTriples triples = new_triples(6, false);
	bool is_late[6] = {false, false, true, false, false, false};
	float spare[6];
	FmRepeats repeats;
	int late = 0;

	triples.context = host.alloc(host.ctx, 6, sizeof(int32_t));
	for (int r = 0; r < 6; r++)
		add_rating(&triples, r / 4, 3, r % 2 + r / 4, 1);
	for (int r = 0; r < 6; r++)
		triples.context[r] = r % 2;
	repeats = fm_merge_repeats(&triples, is_late, false, 1, spare, USERS, ITEMS, &host);
	for (int r = 0; r < triples.count; r++)
		late += is_late[r] && triples.user[r] == 0;
	ok(repeats.pairs == 4 && triples.count == 4 && triples.weight == NULL,
	   "rows in different contexts are not merged");
	ok(late == 2 && !is_late[2] && !is_late[3], "if a row is late, its pair is, in every context");
	free_triples(&triples);
}

static FmRatings
weighted_ratings(double factor, bool equal, bool outlier)
{
	const Noise noise = {1, 0, 1, 1};
	FmTriples triples = noisy_triples(&noise, true);

	for (int64_t r = 0; r < triples.count; r++)
		triples.weight[r] = (float) (factor * (equal ? 1 : 1 + r % 3));
	if (outlier)
		triples.weight[7] = (float) (factor * 1e6);
	return new_ratings(&triples, USERS, ITEMS);
}

static void
test_relative_weights(void)
{
	const double factors[] = {1e-20, 0.37, 1, 1000, 1e20};
	FmRatings plain = weighted_ratings(1, false, false);
	FmRatings outlier = weighted_ratings(1, false, true);
	FmTriples none = {0};
	double apart = 0, largest = 0, sum = 0, square = 0;

	ok(fabs(fm_ratings_relative_weights(&plain, FM_MOST_WEIGHT, &none) - 14.0 / 6) < 1e-6,
	   "the unit is the weighted mean of the weights");
	for (int64_t r = 0; r < plain.num_ratings; r++)
	{
		sum += plain.user_weight[r];
		square += (double) plain.user_weight[r] * plain.user_weight[r];
	}
	ok(fabs(sum - sum * sum / square) < 1e-3, "the sum is the effective number of ratings");
	for (int f = 0; f < 5; f++)
	{
		FmRatings equal = weighted_ratings(factors[f], true, false);
		FmRatings scaled = weighted_ratings(factors[f], false, false);

		float *weights[2] = {equal.user_weight, equal.item_weight};

		(void) fm_ratings_relative_weights(&equal, FM_MOST_WEIGHT, &none);
		(void) fm_ratings_relative_weights(&scaled, FM_MOST_WEIGHT, &none);
		ok(equal.user_weight == NULL && equal.item_weight == NULL, "%g times 1 is no weight",
		   factors[f]);
		for (int64_t r = 0; r < plain.num_ratings; r++)
			apart = fmax(apart, fabs(plain.user_weight[r] - scaled.user_weight[r]));
		host.release(host.ctx, weights[0]);
		host.release(host.ctx, weights[1]);
		free_ratings(&scaled);
		free_ratings(&equal);
	}
	ok(apart < 1e-5, "weights times a constant are the same (%g apart)", apart);
	(void) fm_ratings_relative_weights(&outlier, FM_MOST_WEIGHT, &none);
	for (int64_t r = 0; r < outlier.num_ratings; r++)
		largest = fmax(largest, outlier.user_weight[r]);
	ok(largest <= FM_MOST_WEIGHT && largest > 2, "an outlier weighs no more than %g", largest);
	free_ratings(&plain);
	free_ratings(&outlier);
}

int
main(void)
{
	test_copies(false);
	test_copies(true);
	test_correlation("independent rows", (Noise){0, 1, 3, 3}, 0, 0.1);
	test_correlation("rows that have half in common", (Noise){1, 1, 3, 3}, 0.4, 0.6);
	test_correlation("rows that hardly differ", (Noise){1, 0.1, 2, 2}, 0.95, 1);
	test_correlation("some pairs with repeats", (Noise){1, 1, 1, 4}, 0.4, 0.6);
	test_one_pair();
	test_labels();
	test_contexts();
	test_relative_weights();
	return done_testing();
}
