/*
 * Solving users and items against those of the other side (core/model/fold.c), for fm_fold_in.
 *
 * New items are solved against users, and users against items. So users are solved first, against
 * the items of the version; then the new items, against all users; then the same users again,
 * against all items.
 *
 * Locking: none. Memory: the current context, and the host, for the ratings in both orders.
 */
#include "operate/fold_solve.h"

#include "core/data/repeats.h"
#include "core/model/fold.h"
#include "pg/compat.h"
#include "train/interest.h"

/* What the solving of one side in one head needs. */
typedef struct Solving
{
	const FmFolding *folding;
	const FmRatings *ratings;
	int head;
	int side;
	const FmAllPairs *all_pairs; /* of a ranking, else NULL */
	FmFoldRow *rows;			 /* room for the ratings of one entity */
	float *theta;				 /* num_factors + 1 */
	float *mean;				 /* num_factors + 1 */
} Solving;

/* Return the prior of an entity. Its mean is what the features say, if they have been given. */
static FmPrior
prior_of(const Solving *solving, int32 e)
{
	const FmFoldingHead *head = &solving->folding->head[solving->head];
	const FmFoldingSide *own = &solving->folding->side[solving->side];
	const FmFoldingVectors *vectors = &own->head[solving->head];
	FmPrior prior = head->prior[solving->side];
	int k = head->num_factors;

	if (own->given[e])
	{
		memcpy(solving->mean, vectors->v + (Size) e * k, k * sizeof(float));
		solving->mean[k] = vectors->w[e];
		prior.mean = solving->mean;
	}
	return prior;
}

/* Set theta to an entity's solution by its ratings of usable entities; false if it has none. */
static bool
solve(const Solving *solving, int32 e)
{
	const FmFolding *folding = solving->folding;
	const FmFoldingHead *head = &folding->head[solving->head];
	const FmRatings *ratings = solving->ratings;
	bool is_user = solving->side == FM_USERS;
	const int64 *start = is_user ? ratings->user_start : ratings->item_start;
	const int32 *other = is_user ? ratings->user_item : ratings->item_user;
	const float *value = is_user ? ratings->user_value : ratings->item_value;
	const float *weight = is_user ? ratings->user_weight : ratings->item_weight;
	const FmFoldingVectors *others = &folding->side[1 - solving->side].head[solving->head];
	int k = head->num_factors;
	FmAllPairs all_pairs;
	FmPrior prior;
	int64 count = 0;

	for (int64 r = start[e]; r < start[e + 1]; r++)
		if (others->usable[other[r]])
			solving->rows[count++] = (FmFoldRow){others->v + (Size) other[r] * k,
												 head->offset + others->w[other[r]], value[r],
												 weight == NULL ? 1 : weight[r]};
	if (count == 0)
		return false;
	prior = prior_of(solving, e);
	if (solving->all_pairs != NULL)
	{
		all_pairs = *solving->all_pairs;
		if (solving->side == FM_ITEMS)
			all_pairs.weight *= fm_all_pairs_share((double) (start[e + 1] - start[e]));
	}
	fm_fold(&prior, k, head->task, head->noise_variance,
			solving->all_pairs != NULL ? &all_pairs : NULL, solving->rows, count, folding->host,
			solving->theta);
	return true;
}

/* Return the largest number of ratings that an entity of a side has. */
static int64
most_ratings(const int64 *start, int32 count)
{
	int64 most = 0;

	for (int32 e = 0; e < count; e++)
		most = Max(most, start[e + 1] - start[e]);
	return most;
}

float *
fm_folding_gram(const FmFolding *folding, int head, int side)
{
	const FmFoldingSide *entities = &folding->side[side];
	const FmFoldingVectors *vectors = &entities->head[head];
	const FmHost *host = folding->host;
	int k = folding->head[head].num_factors;
	size_t length = fm_all_pairs_length(k);
	float *gram = host->alloc(host->ctx, length, sizeof(float));

	/* of the items, the version has that of those that had ratings before; the others are added */
	fm_gram_of_side(folding->head[head].b, vectors->w, vectors->v, NULL,
					side == FM_ITEMS ? folding->new_shares : NULL, entities->count, k, host, gram);
	for (size_t i = 0; side == FM_ITEMS && i < length; i++)
		gram[i] += folding->arrays.item_gram[i];
	return gram;
}

/*
 * Solve the entities of one side. One with features starts from these in each round, so it is
 * overwritten in the last round only.
 */
static void
solve_entities(const Solving *solving, FmFoldingSide *own, bool last)
{
	FmFoldingVectors *vectors = &own->head[solving->head];
	Size k = solving->folding->head[solving->head].num_factors;

	for (int32 e = 0; e < own->count; e++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!own->solvable[e] || (own->given[e] && !last) || !solve(solving, e))
			continue;
		memcpy(vectors->v + e * k, solving->theta, k * sizeof(float));
		vectors->w[e] = solving->theta[k];
		vectors->usable[e] = true;
	}
}

