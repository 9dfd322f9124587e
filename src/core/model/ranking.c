/*
 * Ranks of relevant items by counting, for metrics of lists that are never made (ranking.h).
 *
 * A relevant item's rank is one more than the number of items above it. All other items are
 * compared only with the relevant ones, which are few and sorted. So a user costs items ×
 * log(relevant), besides the scores, which BLAS computes.
 *
 * Memory: the scores of a block of users, and one user's lists, from the host.
 */
#include "core/model/ranking.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/bitset.h"
#include "core/math/lapack.h"

#define BLOCK_USERS 16

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

int64_t
fm_rank_relevant(const float *scores, int32_t num_items, const uint64_t *excluded,
				 int32_t *relevant, int32_t num_relevant, int64_t *above)
{
	int64_t others = -num_relevant;

	sort_items(scores, relevant, num_relevant);
	memset(above, 0, num_relevant * sizeof(int64_t));
	for (int32_t item = 0; item < num_items; item++)
	{
		int32_t low = 0, high = num_relevant;

		if (fm_bitset_has(excluded, item))
			continue;
		others++;
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
	/* until here the relevant items before it are counted as well */
	for (int32_t r = 0; r < num_relevant; r++)
		above[r] -= r;
	return others;
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
	const FmParameters *parameters;
	const FmRatings *trained;
	const FmRatings *held_out;
	int32_t x;
	FmRankingSums *sums;
	float *scores; /* BLOCK_USERS × num_items */
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
	const FmRatings *ratings = ranker->held_out;
	int32_t count = 0;

	for (int64_t r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
	{
		int32_t item = ratings->user_item[r];

		if (!fm_bitset_has(ranker->excluded, item))
			ranker->relevant[count++] = item;
		fm_bitset_add(ranker->excluded, item);
	}
	set_items(ranker->excluded, ratings, user, false);
	return count;
}

static void
rank_user(Ranker *ranker, int32_t user, float *scores)
{
	int32_t num_items = ranker->trained->num_items, num_relevant = list_relevant(ranker, user);
	int64_t others, length;

	for (int32_t item = 0; item < num_items; item++)
		scores[item] += ranker->parameters->item_w[item];
	set_items(ranker->excluded, ranker->trained, user, true);
	set_items(ranker->excluded, ranker->held_out, user, false);
	others = fm_rank_relevant(scores, num_items, ranker->excluded, ranker->relevant, num_relevant,
							  ranker->above);
	set_items(ranker->excluded, ranker->trained, user, false);

	length = others + num_relevant < ranker->x ? others + num_relevant : ranker->x;
	memset(ranker->is_hit, 0, ranker->x);
	for (int32_t r = 0; r < num_relevant && ranker->above[r] + r < length; r++)
		ranker->is_hit[ranker->above[r] + r] = 1;
	fm_add_ranking(ranker->sums, ranker->is_hit, (int32_t) length, ranker->x, num_relevant);
	if (others > 0)
		fm_add_auc(ranker->sums, fm_ranking_auc(ranker->above, num_relevant, others));
}

static void
release_rows(FmRatings *by_user, const FmHost *host)
{
	host->release(host->ctx, by_user->user_start);
	host->release(host->ctx, by_user->user_item);
	host->release(host->ctx, by_user->user_value);
	if (by_user->user_weight != NULL)
		host->release(host->ctx, by_user->user_weight);
}

void
fm_rank_held_out(const FmParameters *parameters, const FmRatings *trained,
				 const FmTriples *held_out, int32_t x, const FmHost *host, FmRankingSums *sums)
{
	size_t num_items = trained->num_items;
	int k = parameters->num_factors;
	FmRatings by_user;
	Ranker ranker = {
		.parameters = parameters, .trained = trained, .held_out = &by_user, .x = x, .sums = sums};

	fm_ratings_by_user(held_out, trained->num_users, trained->num_items, host, &by_user);
	ranker.scores = host->alloc(host->ctx, num_items * BLOCK_USERS, sizeof(float));
	ranker.excluded = host->alloc(host->ctx, fm_bitset_words(num_items), sizeof(uint64_t));
	ranker.relevant = host->alloc(host->ctx, num_items, sizeof(int32_t));
	ranker.above = host->alloc(host->ctx, num_items, sizeof(int64_t));
	ranker.is_hit = host->alloc(host->ctx, x, 1);
	for (int32_t begin = 0; begin < trained->num_users; begin += BLOCK_USERS)
	{
		int left = trained->num_users - begin;
		int count = left < BLOCK_USERS ? left : BLOCK_USERS;

		host->check_interrupts(host->ctx);
		fm_score_all(parameters->item_v, trained->num_items, k,
					 parameters->user_v + (size_t) begin * k, count, ranker.scores);
		for (int u = 0; u < count; u++)
			if (by_user.user_start[begin + u] < by_user.user_start[begin + u + 1])
				rank_user(&ranker, begin + u, ranker.scores + num_items * u);
	}
	host->release(host->ctx, ranker.scores);
	host->release(host->ctx, ranker.excluded);
	host->release(host->ctx, ranker.relevant);
	host->release(host->ctx, ranker.above);
	host->release(host->ctx, ranker.is_hit);
	release_rows(&by_user, host);
}
