/*
 * What serving needs of an imported version besides its parameters: for folding in, priors from the
 * vectors and the noise of ratings around their scores; for lists, popularity.
 *
 * Of the ratings relation only users and items of the model count. Its other rows are those of
 * users and items to fold in. Memory: the current context, and the host.
 */
#include "exchange/import_describe.h"

#include <float.h>
#include <math.h>

#include "core/data/repeats.h"
#include "core/train/ials.h"
#include "source/budget.h"
#include "source/ratings_columns.h"
#include "source/training_data.h"
#include "train/describe.h"
#include "train/score.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* The lower bound of the noise variance, as a share of the squared range of the ratings. */
#define LEAST_NOISE 1e-6

/* On how many pairs at most the variance of the scores is computed. */
#define SAMPLED_PAIRS 100000

static int32
count_side(const FmImport *import, int side)
{
	return fm_idmap_count(import->ids[side]);
}

/* Read the ratings. The model's users and items are the first in the maps, by idx. */
static FmTrainingData
read_ratings(FmImport *import, double center)
{
	const FmDefinition *definition = &import->model.definition;
	FmTrainingData data = {0};

	data.ratings = fm_rating_reading_create(&import->id_type[FM_USERS], &import->id_type[FM_ITEMS],
											definition);
	data.ratings->is_training = true;
	data.ratings->center = center;
	for (int32 idx = 0; idx < count_side(import, FM_USERS); idx++)
		(void) fm_idmap_intern(data.ratings->users,
							   fm_idmap_id(import->ids[FM_USERS], import->order[FM_USERS][idx]));
	for (int32 idx = 0; idx < count_side(import, FM_ITEMS); idx++)
		(void) fm_idmap_intern(data.ratings->items,
							   fm_idmap_id(import->ids[FM_ITEMS], import->order[FM_ITEMS][idx]));
	fm_read_ratings(definition, false, data.ratings);
	return data;
}

/*
 * Take the range of the ratings, unless the call gives one, and their mean. Ratings that are all
 * the same have no range.
 */
static void
take_range(FmImport *import, bool has_range, const FmRatingReading *reading)
{
	FmVersion *version = &import->version;

	if (!(reading->least < reading->greatest))
		return;
	if (!has_range)
	{
		version->rating_min = reading->min;
		version->rating_max = reading->max;
	}
	version->rating_mean = fm_rating_reading_mean(reading);
}

/* Read them again, relative to their mean, if reals cannot tell them apart otherwise. */
static FmTrainingData
read_centered(FmImport *import, bool has_range)
{
	FmTrainingData data;
	double center;

	fm_check_budget_to_read(&import->model.definition);
	data = read_ratings(import, 0);
	take_range(import, has_range, data.ratings);
	center = fm_version_center(&import->version);
	if (center != 0 && data.ratings->triples.count > 0)
		data = read_ratings(import, center);
	if (fm_is_classification(import->version.task))
		fm_label_ratings(&import->model.definition, data.ratings, import->version.rating_min,
						 import->version.rating_max);
	return data;
}

/* Return the ratings of the model's own users and items. */
static FmTriples
known_ratings(const FmImport *import, const FmTriples *all)
{
	MemoryContext context = CurrentMemoryContext;
	Size size = Max(all->count, 1) * sizeof(int32);
	FmTriples known = {.user = MemoryContextAllocHuge(context, size),
					   .item = MemoryContextAllocHuge(context, size),
					   .value = MemoryContextAllocHuge(context, size)};

	for (int64 r = 0; r < all->count; r++)
		if (all->user[r] < count_side(import, FM_USERS) &&
			all->item[r] < count_side(import, FM_ITEMS))
		{
			known.user[known.count] = all->user[r];
			known.item[known.count] = all->item[r];
			known.value[known.count++] = all->value[r];
		}
	return known;
}

