/*
 * Ranks of relevant items by counting, for metrics of lists that are never made (ranking.h).
 *
 * A relevant item's rank is one more than the number of items above it. All other items are
 * compared only with the relevant ones, which are sorted: with all of them, in loops without a
 * branch, if they are few; else by a binary search. BLAS computes the scores.
 *
 * Memory: the scores of a block of users, and one user's lists, from the host.
 */
#include "core/model/ranking.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/bitset.h"
#include "core/math/lapack.h"

/*
 * A block has many users, because sgemm copies all vectors of items for each block, which takes as
 * long as the products of some thirty users. The scores of a block take 32 MB at most.
 */
#define BLOCK_SCORES (1 << 23)
#define BLOCK_USERS 256

/* Up to this many relevant items, comparing all items with each is faster than searching. */
#define FEW_RELEVANT 48

void
fm_score_all(const float *rows, int32_t num_items, int dim, const float *queries, int num_queries,
			 float *scores)
{
	float one = 1, zero = 0;

	sgemm_("T", "N", &num_items, &num_queries, &dim, &one, rows, &dim, queries, &dim, &zero, scores,
		   &num_items, 1, 1);
}

/* Return whether item a is above item b. */
static bool
stands_above(const float *scores, int32_t a, int32_t b)
{
	return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
}

/* Shell sort, by the gaps of Ciura (2001): there is no qsort with an argument in standard C. */
static void
sort_items(const float *scores, int32_t *items, int32_t count)
{
	static const int32_t gaps[] = {701, 301, 132, 57, 23, 10, 4, 1};

	for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++)
		for (int32_t i = gaps[g]; i < count; i++)
		{
			int32_t item = items[i], j = i;

			for (; j >= gaps[g] && stands_above(scores, item, items[j - gaps[g]]); j -= gaps[g])
				items[j] = items[j - gaps[g]];
			items[j] = item;
		}
}

int
fm_score_block(int32_t num_items)
{
	int32_t users = BLOCK_SCORES / (num_items > 0 ? num_items : 1);

	return users < 1 ? 1 : users < BLOCK_USERS ? users : BLOCK_USERS;
}

/* Return how many of all items stand above one of them. */
static int64_t
count_above(const float *scores, int32_t num_items, int32_t item)
{
	float score = scores[item];
	int32_t count = 0;

	for (int32_t i = 0; i < item; i++)
		count += scores[i] >= score;
	for (int32_t i = item + 1; i < num_items; i++)
		count += scores[i] > score;
	return count;
}

/* Count for each relevant item the eligible ones above it, relevant or not. */
static void
count_for_few(const float *scores, int32_t num_items, const uint64_t *excluded,
			  const int32_t *relevant, int32_t num_relevant, int64_t *above)
{
	for (int32_t r = 0; r < num_relevant; r++)
		above[r] = count_above(scores, num_items, relevant[r]);
	for (int32_t word = 0; word <= (num_items - 1) / 64; word++)
		for (uint64_t rest = excluded[word]; rest != 0; rest &= rest - 1)
		{
			int32_t item = word * 64 + __builtin_ctzll(rest);

			for (int32_t r = 0; r < num_relevant && item < num_items; r++)
				above[r] -= stands_above(scores, item, relevant[r]);
		}
}

static void
count_for_many(const float *scores, int32_t num_items, const uint64_t *excluded,
			   const int32_t *relevant, int32_t num_relevant, int64_t *above)
{
	memset(above, 0, num_relevant * sizeof(int64_t));
	for (int32_t item = 0; item < num_items; item++)
	{
		int32_t low = 0, high = num_relevant;

		if (fm_bitset_has(excluded, item))
			continue;
		/* this item is above all relevant items from `low` on */
		while (low < high)
		{
			int32_t middle = low + (high - low) / 2;

			if (stands_above(scores, item, relevant[middle]))
				high = middle;
			else
				low = middle + 1;
		}
		if (low < num_relevant)
			above[low]++;
	}
	for (int32_t r = 1; r < num_relevant; r++)
		above[r] += above[r - 1];
}

