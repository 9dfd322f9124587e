/*
 * What serving needs to know about a version besides its parameters: for folding in noise, priors
 * and all pairs; for lists popularity and what novelty and the rating weigh.
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

/* The lower bound of the mean interest, which is near 0.4 in practice and at most 1. */
#define LEAST_INTEREST 1e-3

/*
 * How much the rating weighs in lists beside the interest: so many times the mean interest for a
 * deviation of the ratings.
 */
#define RATING_WEIGHT 0.12

/* The deviation of ratings is about so many times that of the scores that predict them. */
#define SCORE_SPREAD 1.5

/*
 * The novelty of lists, unless a call or the model says otherwise. At 0, 0.015 and 0.03 NDCG@10 is
 * 0.3927, 0.3919 and 0.3912 on random splits of MovieLens 100k, 0.1813, 0.1824 and 0.1825 on one by
 * time, 0.2674, 0.2677 and 0.2668 on Last.fm; NDCG@20 on positives of MovieLens 1M 0.2685, 0.2681
 * and 0.2675. The share of items that occur in a top ten is 0.210, 0.213 and 0.217; 0.236, 0.238
 * and 0.242; 0.094, 0.099 and 0.105.
 */
#define DEFAULT_NOVELTY 0.015

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

/*
 * Set the weight and the gram of all pairs of a ranking or an interest head. Return its noise.
 */
static double
describe_all_pairs(const FmRatings *ratings, const FmParameters *parameters, const FmHost *host,
				   FmResult *result)
{
	int k = parameters->num_factors;
	size_t length = fm_all_pairs_length(k);
	float *shares = host->alloc(host->ctx, ratings->num_items, sizeof(float));
	double pair_shares = fm_all_pairs_shares(ratings->item_start, ratings->num_items, shares) *
						 fm_count_rated(ratings->user_start, ratings->num_users);
	double total;
	double squared = squared_distance(ratings, parameters, &total);
	float *users = host->alloc(host->ctx, length, sizeof(float));
	FmAllPairs items;

	items.weight = parameters->unobserved_weight;
	items.gram = host->alloc(host->ctx, length, sizeof(float));
	fm_gram_of_side(parameters->b, parameters->item_w, parameters->item_v, ratings->item_start,
					shares, ratings->num_items, k, host, items.gram);
	fm_gram_of_side(0, parameters->user_w, parameters->user_v, ratings->user_start, NULL,
					ratings->num_users, k, host, users);
	result->version.unobserved_weight = items.weight;
	result->arrays.item_gram = items.gram;
	return Max(fm_ranking_noise(&items, users, k, squared, total, pair_shares), LEAST_NOISE);
}

static void
describe_priors(const FmRatings *ratings, const FmParameters *parameters, const FmHost *host,
				FmPrior *user_prior, FmPrior *item_prior)
{
	fm_prior_of_side(parameters->user_w, parameters->user_v, ratings->user_start,
					 ratings->num_users, parameters->num_factors, host, user_prior);
	fm_prior_of_side(parameters->item_w, parameters->item_v, ratings->item_start,
					 ratings->num_items, parameters->num_factors, host, item_prior);
}

/* A mean and a deviation. */
typedef struct Moments
{
	double mean;
	double deviation; /* above 0 */
} Moments;

/* What they are of, by user and place in the user's ratings. */
typedef double (*Quantity)(const FmRatings *ratings, const FmParameters *parameters, int32 user,
						   int64 r);

/* Quantity: a rating, as it was given. */
static double
rating_of(const FmRatings *ratings, const FmParameters *parameters, int32 user, int64 r)
{
	return ratings->user_value[r];
}

/* Quantity: a score. */
static double
score_of(const FmRatings *ratings, const FmParameters *parameters, int32 user, int64 r)
{
	return fm_score(parameters, user, ratings->user_item[r]);
}

