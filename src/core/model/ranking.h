/*
 * The ranks of a user's relevant items in the list of all items.
 *
 * The list is that of fm_top_x: eligible items by descending score, ties by ascending index. It is
 * never made; items are counted. Scores are in single precision.
 */
#ifndef FMTOPX_CORE_RANKING_H
#define FMTOPX_CORE_RANKING_H

#include "core/model/baseline.h"
#include "core/model/parameters.h"

/*
 * Compute scores[u × num_items + i], the inner product of query u and row i, for num_queries and
 * num_items vectors of `dim` numbers.
 */
extern void fm_score_all(const float *rows, int32_t num_items, int dim, const float *queries,
						 int num_queries, float *scores);

/* Return how many users to score at once: as many as BLAS has use for, if memory allows. */
extern int fm_score_block(int32_t num_items);

/*
 * Sort a user's relevant items (distinct, num_relevant ≥ 1) into the order of the list, and count
 * for each the eligible items above it that are not relevant. `excluded` is the set of items that
 * are not eligible, none of them relevant. Return the number of eligible items that are not
 * relevant.
 */
extern int64_t fm_rank_relevant(const float *scores, int32_t num_items, const uint64_t *excluded,
								int32_t *relevant, int32_t num_relevant, int64_t *above);

/*
 * Return the area under the ROC curve: the share of pairs of a relevant item and another in which
 * the relevant one is higher; `others` > 0.
 */
extern double fm_ranking_auc(const int64_t *above, int32_t num_relevant, int64_t others);

/* Make the vector whose product with an item's orders a user's list. */
typedef void (*FmQueryMaker)(const void *state, int32_t user, float *query);

/*
 * What fm_rank_held_out evaluates: lists of length x, ordered by the product of the user's vector
 * and the item's, of `dim` numbers each. A user's ratings that were trained on are not eligible,
 * unless they are held out as well. Held-out ratings from least_relevant on are relevant.
 */
typedef struct FmListTest
{
	const float *rows; /* of all items */
	int dim;
	FmQueryMaker make_query;
	const void *state; /* passed to it */
	const FmRatings *trained;
	const FmTriples *held_out;
	const FmBaseline *baseline; /* of the ratings trained on */
	double least_relevant;
	int32_t x;
	int32_t max_users; /* of more, this many evenly spaced ones are evaluated */
} FmListTest;

typedef struct FmListSums
{
	FmRankingSums lists;
	FmRankingSums baseline; /* of the most popular items */
	FmDifference worse;		/* in ndcg: by how much the baseline is better */
} FmListSums;

extern void fm_rank_held_out(const FmListTest *test, const FmHost *host, FmListSums *sums);

#endif