static int32_t
count_excluded(const uint64_t *excluded, int32_t num_items)
{
	int32_t count = 0, word = 0;

	for (; word < num_items / 64; word++)
		count += __builtin_popcountll(excluded[word]);
	for (int32_t item = word * 64; item < num_items; item++)
		count += fm_bitset_has(excluded, item);
	return count;
}

int64_t
fm_rank_relevant(const float *scores, int32_t num_items, const uint64_t *excluded,
				 int32_t *relevant, int32_t num_relevant, int64_t *above)
{
	sort_items(scores, relevant, num_relevant);
	if (num_relevant <= FEW_RELEVANT)
		count_for_few(scores, num_items, excluded, relevant, num_relevant, above);
	else
		count_for_many(scores, num_items, excluded, relevant, num_relevant, above);
	/* until here the relevant items before it are counted as well */
	for (int32_t r = 0; r < num_relevant; r++)
		above[r] -= r;
	return num_items - num_relevant - count_excluded(excluded, num_items);
}

double
fm_ranking_auc(const int64_t *above, int32_t num_relevant, int64_t others)
{
	double sum = 0;

	for (int32_t r = 0; r < num_relevant; r++)
		sum += (double) above[r];
	return 1 - sum / ((double) num_relevant * (double) others);
}

/* The state of an evaluation: the scores of a block of users, and the lists of one. */
typedef struct Ranker
{
	const FmListTest *test;
	const FmHost *host;
	FmListSums *sums;
	FmRatings held_out; /* by user */
	int32_t *users;		/* those whose lists are evaluated */
	int32_t num_users;
	int block;		/* users in a block */
	float *queries; /* block × dim */
	float *scores;	/* block × num_items */
	uint64_t *excluded;
	int32_t *relevant;
	int64_t *above;
	unsigned char *is_hit;
} Ranker;

