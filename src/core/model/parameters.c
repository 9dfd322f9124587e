/*
 * The score of a pair, and its probability. Pure functions: nothing is owned or allocated.
 */
#include "core/model/parameters.h"

#include <math.h>
#include <stddef.h>

#include "core/math/normal.h"

double
fm_probability(double score, double variance)
{
	return fm_normal_cdf(score / sqrt(1 + variance));
}

double
fm_score(const FmParameters *parameters, int32_t user, int32_t item)
{
	int k = parameters->num_factors;
	const float *user_v = parameters->user_v + (size_t) user * k;
	const float *item_v = parameters->item_v + (size_t) item * k;
	double score = parameters->b + parameters->user_w[user] + parameters->item_w[item];

	for (int f = 0; f < k; f++)
		score += (double) user_v[f] * item_v[f];
	return score;
}

double
fm_score_in_context(const FmParameters *parameters, const FmContexts *contexts, int32_t combination,
					int32_t user, int32_t item)
{
	int k = parameters->num_factors;
	const float *item_v = parameters->item_v + (size_t) item * k;
	double score = fm_score(parameters, user, item);

	for (int c = 0; c < contexts->num_columns; c++)
	{
		int32_t level = contexts->level[(size_t) combination * contexts->num_columns + c];
		const float *v = parameters->context_v + (size_t) level * k;

		score += parameters->context_w[level];
		for (int f = 0; f < k; f++)
			score += (double) v[f] * item_v[f];
	}
	return score;
}
