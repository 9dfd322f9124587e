/*
 * People whose ratings the model has not met: their vectors, solved from these against its items. Where the model
 * knows somebody by features alone, the solve starts from what they say.
 *
 * Nothing is kept: the solve (core/model/fold.c) takes less than the reading of the ratings. Memory: the context
 * of the call. Locking: that of the query.
 */
#include "serve/serving.h"

#include "pg/host_pg.h"
#include "source/ratings_columns.h"

/* qsort: sums depend on the order of what is summed, if only in the last bit. */
static int
compare_ratings(const void *a, const void *b)
{
	const FmOwnRating *left = a;
	const FmOwnRating *right = b;

	if (left->item != right->item)
		return left->item < right->item ? -1 : 1;
	if (left->rating != right->rating)
		return left->rating < right->rating ? -1 : 1;
	return (left->weight > right->weight) - (left->weight < right->weight);
}

/* The ratings as the core wants them. */
static FmFoldRow *
fold_rows(const FmServing *serving, const FmOwnRating *ratings, int64 count)
{
	const FmLoaded *loaded = serving->loaded;
	FmFoldRow *rows = MemoryContextAllocHuge(CurrentMemoryContext, count * sizeof(FmFoldRow));

	for (int64 r = 0; r < count; r++)
	{
		const float *item = fm_scan_vector(loaded->matrix, ratings[r].item);
		float value = ratings[r].rating;

		if (loaded->is_classification)
			value = fm_label(&serving->model.definition, loaded->rating_min, loaded->rating_max,
							 value);
		rows[r] = (FmFoldRow){item, loaded->b + item[loaded->num_factors], value,
							  ratings[r].weight};
	}
	return rows;
}

FmUserVector
fm_serve_fold(const FmServing *serving, const FmUserVector *expected, FmOwnRating *ratings,
			  int64 count)
{
	const FmLoaded *loaded = serving->loaded;
	int k = loaded->num_factors;
	FmUserVector user = {palloc0((k + 1) * sizeof(float)), loaded->b};
	FmPrior prior = loaded->user_prior;

	user.query[k] = 1;
	if (count == 0)
		return expected != NULL ? *expected : user;
	if (expected != NULL)
	{
		prior.mean = palloc((k + 1) * sizeof(float));
		memcpy(prior.mean, expected->query, k * sizeof(float));
		prior.mean[k] = (float) (expected->base - loaded->b);
	}
	qsort(ratings, count, sizeof(FmOwnRating), compare_ratings);
	fm_fold(&prior, k, loaded->is_classification ? FM_TASK_CLASSIFICATION : FM_TASK_REGRESSION,
			loaded->noise_variance, loaded->is_ranking ? &loaded->item_pairs : NULL,
			fold_rows(serving, ratings, count), count, fm_pg_host(CurrentMemoryContext),
			user.query);
	user.base += user.query[k]; /* w */
	user.query[k] = 1;
	return user;
}

FmUserVector
fm_serve_new_user(const FmServing *serving, const FmUserVector *expected, Datum user_id,
				  const uint64 *ignored)
{
	int64 count;
	int64 num_used = 0;
	FmOwnRating *ratings = fm_own_ratings(serving, user_id, &count);

	for (int64 r = 0; r < count; r++)
		if (ignored == NULL || !fm_item_is_in(ignored, ratings[r].item))
			ratings[num_used++] = ratings[r];
	return fm_serve_fold(serving, expected, ratings, num_used);
}