/* Return the mean and the deviation over the ratings trained on. */
static Moments
moments_of(Quantity quantity, const FmRatings *ratings, const FmParameters *parameters)
{
	double sum = 0, squares = 0, n = (double) ratings->num_ratings;
	double first = 0;
	Moments moments;

	for (int32 user = 0; user < ratings->num_users; user++)
		for (int64 r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
		{
			double value = quantity(ratings, parameters, user, r);

			if (r == 0)
				first = value;
			sum += value - first;
			squares += (value - first) * (value - first);
			if (r % 65536 == 0)
				CHECK_FOR_INTERRUPTS();
		}
	moments.mean = first + sum / n;
	moments.deviation = sqrt(Max(squares / n - sum / n * (sum / n), 0));
	return moments;
}

/* Return the mean interest in the pairs trained on, which is the unit of lists' scores. */
static double
interest_unit(const FmRatings *ratings, const FmParameters *parameters)
{
	double mean = moments_of(score_of, ratings, parameters).mean;

	return isfinite(mean) ? Max(mean, LEAST_INTEREST) : LEAST_INTEREST;
}

/*
 * Return the deviation of a model's ratings, or of scores that a classification gives them, which
 * vary less than what they estimate.
 */
static double
rating_deviation(const FmDefinition *definition, const FmRatings *ratings,
				 const FmParameters *parameters)
{
	double deviation = fm_is_classification(definition->task)
						   ? moments_of(score_of, ratings, parameters).deviation * SCORE_SPREAD
						   : moments_of(rating_of, ratings, parameters).deviation;

	return isfinite(deviation) && deviation > 0 ? deviation : 1;
}

void
fm_describe_popularity(const FmRatings *ratings, const FmHost *host, FmResult *result)
{
	int32 num_items = ratings->num_items;
	double mean = (double) ratings->num_ratings / fm_count_rated(ratings->item_start, num_items);
	float *popularity = host->alloc(host->ctx, num_items, sizeof(float));

	for (int32 item = 0; item < num_items; item++)
	{
		double count = (double) (ratings->item_start[item + 1] - ratings->item_start[item]);

		popularity[item] = (float) fm_list_popularity(count, mean);
	}
	result->popularity = popularity;
	result->version.mean_item_count = mean;
	result->version.has_popularity = true;
}

void
fm_describe_ranking(const FmRatings *ratings, const FmParameters *parameters, const FmHost *host,
					FmResult *result)
{
	result->version.noise_variance = describe_all_pairs(ratings, parameters, host, result);
	result->version.novelty_unit = interest_unit(ratings, parameters);
}

void
fm_describe_sides(const FmDefinition *definition, const FmRatings *ratings,
				  const FmParameters *parameters, const FmErrorSums *errors, const FmHost *host,
				  FmResult *result)
{
	const FmRatingReading *reading = result->data->ratings;
	FmVersion *version = &result->version;
	double range = reading->center != 0 ? reading->greatest - reading->least
										: (double) version->rating_max - version->rating_min;

	version->noise_variance = 1; /* in a classification: that of the probits */
	if (fm_is_ranking(definition->task))
	{
		fm_describe_ranking(ratings, parameters, host, result);
		version->novelty = DEFAULT_NOVELTY;
	}
	else
	{
		version->novelty_unit = rating_deviation(definition, ratings, parameters);
		if (errors->count > 0)
			version->noise_variance = Max(fm_rmse(errors) * fm_rmse(errors),
										  LEAST_NOISE * range * range);
	}
	describe_priors(ratings, parameters, host, &result->arrays.user_prior,
					&result->arrays.item_prior);
}

void
fm_describe_interest(const FmRatings *pairs, const FmParameters *interest, const FmHost *host,
					 FmResult *result)
{
	FmVersion *version = &result->version;
	double deviation = version->novelty_unit; /* of the ratings, as fm_describe_sides left it */

	version->interest_factors = interest->num_factors;
	version->interest_b = interest->b;
	version->interest_noise_variance = describe_all_pairs(pairs, interest, host, result);
	version->novelty_unit = interest_unit(pairs, interest);
	version->novelty = DEFAULT_NOVELTY;
	version->rating_share = RATING_WEIGHT * version->novelty_unit / deviation;
	describe_priors(pairs, interest, host, &result->arrays.interest_user_prior,
					&result->arrays.interest_item_prior);
}