/* Set the digests of the ratings of both sides: what changes afterwards is to be folded in. */
static void
digest(FmImport *import, FmTrainingData *data)
{
	fm_rank_ratings(data);
	for (int side = 0; side < 2; side++)
	{
		const int32 *order = side == FM_USERS ? data->user_order : data->item_order;
		const FmIdMap *ids = side == FM_USERS ? data->ratings->users : data->ratings->items;
		int64 *by_rank = fm_digest_ratings(data, side);

		for (int32 rank = 0; rank < fm_idmap_count(ids); rank++)
			if (order[rank] < count_side(import, side) && by_rank[rank] != 0)
				import->digest[side][order[rank]] = by_rank[rank];
	}
}

/* Merge the rows of equal pairs. How often a pair occurs means nothing to an imported ranking. */
static void
merge_repeats(FmImport *import, FmTriples *known)
{
	bool is_ranking = fm_is_ranking(import->version.task);
	float *spare = MemoryContextAllocHuge(CurrentMemoryContext, known->count * sizeof(float));
	FmRepeats repeats = fm_merge_repeats(known, NULL, fm_is_classification(import->version.task),
										 is_ranking ? 0 : NAN, spare, count_side(import, FM_USERS),
										 count_side(import, FM_ITEMS), import->host);

	if (is_ranking)
		known->weight = NULL;
	import->run.ratings = repeats.pairs;
	import->run.repeats = repeats.rows - repeats.pairs;
	import->result.version.repeat_correlation = repeats.correlation;
}

/* Set the weight of pairs without ratings: that which the call gives, or the default of ials. */
static void
set_unobserved_weight(FmImport *import, const FmRatings *ratings)
{
	float given = import->model.definition.unobserved_weight;
	const FmHost *host = import->host;
	float *shares = host->alloc(host->ctx, ratings->num_items, sizeof(float));
	double sum = fm_all_pairs_shares(ratings->item_start, ratings->num_items, shares);
	double items = fm_count_rated(ratings->item_start, ratings->num_items);
	double users = fm_count_rated(ratings->user_start, ratings->num_users);
	double mean = fm_ials_unobserved_weight(isnan(given) ? -1 : given,
											(double) ratings->num_ratings, users * items);

	import->parameters.unobserved_weight = mean * items / sum;
	host->release(host->ctx, shares);
}

/* Score the ratings, and take noise and popularity from them. */
static void
describe_ratings(FmImport *import, FmTriples *known, double center)
{
	const FmHost *host = import->host;
	FmVersion *version = &import->result.version;
	double range = (double) version->rating_max - version->rating_min;
	FmRatingReading reading = {.center = center};
	FmTriples none = {0};
	FmRatings ratings = {0};
	FmScored scored = {&ratings, &none, &import->parameters, NULL};

	merge_repeats(import, known);
	fm_ratings_by_user(known, count_side(import, FM_USERS), count_side(import, FM_ITEMS), host,
					   &ratings);
	fm_ratings_complete(&ratings, host);
	(void) fm_score_run(&import->model.definition, &reading, &scored, host, &import->run);
	fm_describe_popularity(&ratings, host, &import->result);
	if (fm_is_ranking(version->task))
	{
		set_unobserved_weight(import, &ratings);
		fm_describe_ranking(&ratings, &import->parameters, host, &import->result);
	}
	if (version->task != FM_TASK_REGRESSION)
		return;
	version->noise_variance = Max(fm_rmse(&import->run.train) * fm_rmse(&import->run.train),
								  LEAST_NOISE * range * range);
	if (import->run.train_baseline > 0)
		version->novelty_unit = import->run.train_baseline;
}

/* Return the variance of the scores, on pairs that are spread over users and items. */
static double
score_variance(const FmImport *import)
{
	int32 num_users = count_side(import, FM_USERS), num_items = count_side(import, FM_ITEMS);
	double first = 0, sum = 0, square = 0;

	for (int64 i = 0; i < SAMPLED_PAIRS; i++)
	{
		double score = fm_score(&import->parameters, (int32) (i % num_users),
								(int32) ((i * 7919 + i / num_users) % num_items));

		if (i == 0)
			first = score;
		sum += (score - first) / SAMPLED_PAIRS;
		square += (score - first) * (score - first) / SAMPLED_PAIRS;
	}
	return square - sum * sum;
}

