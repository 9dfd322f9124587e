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
new_triples(const FmHost *host, int64_t rows)
{
	return (FmTriples){0, host->alloc(host->ctx, rows, sizeof(int32_t)),
					   host->alloc(host->ctx, rows, sizeof(int32_t)),
					   host->alloc(host->ctx, rows, sizeof(float))};
}

static void
free_triples(const FmHost *host, FmTriples *triples)
{
	host->release(host->ctx, triples->user);
	host->release(host->ctx, triples->item);
	host->release(host->ctx, triples->value);
}

static void
add(FmTriples *triples, int32_t user, int32_t item, float value)
{
	triples->user[triples->count] = user;
	triples->item[triples->count] = item;
	triples->value[triples->count++] = value;
}

static FmTriples
random_triples(const FmHost *host)
{
	FmTriples triples = new_triples(host, ROWS);

	srand(7);
	for (int r = 0; r < ROWS; r++)
		add(&triples, rand() % USERS, rand() % ITEMS, (float) (rand() % 9) / 2);
	return triples;
}

/* The same rows with users and items renamed and in another order. */
static FmTriples
relabel(const FmHost *host, const FmTriples *triples, const int32_t *users, const int32_t *items)
{
	FmTriples renamed = new_triples(host, triples->count);

	for (int64_t r = 0; r < triples->count; r++)
	{
		int64_t from = (r * 7 + 3) % triples->count; /* 7 and 600 have no common divisor */

		add(&renamed, users[triples->user[from]], items[triples->item[from]], triples->value[from]);
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
}

static double
row_key(int32_t user, int32_t item, float value)
{
	return (user * 1000.0 + item) * 1000.0 + value;
}

/* Rows ascending by neighbour, then by value; the sum of keys identifies the multiset well enough. */
static bool
is_sorted(const int64_t *start, const int32_t *other, const float *value, int32_t count)
{
	for (int32_t e = 0; e < count; e++)
		for (int64_t r = start[e] + 1; r < start[e + 1]; r++)
			if (other[r - 1] > other[r] || (other[r - 1] == other[r] && value[r - 1] > value[r]))
				return false;
	return true;
}

static double
sum_by_user(const FmRatings *ratings)
{
	double sum = 0;

	for (int32_t u = 0; u < ratings->num_users; u++)
		for (int64_t r = ratings->user_start[u]; r < ratings->user_start[u + 1]; r++)
			sum += sqrt(1 + row_key(u, ratings->user_item[r], ratings->user_value[r]));
	return sum;
}

static double
sum_by_item(const FmRatings *ratings)
{
	double sum = 0;

	for (int32_t i = 0; i < ratings->num_items; i++)
		for (int64_t r = ratings->item_start[i]; r < ratings->item_start[i + 1]; r++)
			sum += sqrt(1 + row_key(ratings->item_user[r], i, ratings->item_value[r]));
	return sum;
}

static double
sum_of_triples(const FmTriples *triples)
{
	double sum = 0;

	for (int64_t r = 0; r < triples->count; r++)
		sum += sqrt(1 + row_key(triples->user[r], triples->item[r], triples->value[r]));
	return sum;
}

static void
test_orders(const FmHost *host)
{
	FmTriples triples = random_triples(host);
	FmRatings ratings = build(host, &triples);

	check(ratings.user_start[USERS] == ROWS && ratings.item_start[ITEMS] == ROWS,
		  "both orders hold every rating");
	check(fabs(sum_by_user(&ratings) - sum_of_triples(&triples)) < 1e-6 &&
			  fabs(sum_by_item(&ratings) - sum_of_triples(&triples)) < 1e-6,
		  "both orders hold the same ratings");
	check(is_sorted(ratings.user_start, ratings.user_item, ratings.user_value, USERS) &&
			  is_sorted(ratings.item_start, ratings.item_user, ratings.item_value, ITEMS),
		  "rows are sorted by neighbour and value");
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
test_canonical_order(const FmHost *host)
{
	int32_t users[USERS];
	int32_t items[ITEMS];
	FmTriples triples = random_triples(host);
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
			  memcmp(first.item_user, second.item_user, ROWS * sizeof(int32_t)) == 0,
		  "neither labels nor the order of the rows matter");
	free_ratings(host, &first);
	free_ratings(host, &second);
	free_triples(host, &triples);
	free_triples(host, &renamed);
}

static void
test_hold_out(const FmHost *host)
{
	FmTriples triples = random_triples(host);
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
	check(is_sorted(ratings.user_start, ratings.user_item, ratings.user_value, USERS) &&
			  is_sorted(ratings.item_start, ratings.item_user, ratings.item_value, ITEMS),
		  "what remains is sorted");
	fm_ratings_hold_out(&other, 0.25, 2, host, &held_out_otherwise);
	check(fabs(sum_of_triples(&held_out) - sum_of_triples(&held_out_otherwise)) > 1e-6,
		  "another seed holds out others");
	free_triples(host, &held_out);
	free_triples(host, &held_out_otherwise);
	free_ratings(host, &ratings);
	free_ratings(host, &other);
	free_triples(host, &triples);
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

	test_orders(&host);
	test_canonical_order(&host);
	test_hold_out(&host);
	test_ranking_metrics();
	printf("1..%d\n", tests);
	return failures > 0;
}
