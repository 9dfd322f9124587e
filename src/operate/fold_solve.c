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

#include "core/model/fold.h"
#include "pg/compat.h"

/* What the solving of one side needs. */
typedef struct Solving
{
	const FmFolding *folding;
	const FmRatings *ratings;
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
	const FmFolding *folding = solving->folding;
	const FmFoldingSide *own = &folding->side[solving->side];
	FmPrior prior = solving->side == FM_USERS ? folding->arrays.user_prior
											  : folding->arrays.item_prior;
	int k = folding->version.num_factors;

	if (own->given[e])
	{
		memcpy(solving->mean, own->v + (Size) e * k, k * sizeof(float));
		solving->mean[k] = own->w[e];
		prior.mean = solving->mean;
	}
	return prior;
}

/* Set theta to an entity's solution by its ratings of usable entities; false if it has none. */
static bool
solve(const Solving *solving, int32 e)
{
	const FmFolding *folding = solving->folding;
	const FmRatings *ratings = solving->ratings;
	bool is_user = solving->side == FM_USERS;
	const int64 *start = is_user ? ratings->user_start : ratings->item_start;
	const int32 *other = is_user ? ratings->user_item : ratings->item_user;
	const float *value = is_user ? ratings->user_value : ratings->item_value;
	const float *weight = is_user ? ratings->user_weight : ratings->item_weight;
	const FmFoldingSide *others = &folding->side[1 - solving->side];
	int k = folding->version.num_factors;
	double b = folding->version.b - folding->data.ratings->center;
	FmPrior prior;
	int64 count = 0;

	for (int64 r = start[e]; r < start[e + 1]; r++)
		if (others->usable[other[r]])
			solving->rows[count++] = (FmFoldRow){others->v + (Size) other[r] * k,
												 b + others->w[other[r]], value[r],
												 weight == NULL ? 1 : weight[r]};
	if (count == 0)
		return false;
	prior = prior_of(solving, e);
	fm_fold(&prior, k, folding->version.task, folding->version.noise_variance, solving->all_pairs,
			solving->rows, count, folding->host, solving->theta);
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
fm_folding_gram(const FmFolding *folding, int side)
{
	const FmFoldingSide *entities = &folding->side[side];
	const FmHost *host = folding->host;
	int k = folding->version.num_factors;
	float *gram = host->alloc(host->ctx, fm_all_pairs_length(k), sizeof(float));

	fm_gram_of_side(folding->version.b, entities->w, entities->v, NULL, entities->count, k, host,
					gram);
	return gram;
}

/*
 * Solve one side. An entity with features starts from these in each round, so it is overwritten in
 * the last round only.
 */
static void
solve_side(FmFolding *folding, const FmRatings *ratings, int side, bool last)
{
	FmFoldingSide *own = &folding->side[side];
	const int64 *start = side == FM_USERS ? ratings->user_start : ratings->item_start;
	int64 most = most_ratings(start, own->count);
	int k = folding->version.num_factors;
	FmAllPairs all_pairs = {folding->version.unobserved_weight};
	Solving solving = {.folding = folding, .ratings = ratings, .side = side};

	if (fm_is_ranking(folding->version.task))
	{
		all_pairs.gram = fm_folding_gram(folding, 1 - side);
		solving.all_pairs = &all_pairs;
	}
	solving.rows = MemoryContextAllocHuge(CurrentMemoryContext, (most + 1) * sizeof(FmFoldRow));
	solving.theta = palloc((k + 1) * sizeof(float));
	solving.mean = palloc((k + 1) * sizeof(float));
	for (int32 e = 0; e < own->count; e++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!own->solvable[e] || (own->given[e] && !last) || !solve(&solving, e))
			continue;
		memcpy(own->v + (Size) e * k, solving.theta, k * sizeof(float));
		own->w[e] = solving.theta[k];
		own->usable[e] = true;
	}
	pfree(solving.mean);
	pfree(solving.theta);
	pfree(solving.rows);
	folding->host->release(folding->host->ctx, all_pairs.gram);
}

void
fm_folding_solve(FmFolding *folding)
{
	const FmFoldingSide *items = &folding->side[FM_ITEMS];
	FmRatings ratings = {0};

	fm_ratings_by_user(&folding->data.ratings->triples, folding->side[FM_USERS].count, items->count,
					   folding->host, &ratings);
	fm_ratings_complete(&ratings, folding->host);
	if (items->num_added > 0 || items->num_updated > 0)
	{
		solve_side(folding, &ratings, FM_USERS, false);
		solve_side(folding, &ratings, FM_ITEMS, true);
	}
	solve_side(folding, &ratings, FM_USERS, true);
}