static void
set_items(uint64_t *set, const FmRatings *ratings, int32_t user, bool on)
{
	for (int64_t r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
	{
		int32_t item = ratings->user_item[r];

		if (on)
			fm_bitset_add(set, item);
		else
			fm_bitset_remove(set, item);
	}
}

/* List a user's relevant items, each once. The excluded set is only borrowed for that. */
static int32_t
list_relevant(Ranker *ranker, int32_t user)
{
	const FmRatings *ratings = &ranker->held_out;
	int32_t count = 0;

	for (int64_t r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
	{
		int32_t item = ratings->user_item[r];

		if (ratings->user_value[r] < ranker->test->least_relevant ||
			fm_bitset_has(ranker->excluded, item))
			continue;
		ranker->relevant[count++] = item;
		fm_bitset_add(ranker->excluded, item);
	}
	set_items(ranker->excluded, ratings, user, false);
	return count;
}

/* Rank by these scores; return the ndcg. */
static double
add_list(Ranker *ranker, const float *scores, int32_t num_relevant, FmRankingSums *sums)
{
	const FmListTest *test = ranker->test;
	int64_t others = fm_rank_relevant(scores, test->trained->num_items, ranker->excluded,
									  ranker->relevant, num_relevant, ranker->above);
	int64_t eligible = others + num_relevant;
	int32_t length = eligible < test->x ? (int32_t) eligible : test->x;

	memset(ranker->is_hit, 0, test->x);
	for (int32_t r = 0; r < num_relevant && ranker->above[r] + r < length; r++)
		ranker->is_hit[ranker->above[r] + r] = 1;
	if (others > 0)
		fm_add_auc(sums, fm_ranking_auc(ranker->above, num_relevant, others));
	return fm_add_ranking(sums, ranker->is_hit, length, test->x, num_relevant);
}

static void
rank_user(Ranker *ranker, int32_t user, const float *scores)
{
	const FmListTest *test = ranker->test;
	int32_t num_relevant = list_relevant(ranker, user);
	double ndcg, baseline;

	set_items(ranker->excluded, test->trained, user, true);
	set_items(ranker->excluded, &ranker->held_out, user, false);
	ndcg = add_list(ranker, scores, num_relevant, &ranker->sums->lists);
	baseline = add_list(ranker, test->baseline->standing, num_relevant, &ranker->sums->baseline);
	fm_add_difference(&ranker->sums->worse, baseline - ndcg);
	set_items(ranker->excluded, test->trained, user, false);
}

/* Score and rank a block of users. */
static void
rank_block(Ranker *ranker, const int32_t *users, int count)
{
	const FmListTest *test = ranker->test;
	int32_t num_items = test->trained->num_items;

	for (int u = 0; u < count; u++)
		test->make_query(test->state, users[u], ranker->queries + (size_t) u * test->dim);
	fm_score_all(test->rows, num_items, test->dim, ranker->queries, count, ranker->scores);
	for (int u = 0; u < count; u++)
		rank_user(ranker, users[u], ranker->scores + (size_t) num_items * u);
}

/* List the users with relevant items; evenly spaced ones if they are more than wanted. */
static void
choose_users(Ranker *ranker)
{
	const FmRatings *ratings = &ranker->held_out;
	int32_t count = 0, wanted = ranker->test->max_users;

	for (int32_t user = 0; user < ratings->num_users; user++)
		for (int64_t r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
			if (ratings->user_value[r] >= ranker->test->least_relevant)
			{
				ranker->users[count++] = user;
				break;
			}
	ranker->num_users = count < wanted ? count : wanted;
	for (int64_t u = 0; u < ranker->num_users; u++)
		ranker->users[u] = ranker->users[u * count / ranker->num_users];
}

static void
release_ranker(Ranker *ranker)
{
	const FmHost *host = ranker->host;
	void *arrays[] = {ranker->users,
					  ranker->queries,
					  ranker->scores,
					  ranker->excluded,
					  ranker->relevant,
					  ranker->above,
					  ranker->is_hit,
					  ranker->held_out.user_start,
					  ranker->held_out.user_item,
					  ranker->held_out.user_value};

	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		host->release(host->ctx, arrays[i]);
	if (ranker->held_out.user_weight != NULL)
		host->release(host->ctx, ranker->held_out.user_weight);
	if (ranker->held_out.user_context != NULL)
		host->release(host->ctx, ranker->held_out.user_context);
}

void
fm_rank_held_out(const FmListTest *test, const FmHost *host, FmListSums *sums)
{
	size_t num_items = test->trained->num_items, num_users = test->trained->num_users;
	Ranker ranker = {.test = test, .host = host, .sums = sums};

	fm_ratings_by_user(test->held_out, (int32_t) num_users, (int32_t) num_items, host,
					   &ranker.held_out);
	ranker.block = fm_score_block((int32_t) num_items);
	ranker.users = host->alloc(host->ctx, num_users + 1, sizeof(int32_t));
	ranker.queries = host->alloc(host->ctx, (size_t) ranker.block * test->dim, sizeof(float));
	ranker.scores = host->alloc(host->ctx, num_items * ranker.block, sizeof(float));
	ranker.excluded = host->alloc(host->ctx, fm_bitset_words(num_items), sizeof(uint64_t));
	ranker.relevant = host->alloc(host->ctx, num_items, sizeof(int32_t));
	ranker.above = host->alloc(host->ctx, num_items, sizeof(int64_t));
	ranker.is_hit = host->alloc(host->ctx, test->x, 1);
	choose_users(&ranker);
	for (int32_t begin = 0; begin < ranker.num_users; begin += ranker.block)
	{
		int left = ranker.num_users - begin;

		host->check_interrupts(host->ctx);
		rank_block(&ranker, ranker.users + begin, left < ranker.block ? left : ranker.block);
	}
	release_ranker(&ranker);
}