/* Solve one side in one head. */
static void
solve_side(FmFolding *folding, const FmRatings *ratings, int head, int side, bool last)
{
	FmFoldingSide *own = &folding->side[side];
	const int64 *start = side == FM_USERS ? ratings->user_start : ratings->item_start;
	int64 most = most_ratings(start, own->count);
	int k = folding->head[head].num_factors;
	FmAllPairs all_pairs = {folding->version.unobserved_weight};
	Solving solving = {.folding = folding, .ratings = ratings, .head = head, .side = side};

	if (fm_is_ranking(folding->head[head].task))
	{
		all_pairs.gram = fm_folding_gram(folding, head, 1 - side);
		all_pairs.whitened = fm_whiten_all_pairs(&folding->head[head].prior[side], k, &all_pairs,
												 folding->host);
		solving.all_pairs = &all_pairs;
	}
	solving.rows = MemoryContextAllocHuge(CurrentMemoryContext, (most + 1) * sizeof(FmFoldRow));
	solving.theta = palloc((k + 1) * sizeof(float));
	solving.mean = palloc((k + 1) * sizeof(float));
	solve_entities(&solving, own, last);
	pfree(solving.mean);
	pfree(solving.theta);
	pfree(solving.rows);
	folding->host->release(folding->host->ctx, all_pairs.gram);
	folding->host->release(folding->host->ctx, all_pairs.whitened);
}

/* Solve what is solvable in one head. */
static void
solve_head(FmFolding *folding, const FmRatings *ratings, int head)
{
	const FmFoldingSide *items = &folding->side[FM_ITEMS];

	if (items->num_added > 0 || items->num_updated > 0)
	{
		solve_side(folding, ratings, head, FM_USERS, false);
		solve_side(folding, ratings, head, FM_ITEMS, true);
	}
	solve_side(folding, ratings, head, FM_USERS, true);
}

/* Compute the popularity of new items, and of those that had no ratings. */
static void
set_popularities(FmFolding *folding, const FmRatings *pairs)
{
	FmFoldingSide *items = &folding->side[FM_ITEMS];

	for (int32 e = 0; items->popularity != NULL && e < items->count; e++)
		if (items->solvable[e])
			items->popularity[e] = (float) fm_list_popularity((double) (pairs->item_start[e + 1] -
																		pairs->item_start[e]),
															  folding->version.mean_item_count);
}

/* Compute the shares of new items, and of those that had no ratings; 0 of the others. */
static void
set_shares(FmFolding *folding, const FmRatings *pairs)
{
	const FmFoldingSide *items = &folding->side[FM_ITEMS];

	folding->new_shares = folding->host->alloc(folding->host->ctx, items->count, sizeof(float));
	(void) fm_all_pairs_shares(pairs->item_start, items->count, folding->new_shares);
	for (int32 e = 0; e < items->count; e++)
		if (!items->solvable[e])
			folding->new_shares[e] = 0;
}

/* Bring triples into both orders. */
static FmRatings
compress(const FmFolding *folding, const FmTriples *triples)
{
	FmRatings ratings = {0};

	fm_ratings_by_user(triples, folding->side[FM_USERS].count, folding->side[FM_ITEMS].count,
					   folding->host, &ratings);
	fm_ratings_complete(&ratings, folding->host);
	return ratings;
}

/*
 * Return what a head is solved from: the ratings or, if it learnt from their strengths, a pair of
 * each user and item.
 */
static FmRatings
ratings_of_head(FmFolding *folding, const FmRatings *ratings, int head)
{
	FmStrength *strength = &folding->version.strength;
	FmTriples pairs;

	if (!fm_is_ranking(folding->head[head].task))
		return *ratings;
	if (head == FM_FIRST_HEAD && strength->kind == FM_STRENGTH_EQUAL)
	{
		if (folding->recency.entry != NULL)
			fm_weigh_ratings_by_recency(&folding->recency, ratings);
		return *ratings;
	}
	pairs = fm_interest_pairs(ratings, false, folding->host, strength);
	if (folding->recency.entry != NULL)
		fm_weigh_by_recency(&folding->recency, &pairs);
	return compress(folding, &pairs);
}

/* Return the ratings, with the repeats and the weights of the training. */
static FmRatings
merge_and_compress(FmFolding *folding)
{
	const FmVersion *version = &folding->version;
	FmTriples *triples = &folding->data.ratings->triples;
	float *spare = MemoryContextAllocHuge(CurrentMemoryContext,
										  (triples->count + 1) * sizeof(float));
	bool is_relative = triples->weight != NULL || fm_is_ranking(version->task);

	(void) fm_merge_repeats(triples, NULL, fm_is_classification(version->task),
							version->repeat_correlation, spare, folding->side[FM_USERS].count,
							folding->side[FM_ITEMS].count, folding->host);
	if (folding->recency.entry != NULL && fm_is_ranking(version->task) && triples->weight == NULL)
		triples->weight = fm_equal_weights(triples->count); /* which recency multiplies */
	if (is_relative && triples->weight != NULL)
		fm_relative_weights(triples->weight, triples->count, version->weight_unit,
							fm_most_weight(version->task));
	return compress(folding, triples);
}

/* Compute the recency of ratings, if their times have been read. */
static void
find_recency(FmFolding *folding)
{
	const FmRatingReading *reading = folding->data.ratings;

	if (reading->time != NULL)
		fm_recency_create(&reading->triples, reading->time, folding->side[FM_USERS].count,
						  folding->host, &folding->recency);
}

void
fm_folding_solve(FmFolding *folding)
{
	FmRatings ratings, of_head;

	find_recency(folding); /* before repeats are merged */
	ratings = of_head = merge_and_compress(folding);
	for (int head = 0; head < folding->num_heads; head++)
	{
		of_head = ratings_of_head(folding, &ratings, head);
		set_shares(folding, &of_head);
		solve_head(folding, &of_head, head);
	}
	set_popularities(folding, &of_head);
}
