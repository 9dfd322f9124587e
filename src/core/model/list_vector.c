/*
 * The vectors whose inner product orders a list. No memory is allocated.
 */
#include "core/model/list_vector.h"

#include <math.h>
#include <string.h>

/*
 * Popularity is a logarithm of up to about 5, and is multiplied by m, which is of the size of an
 * interest. With an eighth of m it is not larger than the other numbers of a vector.
 */
#define POPULARITY_SHARE 0.125

/* Exponents of scales are bounded, so that nothing overflows or vanishes. */
#define MAX_EXPONENT 60

/* Return the power of two that is nearest to a number above 0, on a logarithmic scale. */
static double
power_of_two(double number)
{
	double exponent = rint(log2(number));

	return ldexp(1, (int) fmax(-MAX_EXPONENT, fmin(MAX_EXPONENT, exponent)));
}

int
fm_list_factors(const FmListShape *shape)
{
	return shape->num_factors + (shape->interest_factors > 0 ? 1 + shape->interest_factors : 0) +
		   shape->has_popularity;
}

double
fm_list_popularity(double count, double mean)
{
	return log((count + mean) / (2 * mean));
}

double
fm_list_rating_scale(const FmListShape *shape)
{
	return shape->interest_factors > 0 ? power_of_two(shape->rating_share) : 1;
}

double
fm_list_popularity_scale(const FmListShape *shape)
{
	return power_of_two(shape->novelty_unit * POPULARITY_SHARE);
}

void
fm_list_item(const FmListShape *shape, const float *v, float w, const float *interest_v,
			 float interest_w, float popularity, float *vector)
{
	float scale = (float) fm_list_rating_scale(shape);

	for (int f = 0; f < shape->num_factors; f++)
		*vector++ = scale * v[f];
	if (shape->interest_factors > 0)
	{
		*vector++ = scale * w;
		memcpy(vector, interest_v, shape->interest_factors * sizeof(float));
		vector += shape->interest_factors;
	}
	if (shape->has_popularity)
		*vector++ = (float) fm_list_popularity_scale(shape) * popularity;
	*vector = shape->interest_factors > 0 ? interest_w : w;
}

void
fm_list_item_rating(const FmListShape *shape, const float *vector, float *v, float *w)
{
	float inverse = (float) (1 / fm_list_rating_scale(shape));

	for (int f = 0; f < shape->num_factors; f++)
		v[f] = inverse * vector[f];
	*w = shape->interest_factors > 0 ? inverse * vector[shape->num_factors]
									 : vector[fm_list_factors(shape)];
}

const float *
fm_list_item_interest(const FmListShape *shape, const float *vector)
{
	return vector + shape->num_factors + 1;
}

double
fm_list_item_popularity(const FmListShape *shape, const float *vector)
{
	return shape->has_popularity
			   ? vector[fm_list_factors(shape) - 1] / fm_list_popularity_scale(shape)
			   : 0;
}

void
fm_list_query(const FmListShape *shape, const float *v, const float *interest_v, double novelty,
			  float *query)
{
	double factor = shape->interest_factors > 0 ? shape->rating_share / fm_list_rating_scale(shape)
												: 1;
	double unit = shape->novelty_unit / fm_list_popularity_scale(shape);

	for (int f = 0; f < shape->num_factors; f++)
		*query++ = (float) (factor * v[f]);
	if (shape->interest_factors > 0)
	{
		*query++ = (float) factor;
		memcpy(query, interest_v, shape->interest_factors * sizeof(float));
		query += shape->interest_factors;
	}
	if (shape->has_popularity)
		*query++ = (float) (0 - novelty * unit); /* not -0 */
	*query = 1;
}

double
fm_list_rating(const FmListShape *shape, const float *v, const float *vector)
{
	float inverse = (float) (1 / fm_list_rating_scale(shape));
	double sum = 0;

	for (int f = 0; f < shape->num_factors; f++)
		sum += (double) v[f] * (double) (inverse * vector[f]);
	return sum + (shape->interest_factors > 0 ? inverse * vector[shape->num_factors]
											  : vector[fm_list_factors(shape)]);
}
