/*
 * Ratings: both compressed orders, the canonical order, the held-out share; and the ranking metrics.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/metrics.h"
#include "core/ratings.h"
#include "host_test.h"

#define USERS 40
#define ITEMS 25
#define ROWS 600

static int tests = 0;
static int failures = 0;

static void
check(bool passed, const char *name)
{
	printf("%sok %d - %s\n", passed ? "" : "not ", ++tests, name);
	failures += !passed;
}

static FmTriples
new_triples(const FmHost *host, int64_t rows, bool weighted)
{
	return (FmTriples){0,
					   host->alloc(host->ctx, rows, sizeof(int32_t)),
					   host->alloc(host->ctx, rows, sizeof(int32_t)),
					   host->alloc(host->ctx, rows, sizeof(float)),
					   weighted ? host->alloc(host->ctx, rows, sizeof(float)) : NULL,
					   NULL};
}

static void
free_triples(const FmHost *host, FmTriples *triples)
{
	host->release(host->ctx, triples->user);
	host->release(host->ctx, triples->item);
	host->release(host->ctx, triples->value);
	host->release(host->ctx, triples->weight);
}

static void
add(FmTriples *triples, int32_t user, int32_t item, float value, float weight)
{
	if (triples->weight)
		triples->weight[triples->count] = weight;
	triples->user[triples->count] = user;
	triples->item[triples->count] = item;
	triples->value[triples->count++] = value;
}

static FmTriples
random_triples(const FmHost *host, bool weighted)
{
	FmTriples triples = new_triples(host, ROWS, weighted);

	srand(7);
	for (int r = 0; r < ROWS; r++)
		add(&triples, rand() % USERS, rand() % ITEMS, (float) (rand() % 9) / 2,
			(float) (rand() % 5 + 1) / 4);
	return triples;
}

/* The same rows with users and items renamed and in another order. */
static FmTriples
relabel(const FmHost *host, const FmTriples *triples, const int32_t *users, const int32_t *items)
{
	FmTriples renamed = new_triples(host, triples->count, triples->weight != NULL);

	for (int64_t r = 0; r < triples->count; r++)
	{
		int64_t from = (r * 7 + 3) % triples->count; /* 7 and 600 have no common divisor */

		add(&renamed, users[triples->user[from]], items[triples->item[from]], triples->value[from],
			triples->weight ? triples->weight[from] : 1);
	}
	return renamed;
}

static FmRatings
build(const FmHost *host, const FmTriples *triples)
{
	FmRatings ratings;

	fm_ratings_by_user(triples, USERS, ITEMS, host, &ratings);
	fm_ratings_complete(&ratings, host);
	return ratings;
}

static void
free_ratings(const FmHost *host, FmRatings *ratings)
{
	host->release(host->ctx, ratings->user_start);
	host->release(host->ctx, ratings->user_item);
	host->release(host->ctx, ratings->user_value);
	host->release(host->ctx, ratings->item_start);
	host->release(host->ctx, ratings->item_user);
	host->release(host->ctx, ratings->item_value);
	host->release(host->ctx, ratings->user_weight);
	host->release(host->ctx, ratings->item_weight);
}

/* The sum of the keys of all rows identifies the multiset well enough. */
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

