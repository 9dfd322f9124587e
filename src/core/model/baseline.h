/*
 * Baselines: what the obvious thing gets without a model, from the same ratings.
 *
 *   a rating   the mean, plus what the item differs from it, plus what the user differs from both
 *   a label    the share of yes
 *   a list     the items with the most ratings that the user has not rated
 *
 * Differences are damped: a sum over n ratings is divided by n + FM_DAMPING, so few ratings say
 * little. A rating that is to be predicted can be left out of what it is predicted from.
 *
 * A baseline is filled in two passes over the ratings, in any order:
 *
 *   fm_baseline_create
 *   fm_baseline_count, fm_baseline_add_item   for each rating
 *   fm_baseline_finish_items                  now there are lists
 *   fm_baseline_add_user                      for each rating; only to predict ratings
 */
#ifndef FMTOPX_CORE_BASELINE_H
#define FMTOPX_CORE_BASELINE_H

#include "core/data/ratings.h"
#include "core/model/metrics.h"

/*
 * By how many ratings a mean is damped. RMSE on a random fifth, with 0, 2, 5, 10 and 25: MovieLens
 * 100k 0.954, 0.950, 0.950, 0.954, 0.964; 15 % of it 1.067, 1.022, 1.019, 1.025, 1.046; its last
 * fifth in time 1.033, 1.025, 1.024, 1.025, 1.032; planted data of 8 ratings a user 1.120, 1.068,
 * 1.056, 1.060, 1.077, of 100 a user 1.003, 0.998, 0.995, 0.995, 1.000.
 */
#define FM_DAMPING 5

typedef struct FmBaseline
{
	int32_t num_items;
	double mean;	  /* of the ratings; NaN: there are none */
	int32_t *popular; /* all items, those with the most rows first, ties by index */
	float *standing;  /* by item: the greater, the more popular; no two are equal */

	int64_t *item_rows;

	/* sums of values, and then of differences from the mean; of differences from mean and item */
	double rating_sum;
	int64_t num_ratings;
	double *item_sum;
	int64_t *item_count;
	double *user_sum;
	int64_t *user_count;
} FmBaseline;

extern FmBaseline *fm_baseline_create(int32_t num_users, int32_t num_items, const FmHost *host);

/* Count a row for the popularity of its item. */
static inline void
fm_baseline_count(FmBaseline *baseline, int32_t item)
{
	baseline->item_rows[item]++;
}

static inline void
fm_baseline_add_item(FmBaseline *baseline, int32_t item, double value)
{
	baseline->rating_sum += value;
	baseline->num_ratings++;
	baseline->item_sum[item] += value;
	baseline->item_count[item]++;
}

extern void fm_baseline_finish_items(FmBaseline *baseline, const FmHost *host);
extern void fm_baseline_add_user(FmBaseline *baseline, int32_t user, int32_t item, double value);

/* Do all of that with the ratings trained on. */
extern FmBaseline *fm_baseline_of(const FmRatings *ratings, const FmHost *host);

/*
 * Predict a rating. An item of which nothing is known may be any number from num_items on. `own`
 * is the value of the rating itself if it was added to the baseline, else NaN.
 */
extern double fm_baseline_rating(const FmBaseline *baseline, int32_t user, int32_t item,
								 double own);

/*
 * Write the x most popular items that are not excluded to `items`, best first; return how many.
 */
extern int32_t fm_baseline_list(const FmBaseline *baseline, const uint64_t *excluded, int32_t x,
								int32_t *items);

extern void fm_baseline_release(FmBaseline *baseline, const FmHost *host);

#endif
