/*
 * Ratings: both compressed orders, the canonical order, the held-out share. Prints TAP.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "support/data.h"
#include "support/tap.h"

#define USERS 40
#define ITEMS 25
#define ROWS 600

static FmTriples
random_triples(bool weighted)
{
	FmTriples triples = new_triples(ROWS, weighted);

	random_state = 7;
	for (int r = 0; r < ROWS; r++)
	{
		uint64_t bits = random_bits();

		add_rating(&triples, bits % USERS, bits / 1000 % ITEMS, bits / 1000000 % 9 / 2.0,
				   (bits / 1000000000 % 5 + 1) / 4.0);
	}
	return triples;
}

/* Return the same rows, with users and items renamed, in another order. */
static FmTriples
relabel(const FmTriples *triples, const int32_t *users, const int32_t *items)
{
	FmTriples renamed = new_triples(triples->count, triples->weight != NULL);

	for (int64_t r = 0; r < triples->count; r++)
	{
		int64_t from = (r * 7 + 3) % triples->count; /* 7 and 600 are coprime */

		add_rating(&renamed, users[triples->user[from]], items[triples->item[from]],
				   triples->value[from], triples->weight ? triples->weight[from] : 1);
	}
	return renamed;
}

/* Return the key of a row; the sum of all keys identifies the multiset well enough. */
static double
row_key(int32_t user, int32_t item, float value, const float *weight, int64_t r)
{
	return sqrt(1 + (user * 1000.0 + item) * 1000.0 + value) * (weight ? weight[r] + 0.5 : 1);
}

static double
order_key(double neighbour, const float *value, const float *weight, int64_t r)
{
	return (neighbour * 100 + value[r]) * 100 + (weight ? weight[r] : 1);
}

/* Return whether rows ascend by neighbour, then by value, then by weight. */
static bool
is_sorted(const int64_t *start, const int32_t *other, const float *value, const float *weight,
		  int32_t count)
{
	for (int32_t e = 0; e < count; e++)
		for (int64_t r = start[e] + 1; r < start[e + 1]; r++)
			if (order_key(other[r - 1], value, weight, r - 1) >
				order_key(other[r], value, weight, r))
				return false;
	return true;
}

static bool
both_sorted(const FmRatings *ratings)
{
	return is_sorted(ratings->user_start, ratings->user_item, ratings->user_value,
					 ratings->user_weight, USERS) &&
		   is_sorted(ratings->item_start, ratings->item_user, ratings->item_value,
					 ratings->item_weight, ITEMS);
}

static double
sum_by_user(const FmRatings *ratings)
{
	double sum = 0;

	for (int32_t u = 0; u < ratings->num_users; u++)
		for (int64_t r = ratings->user_start[u]; r < ratings->user_start[u + 1]; r++)
			sum += row_key(u, ratings->user_item[r], ratings->user_value[r], ratings->user_weight,
						   r);
	return sum;
}

static double
sum_by_item(const FmRatings *ratings)
{
	double sum = 0;

	for (int32_t i = 0; i < ratings->num_items; i++)
		for (int64_t r = ratings->item_start[i]; r < ratings->item_start[i + 1]; r++)
			sum += row_key(ratings->item_user[r], i, ratings->item_value[r], ratings->item_weight,
						   r);
	return sum;
}

static double
sum_of_triples(const FmTriples *triples)
{
	double sum = 0;

	for (int64_t r = 0; r < triples->count; r++)
		sum += row_key(triples->user[r], triples->item[r], triples->value[r], triples->weight, r);
	return sum;
}

static void
test_orders(bool weighted)
{
	FmTriples triples = random_triples(weighted);
	FmRatings ratings = build_ratings(&triples, USERS, ITEMS);

	ok(ratings.user_start[USERS] == ROWS && ratings.item_start[ITEMS] == ROWS,
	   weighted ? "with weights, both orders hold every rating" : "both orders hold every rating");
	ok(fabs(sum_by_user(&ratings) - sum_of_triples(&triples)) < 1e-6 &&
		   fabs(sum_by_item(&ratings) - sum_of_triples(&triples)) < 1e-6,
	   "both orders hold the same ratings");
	ok(both_sorted(&ratings), "rows are sorted by neighbour and value");
	ok((ratings.user_weight != NULL) == weighted && (ratings.item_weight != NULL) == weighted,
	   "weights are there if they were given");
	free_ratings(&ratings);
	free_triples(&triples);
}

static void
to_canonical(FmTriples *triples, const int32_t *users, const int32_t *items)
{
	for (int64_t r = 0; r < triples->count; r++)
	{
		triples->user[r] = users[triples->user[r]];
		triples->item[r] = items[triples->item[r]];
	}
}

static FmRatings
canonical_ratings(FmTriples *triples)
{
	int32_t *users;
	int32_t *items;
	FmRatings ratings;

	fm_canonical_order(triples, USERS, ITEMS, &host, &users, &items);
	to_canonical(triples, users, items);
	ratings = build_ratings(triples, USERS, ITEMS);
	host.release(host.ctx, users);
	host.release(host.ctx, items);
	return ratings;
}

