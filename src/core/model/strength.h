/*
 * The strength of a pair: how much it says that a user chose an item, from how it was rated and how
 * often or how much it was used.
 *
 * A training learns a few numbers from its rows. With them, a user's rows alone say their
 * strengths, in the training and when the user is folded in later.
 */
#ifndef FMTOPX_CORE_STRENGTH_H
#define FMTOPX_CORE_STRENGTH_H

#include "core/data/ratings.h"

/* What strengths are made of. */
typedef enum FmStrengthKind
{
	FM_STRENGTH_EQUAL = 0,	 /* all are 1 */
	FM_STRENGTH_COUNTS = 1,	 /* of the weights: listens, purchases, seconds */
	FM_STRENGTH_RATINGS = 2, /* of the values: ratings, or 0 and 1 of a classification */
	FM_STRENGTH_BOTH = 3	 /* the product of these two */
} FmStrengthKind;

typedef struct FmStrength
{
	FmStrengthKind kind;
	double center;	  /* of the ratings: their mean */
	double deviation; /* of the ratings, above 0 */
	double unit;	  /* of the counts: the logarithm of their median */
	double scale;	  /* what makes the mean strength of the training 1 */
} FmStrength;

/* Learn from the rows of a training. */
extern void fm_strength_learn(FmStrengthKind kind, const FmRatings *ratings, const FmHost *host,
							  FmStrength *strength);

/*
 * Compute the strengths of all rows of one user; they do not depend on the order. Values are
 * finite, weights above 0 and finite, and so are the strengths. Without weights (NULL) all counts
 * are as the median.
 */
extern void fm_strengths_of_user(const FmStrength *strength, const float *values,
								 const float *weights, int64_t count, const FmHost *host,
								 float *strengths);

/*
 * Compute the strengths of all ratings, in the order of the users and in that of the items. The
 * results may be the weights of the ratings themselves.
 */
extern void fm_strengths_of_ratings(const FmStrength *strength, const FmRatings *ratings,
									const FmHost *host, float *by_user, float *by_item);

#endif
