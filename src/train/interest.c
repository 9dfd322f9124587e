/*
 * What the interest head of a training learns from: who rated what, and how strongly that counts.
 *
 * The head is a ranking of the same pairs (core/train/ials.c). Ratings of one pair in several
 * contexts are one pair with their mean. Memory: the current context.
 */
#include "train/interest.h"

#include "pg/compat.h"
#include "utils/memutils.h"

static void *
allocate(int64 count, Size size)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, (Size) (count + 1) * size);
}

/*
 * Append the pairs of a user to the pairs, with the mean of their ratings and the sum of their
 * weights.
 */
static void
append_pairs(const FmRatings *ratings, int32 user, FmRatings *pairs)
{
	int64 at = pairs->num_ratings;

	for (int64 r = ratings->user_start[user], end; r < ratings->user_start[user + 1]; r = end, at++)
	{
		double weight = 0, sum = 0;

		for (end = r; end < ratings->user_start[user + 1] &&
					  ratings->user_item[end] == ratings->user_item[r];
			 end++)
		{
			double own = ratings->user_weight == NULL ? 1 : ratings->user_weight[end];

			weight += own;
			sum += own * ratings->user_value[end];
		}
		pairs->user_item[at] = ratings->user_item[r];
		pairs->user_value[at] = end == r + 1 ? ratings->user_value[r] : (float) (sum / weight);
		if (pairs->user_weight != NULL)
			pairs->user_weight[at] = (float) weight;
	}
	pairs->num_ratings = pairs->user_start[user + 1] = at;
}

/* Return the pairs in the order of the users alone. */
static FmRatings
pairs_by_user(const FmRatings *ratings)
{
	FmRatings pairs = {.num_users = ratings->num_users,
					   .num_items = ratings->num_items,
					   .user_start = allocate(ratings->num_users, sizeof(int64)),
					   .user_item = allocate(ratings->num_ratings, sizeof(int32)),
					   .user_value = allocate(ratings->num_ratings, sizeof(float))};

	if (ratings->user_weight != NULL)
		pairs.user_weight = allocate(ratings->num_ratings, sizeof(float));
	pairs.user_start[0] = 0;
	for (int32 user = 0; user < ratings->num_users; user++)
	{
		append_pairs(ratings, user, &pairs);
		CHECK_FOR_INTERRUPTS();
	}
	return pairs;
}

FmTriples
fm_interest_pairs(const FmRatings *ratings, bool learn, const FmHost *host, FmStrength *strength)
{
	FmRatings pairs = pairs_by_user(ratings);
	FmTriples triples = {.count = pairs.num_ratings,
						 .user = allocate(pairs.num_ratings, sizeof(int32)),
						 .item = pairs.user_item,
						 .value = allocate(pairs.num_ratings, sizeof(float)),
						 .weight = allocate(pairs.num_ratings, sizeof(float))};

	if (learn)
		fm_strength_learn(pairs.user_weight == NULL ? FM_STRENGTH_RATINGS : FM_STRENGTH_BOTH,
						  &pairs, host, strength);
	for (int32 user = 0; user < pairs.num_users; user++)
	{
		int64 begin = pairs.user_start[user], end = pairs.user_start[user + 1];

		fm_strengths_of_user(strength, pairs.user_value + begin,
							 pairs.user_weight == NULL ? NULL : pairs.user_weight + begin,
							 end - begin, host, triples.weight + begin);
		for (int64 r = begin; r < end; r++)
		{
			triples.user[r] = user;
			triples.value[r] = 1;
		}
	}
	pfree(pairs.user_start);
	pfree(pairs.user_value);
	if (pairs.user_weight != NULL)
		pfree(pairs.user_weight);
	return triples;
}

void
fm_weigh_by_recency(const FmRecency *recency, const FmTriples *pairs)
{
	for (int64 r = 0; r < pairs->count; r++)
		pairs->weight[r] *= fm_recency_factor(recency, pairs->user[r], pairs->item[r]);
}

void
fm_weigh_ratings_by_recency(const FmRecency *recency, const FmRatings *ratings)
{
	for (int32 user = 0; user < ratings->num_users; user++)
		for (int64 r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
			ratings->user_weight[r] *= fm_recency_factor(recency, user, ratings->user_item[r]);
	CHECK_FOR_INTERRUPTS();
	for (int32 item = 0; item < ratings->num_items; item++)
		for (int64 r = ratings->item_start[item]; r < ratings->item_start[item + 1]; r++)
			ratings->item_weight[r] *= fm_recency_factor(recency, ratings->item_user[r], item);
}

float *
fm_equal_weights(int64_t count)
{
	float *weights = allocate(count, sizeof(float));

	for (int64 r = 0; r < count; r++)
		weights[r] = 1;
	return weights;
}