static void
test_canonical_order(bool weighted)
{
	int32_t users[USERS];
	int32_t items[ITEMS];
	FmTriples triples = random_triples(weighted);
	FmTriples renamed;
	FmRatings first;
	FmRatings second;

	for (int32_t u = 0; u < USERS; u++)
		users[u] = (u * 7 + 5) % USERS;
	for (int32_t i = 0; i < ITEMS; i++)
		items[i] = (i * 7 + 5) % ITEMS;
	renamed = relabel(&triples, users, items);
	first = canonical_ratings(&triples);
	second = canonical_ratings(&renamed);
	ok(memcmp(first.user_item, second.user_item, ROWS * sizeof(int32_t)) == 0 &&
		   memcmp(first.user_value, second.user_value, ROWS * sizeof(float)) == 0 &&
		   memcmp(first.item_user, second.item_user, ROWS * sizeof(int32_t)) == 0 &&
		   (!weighted || memcmp(first.user_weight, second.user_weight, ROWS * sizeof(float)) == 0),
	   "neither labels nor the order of the rows matter");
	free_ratings(&first);
	free_ratings(&second);
	free_triples(&triples);
	free_triples(&renamed);
}

static void
test_hold_out(bool weighted)
{
	FmTriples triples = random_triples(weighted);
	FmRatings ratings = build_ratings(&triples, USERS, ITEMS);
	FmRatings other = build_ratings(&triples, USERS, ITEMS);
	FmTriples held_out;
	FmTriples held_out_otherwise;

	fm_ratings_hold_out(&ratings, 0.25, 1, &host, &held_out);
	ok(held_out.count > ROWS / 8 && held_out.count < ROWS / 2, "about a share is held out");
	ok(ratings.num_ratings + held_out.count == ROWS &&
		   ratings.user_start[USERS] == ratings.num_ratings &&
		   ratings.item_start[ITEMS] == ratings.num_ratings,
	   "the rest remains");
	ok(fabs(sum_by_user(&ratings) + sum_of_triples(&held_out) - sum_of_triples(&triples)) < 1e-6 &&
		   fabs(sum_by_item(&ratings) - sum_by_user(&ratings)) < 1e-6,
	   "nothing is lost or doubled");
	ok(both_sorted(&ratings), "what remains is sorted");
	fm_ratings_hold_out(&other, 0.25, 2, &host, &held_out_otherwise);
	ok(fabs(sum_of_triples(&held_out) - sum_of_triples(&held_out_otherwise)) > 1e-6,
	   "another seed holds out others");
	free_triples(&held_out);
	free_triples(&held_out_otherwise);
	free_ratings(&ratings);
	free_ratings(&other);
	free_triples(&triples);
}

/* Weights do not matter to the order: they may be multiplied by a constant, and then rounded. */
static void
test_weights_order(void)
{
	int32_t *users, *items, *other_users, *other_items;
	FmTriples triples = random_triples(true);

	fm_canonical_order(&triples, USERS, ITEMS, &host, &users, &items);
	for (int r = 0; r < ROWS; r++)
		triples.weight[r] *= 1.7f + (float) r;
	fm_canonical_order(&triples, USERS, ITEMS, &host, &other_users, &other_items);
	ok(memcmp(users, other_users, sizeof(int32_t) * USERS) == 0 &&
		   memcmp(items, other_items, sizeof(int32_t) * ITEMS) == 0,
	   "the canonical order does not depend on weights");
	host.release(host.ctx, users);
	host.release(host.ctx, items);
	host.release(host.ctx, other_users);
	host.release(host.ctx, other_items);
	free_triples(&triples);
}

/* Return whether a pair is among ratings and among those held out. */
static bool
any_is_split(const FmRatings *ratings, const FmTriples *held_out)
{
	for (int64_t r = 0; r < held_out->count; r++)
		for (int64_t at = ratings->user_start[held_out->user[r]];
			 at < ratings->user_start[held_out->user[r] + 1]; at++)
			if (ratings->user_item[at] == held_out->item[r])
				return true;
	return false;
}

/* The rows of a pair are in one part. */
static void
test_pairs_stay_together(void)
{
	FmTriples triples = random_triples(false), held_out;
	FmRatings ratings = build_ratings(&triples, USERS, ITEMS);

	fm_ratings_hold_out(&ratings, 0.5, 3, &host, &held_out);
	ok(held_out.count > 0 && !any_is_split(&ratings, &held_out), "no pair is in both parts");
	free_triples(&held_out);
	free_ratings(&ratings);
	free_triples(&triples);
}

int
main(void)
{
	for (int weighted = 0; weighted < 2; weighted++)
	{
		test_orders(weighted);
		test_canonical_order(weighted);
		test_hold_out(weighted);
	}
	test_weights_order();
	test_pairs_stay_together();
	return done_testing();
}