/* Compute the prior of one side, over all of its entities. */
static void
describe_prior(FmImport *import, int side, const float *w, const float *v, FmPrior *prior)
{
	int32 count = count_side(import, side);
	int64 *start = MemoryContextAllocHuge(CurrentMemoryContext, (count + 1) * sizeof(int64));

	for (int32 e = 0; e <= count; e++)
		start[e] = e; /* as if each had a rating */
	fm_prior_of_side(w, v, start, count, import->parameters.num_factors, import->host, prior);
	pfree(start);
}

/*
 * Set the digests of entities without ratings. Users are solved from those that come, beginning
 * with their vectors. Items stay as they are: a digest that is not 0 says that they had ratings.
 */
static void
begin_digests(FmImport *import)
{
	for (int side = 0; side < 2; side++)
	{
		int64 *digest = MemoryContextAllocHuge(CurrentMemoryContext,
											   count_side(import, side) * sizeof(int64));

		for (int32 idx = 0; idx < count_side(import, side); idx++)
			digest[idx] = side == FM_ITEMS;
		import->digest[side] = digest;
		import->result.digest[side] = digest;
	}
}

/* Set the numbers that do not depend on ratings. */
static void
begin_result(FmImport *import)
{
	FmParameters *parameters = &import->parameters;
	FmResult *result = &import->result;
	double variance;

	result->version = import->version;
	result->version.number = import->run.version;
	result->version.num_factors = parameters->num_factors;
	result->version.num_users = count_side(import, FM_USERS);
	result->version.num_items = count_side(import, FM_ITEMS);
	result->version.score_variance = parameters->score_variance;
	result->version.interest_noise_variance = 1;
	result->version.rating_share = 1;
	result->version.novelty_unit = 1;
	result->version.weight_unit = 1;
	result->version.strength = (FmStrength){.deviation = 1, .scale = 1};
	/* without ratings as much as the scores vary; in a classification that of the probits */
	variance = fm_is_classification(import->version.task) ? 1 : score_variance(import);
	result->version.noise_variance = isfinite(variance) && variance > FLT_MIN ? variance : 1;
	describe_prior(import, FM_USERS, parameters->user_w, parameters->user_v,
				   &result->arrays.user_prior);
	describe_prior(import, FM_ITEMS, parameters->item_w, parameters->item_v,
				   &result->arrays.item_prior);
	begin_digests(import);
	import->data.ratings = palloc0(sizeof(FmRatingReading));
	import->data.ratings->users = import->ids[FM_USERS];
	import->data.ratings->items = import->ids[FM_ITEMS];
	import->data.user_order = import->order[FM_USERS];
	import->data.item_order = import->order[FM_ITEMS];
	result->parameters = parameters;
	result->data = &import->data;
	import->run.num_factors = parameters->num_factors;
	import->run.users = count_side(import, FM_USERS);
	import->run.items = count_side(import, FM_ITEMS);
	import->run.features = import->run.users + import->run.items;
}

void
fm_import_describe(FmImport *import, bool has_range)
{
	FmTrainingData data = {0};
	FmTriples known = {0};
	double center = 0;

	if (OidIsValid(import->model.definition.ratings))
	{
		data = read_centered(import, has_range);
		known = known_ratings(import, &data.ratings->triples);
		center = data.ratings->center;
	}
	import->parameters.b = import->version.b - center; /* of the ratings as they are read */
	begin_result(import);
	if (data.ratings == NULL)
		return;
	import->run.skipped = data.ratings->skipped;
	import->run.rows_read = data.ratings->triples.count + data.ratings->skipped;
	digest(import, &data);
	if (known.count > 0)
		describe_ratings(import, &known, center);
	else if (fm_is_ranking(import->version.task))
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("relation \"%s\" has no rows of users and items of the model",
							   get_rel_name(import->model.definition.ratings)),
						errdetail("A ranking needs them to fold users in.")));
}
