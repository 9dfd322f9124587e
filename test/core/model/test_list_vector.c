/*
 * List vectors: their inner product against the formula that they stand for, and what is read back
 * from them. Prints TAP.
 */
#include <math.h>
#include <string.h>

#include "core/model/list_vector.h"
#include "support/data.h"
#include "support/tap.h"

#define CASES 200
#define MOST_FACTORS 12

/* An item and a user with both heads. */
typedef struct Case
{
	FmListShape shape;
	float v[MOST_FACTORS], w, p[MOST_FACTORS], interest_w, popularity;
	float user_v[MOST_FACTORS], user_p[MOST_FACTORS];
	double novelty;
	float item[2 * MOST_FACTORS + 3], query[2 * MOST_FACTORS + 3];
} Case;

static double
product(const float *a, const float *b, int count)
{
	double sum = 0;

	for (int f = 0; f < count; f++)
		sum += (double) a[f] * b[f];
	return sum;
}

static Case
make_case(bool has_interest, bool has_popularity)
{
	Case c = {.shape = {.num_factors = 1 + (int) (uniform() * (MOST_FACTORS - 1)),
						.interest_factors =
							has_interest ? 1 + (int) (uniform() * (MOST_FACTORS - 1)) : 0,
						.has_popularity = has_popularity,
						.rating_share = has_interest ? exp(4 * normal()) : 1,
						.novelty_unit = exp(4 * normal())},
			  .w = (float) normal(),
			  .interest_w = (float) normal(),
			  .popularity = (float) normal(),
			  .novelty = normal()};

	for (int f = 0; f < MOST_FACTORS; f++)
	{
		c.v[f] = (float) normal();
		c.p[f] = (float) normal();
		c.user_v[f] = (float) normal();
		c.user_p[f] = (float) normal();
	}
	fm_list_item(&c.shape, c.v, c.w, c.p, c.interest_w, c.popularity, c.item);
	fm_list_query(&c.shape, c.user_v, c.user_p, c.novelty, c.query);
	return c;
}

/* Return what the vectors stand for. */
static double
formula(const Case *c)
{
	double rating = c->w + product(c->v, c->user_v, c->shape.num_factors);
	double score = rating;

	if (c->shape.interest_factors > 0)
		score = c->interest_w + product(c->p, c->user_p, c->shape.interest_factors) +
				c->shape.rating_share * rating;
	if (c->shape.has_popularity)
		score -= c->novelty * c->shape.novelty_unit * c->popularity;
	return score;
}

/* The scores, and their rounding errors, are of the size of the larger part. */
static bool
scores_agree(const Case *c)
{
	double size = 20 * fmax(1, c->shape.rating_share) + 20 * c->shape.novelty_unit;
	int count = fm_list_factors(&c->shape) + 1;

	return fabs(product(c->item, c->query, count) - formula(c)) < 1e-5 * size;
}

/* The rating head comes back bit for bit, and so does the interest head. */
static bool
reads_back(const Case *c)
{
	float v[MOST_FACTORS], w;
	int count = fm_list_factors(&c->shape) + 1, k = c->shape.num_factors;
	double rating = c->w + product(c->v, c->user_v, k);

	fm_list_item_rating(&c->shape, c->item, v, &w);
	if (memcmp(v, c->v, k * sizeof(float)) != 0 || w != c->w ||
		fabs(fm_list_rating(&c->shape, c->user_v, c->item) - rating) > 1e-12)
		return false;
	if (fm_list_item_popularity(&c->shape, c->item) !=
		(c->shape.has_popularity ? c->popularity : 0))
		return false;
	return c->shape.interest_factors == 0 ||
		   (memcmp(fm_list_item_interest(&c->shape, c->item), c->p,
				   c->shape.interest_factors * sizeof(float)) == 0 &&
			c->item[count - 1] == c->interest_w);
}

static void
test_shape(bool has_interest, bool has_popularity, const char *name)
{
	int agree = 0, back = 0;

	for (int i = 0; i < CASES; i++)
	{
		Case c = make_case(has_interest, has_popularity);

		agree += scores_agree(&c);
		back += reads_back(&c);
	}
	ok(agree == CASES, "%s: the inner product is the formula", name);
	ok(back == CASES, "%s: both heads are read back bit for bit", name);
}

static void
test_scales(void)
{
	FmListShape shape = {4, 4, true, 3e-30, 1e30};
	int exponent;

	ok(frexp(fm_list_rating_scale(&shape), &exponent) == 0.5 &&
		   frexp(fm_list_popularity_scale(&shape), &exponent) == 0.5,
	   "scales are powers of two");
	ok(fm_list_rating_scale(&shape) > 1e-19 && fm_list_popularity_scale(&shape) < 2e18,
	   "scales are bounded");
	shape.interest_factors = 0;
	ok(fm_list_factors(&shape) == 5 && fm_list_rating_scale(&shape) == 1,
	   "without an interest head, popularity is all that is added to a vector");
}

int
main(void)
{
	random_state = 7;
	test_shape(false, false, "one head");
	test_shape(false, true, "one head and popularity");
	test_shape(true, false, "two heads");
	test_shape(true, true, "two heads and popularity");
	test_scales();
	return done_testing();
}