/* Rows ascending by neighbour, then by value, then by weight. */
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
test_orders(const FmHost *host, bool weighted)
{
	FmTriples triples = random_triples(host, weighted);
	FmRatings ratings = build(host, &triples);

	check(ratings.user_start[USERS] == ROWS && ratings.item_start[ITEMS] == ROWS,
		  weighted ? "with weights, both orders hold every rating"
				   : "both orders hold every rating");
	check(fabs(sum_by_user(&ratings) - sum_of_triples(&triples)) < 1e-6 &&
			  fabs(sum_by_item(&ratings) - sum_of_triples(&triples)) < 1e-6,
		  "both orders hold the same ratings");
	check(both_sorted(&ratings), "rows are sorted by neighbour and value");
	check((ratings.user_weight != NULL) == weighted && (ratings.item_weight != NULL) == weighted,
		  "weights are there if they were given");
	free_ratings(host, &ratings);
	free_triples(host, &triples);
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
canonical_ratings(const FmHost *host, FmTriples *triples)
{
	int32_t *users;
	int32_t *items;
	FmRatings ratings;

	fm_canonical_order(triples, USERS, ITEMS, host, &users, &items);
	to_canonical(triples, users, items);
	ratings = build(host, triples);
	host->release(host->ctx, users);
	host->release(host->ctx, items);
	return ratings;
}

static void
test_canonical_order(const FmHost *host, bool weighted)
{
	int32_t users[USERS];
	int32_t items[ITEMS];
	FmTriples triples = random_triples(host, weighted);
	FmTriples renamed;
	FmRatings first;
	FmRatings second;

	for (int32_t u = 0; u < USERS; u++)
		users[u] = (u * 7 + 5) % USERS;
	for (int32_t i = 0; i < ITEMS; i++)
		items[i] = (i * 7 + 5) % ITEMS;
	renamed = relabel(host, &triples, users, items);
	first = canonical_ratings(host, &triples);
	second = canonical_ratings(host, &renamed);
	check(memcmp(first.user_item, second.user_item, ROWS * sizeof(int32_t)) == 0 &&
			  memcmp(first.user_value, second.user_value, ROWS * sizeof(float)) == 0 &&
			  memcmp(first.item_user, second.item_user, ROWS * sizeof(int32_t)) == 0 &&
			  (!weighted ||
			   memcmp(first.user_weight, second.user_weight, ROWS * sizeof(float)) == 0),
		  "neither labels nor the order of the rows matter");
	free_ratings(host, &first);
	free_ratings(host, &second);
	free_triples(host, &triples);
	free_triples(host, &renamed);
}

static void
test_hold_out(const FmHost *host, bool weighted)
{
	FmTriples triples = random_triples(host, weighted);
	FmRatings ratings = build(host, &triples);
	FmRatings other = build(host, &triples);
	FmTriples held_out;
	FmTriples held_out_otherwise;

	fm_ratings_hold_out(&ratings, 0.25, 1, host, &held_out);
	check(held_out.count > ROWS / 8 && held_out.count < ROWS / 2, "about a share is held out");
	check(ratings.num_ratings + held_out.count == ROWS &&
			  ratings.user_start[USERS] == ratings.num_ratings &&
			  ratings.item_start[ITEMS] == ratings.num_ratings,
		  "the rest remains");
	check(fabs(sum_by_user(&ratings) + sum_of_triples(&held_out) - sum_of_triples(&triples)) <
				  1e-6 &&
			  fabs(sum_by_item(&ratings) - sum_by_user(&ratings)) < 1e-6,
		  "nothing is lost or doubled");
	check(both_sorted(&ratings), "what remains is sorted");
	fm_ratings_hold_out(&other, 0.25, 2, host, &held_out_otherwise);
	check(fabs(sum_of_triples(&held_out) - sum_of_triples(&held_out_otherwise)) > 1e-6,
		  "another seed holds out others");
	free_triples(host, &held_out);
	free_triples(host, &held_out_otherwise);
	free_ratings(host, &ratings);
	free_ratings(host, &other);
	free_triples(host, &triples);
}

/* Weights are told apart where nothing else tells two entities apart. */
static void
test_weights_order(const FmHost *host)
{
	int32_t *users, *items, *swapped_users, *swapped_items;
	FmTriples triples = new_triples(host, 2, true);

	add(&triples, 0, 0, 1, 2);
	add(&triples, 1, 1, 1, 3);
	fm_canonical_order(&triples, 2, 2, host, &users, &items);
	triples.weight[0] = 3;
	triples.weight[1] = 2;
	fm_canonical_order(&triples, 2, 2, host, &swapped_users, &swapped_items);
	check(users[0] == swapped_users[1] && users[1] == swapped_users[0] &&
			  items[0] == swapped_items[1],
		  "the canonical order follows the weights");
	host->release(host->ctx, users);
	host->release(host->ctx, items);
	host->release(host->ctx, swapped_users);
	host->release(host->ctx, swapped_items);
	free_triples(host, &triples);
}

static void
test_errors(void)
{
	FmErrorSums sums = {0}, repeated = {0};

	fm_add_error(&sums, 1, 3, 2);
	fm_add_error(&sums, 1, 0, 1);
	for (int r = 0; r < 2; r++)
		fm_add_error(&repeated, 1, 3, 1);
	fm_add_error(&repeated, 1, 0, 1);
	check(fabs(fm_rmse(&sums) - sqrt(3)) < 1e-12 && fabs(fm_mae(&sums) - 5.0 / 3) < 1e-12 &&
			  fm_rmse(&sums) == fm_rmse(&repeated) && fm_mae(&sums) == fm_mae(&repeated),
		  "an error counts as often as its weight says");
}

static void
test_ranking_metrics(void)
{
	const unsigned char is_hit[] = {0, 1, 0, 1, 0};
	FmRankingSums sums = {0};

	fm_add_ranking(&sums, is_hit, 5, 5, 3);
	check(fabs(sums.precision - 2.0 / 5) < 1e-12 && fabs(sums.recall - 2.0 / 3) < 1e-12,
		  "precision and recall");
	check(fabs(sums.mrr - 0.5) < 1e-12, "reciprocal rank");
	check(fabs(sums.map - (1.0 / 2 + 2.0 / 4) / 3) < 1e-12, "average precision");
	check(fabs(sums.ndcg - (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3) + 0.5)) < 1e-12,
		  "normalised discounted gain");
}

int
main(void)
{
	long interrupt_checks = 0;
	FmHost host = test_host(&interrupt_checks);

	for (int weighted = 0; weighted < 2; weighted++)
	{
		test_orders(&host, weighted);
		test_canonical_order(&host, weighted);
		test_hold_out(&host, weighted);
	}
	test_weights_order(&host);
	test_errors();
	test_ranking_metrics();
	printf("1..%d\n", tests);
	return failures > 0;
}
