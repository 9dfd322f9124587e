/*
 * What folding in needs to know about a version: noise, priors and, of a ranking, all pairs.
 *
 * Memory: that of the host.
 */
#include "train/describe.h"

#include <math.h>

#include "core/train/ials.h"

/*
 * The lower bound of the noise variance, as a share of the squared range of the ratings: even
 * ratings that are fitted exactly have some noise.
 */
#define LEAST_NOISE 1e-6

static int32
count_rated(const int64 *start, int32 count)
{
	int32 rated = 0;

	for (int32 e = 0; e < count; e++)
		rated += start[e] < start[e + 1];
	return rated;
}

/* Return the weighted sum of (1 - score)² over the ratings trained on, and their total weight. */
static double
squared_distance(const FmRatings *ratings, const FmParameters *parameters, double *total)
{
	double sum = 0;

	*total = 0;
	for (int32 user = 0; user < ratings->num_users; user++)
		for (int64 r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
		{
			double weight = ratings->user_weight != NULL ? ratings->user_weight[r] : 1;
			double rest = 1 - fm_score(parameters, user, ratings->user_item[r]);

			sum += weight * rest * rest;
			*total += weight;
			if (r % 65536 == 0)
				CHECK_FOR_INTERRUPTS();
		}
	return sum;
}

/* Set the weight and the gram of all pairs of a ranking, and its noise. */
static void
describe_all_pairs(const FmRatings *ratings, const FmParameters *parameters, float given_weight,
				   const FmHost *host, FmResult *result)
{
	int k = parameters->num_factors;
	size_t length = fm_all_pairs_length(k);
	double pairs = (double) count_rated(ratings->user_start, ratings->num_users) *
				   count_rated(ratings->item_start, ratings->num_items);
	double total;
	double squared = squared_distance(ratings, parameters, &total);
	float *users = host->alloc(host->ctx, length, sizeof(float));
	FmAllPairs items;

	items.weight = fm_ials_unobserved_weight(isnan(given_weight) ? -1 : given_weight, total, pairs);
	items.gram = host->alloc(host->ctx, length, sizeof(float));
	fm_gram_of_side(parameters->b, parameters->item_w, parameters->item_v, ratings->item_start,
					ratings->num_items, k, host, items.gram);
	fm_gram_of_side(0, parameters->user_w, parameters->user_v, ratings->user_start,
					ratings->num_users, k, host, users);
	result->version.unobserved_weight = items.weight;
	result->version.noise_variance = Max(fm_ranking_noise(&items, users, k, squared, total, pairs),
										 LEAST_NOISE);
	result->arrays.item_gram = items.gram;
}

void
fm_describe_sides(const FmDefinition *definition, const FmRatings *ratings,
				  const FmParameters *parameters, const FmErrorSums *errors, const FmHost *host,
				  FmResult *result)
{
	const FmRatingReading *reading = result->data->ratings;
	double range = reading->center != 0
					   ? reading->greatest - reading->least
					   : (double) result->version.rating_max - result->version.rating_min;

	result->version.noise_variance = 1; /* in a classification: that of the probits */
	if (fm_is_ranking(definition->task))
		describe_all_pairs(ratings, parameters, definition->unobserved_weight, host, result);
	else if (errors->count > 0)
		result->version.noise_variance = Max(fm_rmse(errors) * fm_rmse(errors),
											 LEAST_NOISE * range * range);
	fm_prior_of_side(parameters->user_w, parameters->user_v, ratings->user_start,
					 ratings->num_users, parameters->num_factors, host, &result->arrays.user_prior);
	fm_prior_of_side(parameters->item_w, parameters->item_v, ratings->item_start,
					 ratings->num_items, parameters->num_factors, host, &result->arrays.item_prior);
}
