/*
 * Held-out ratings that a solver predicts after each iteration.
 *
 * The leader of a team alone does so, while the others wait at the next barrier. Memory: that of
 * the host.
 */
#include "core/model/watch.h"

#include <math.h>
#include <string.h>

#include "core/math/normal.h"
#include "core/math/rng.h"
#include "core/model/metrics.h"

/*
 * How many ratings are watched at most, and one for how many ratings trained on. An iteration takes
 * some rank² operations for each rating trained on, a prediction some rank.
 */
#define MOST_WATCHED 20000
#define RATINGS_PER_WATCHED 20
#define LEAST_WATCHED 500

/* How often an item that the user has is replaced by another. */
#define MOST_DRAWS 16

/* What a probability counts as at least. */
#define LEAST_PROBABILITY 1e-12

/* A stream of random numbers that no solver uses (train/problem.h). */
#define STREAM_OTHER_ITEM (1 << 17)

typedef struct Watched
{
	int32_t user;
	int32_t item;
	int32_t other; /* item, of a ranking */
	int32_t combination;
	float value;
	float weight;
	double sum; /* of predictions */
} Watched;

struct FmWatch
{
	FmTask task;
	const FmContexts *contexts;
	int32_t count;
	int32_t summed; /* calls whose predictions are in the sums */
	Watched *watched;
};

static bool
is_rated(const int64_t *start, int32_t entity)
{
	return start[entity] < start[entity + 1];
}

/* Return whether a user has an item. A user's items are in order. */
static bool
has_item(const FmRatings *ratings, int32_t user, int32_t item)
{
	int64_t low = ratings->user_start[user], high = ratings->user_start[user + 1];

	while (low < high)
	{
		int64_t middle = low + (high - low) / 2;

		if (ratings->user_item[middle] < item)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ratings->user_start[user + 1] && ratings->user_item[low] == item;
}

static int32_t
draw_other(const FmRatings *ratings, uint64_t seed, int64_t at, int32_t user, int32_t item)
{
	FmRandomSequence random = {{seed, STREAM_OTHER_ITEM, 0}, (uint32_t) at, 0};
	int32_t other = item;

	for (int draw = 0; draw < MOST_DRAWS; draw++)
	{
		other = (int32_t) (fm_random_uniform(&random) * ratings->num_items);
		if (other != item && is_rated(ratings->item_start, other) &&
			!has_item(ratings, user, other))
			break;
	}
	return other;
}

FmWatch *
fm_watch_create(FmTask task, const FmRatings *ratings, const FmTriples *held_out, uint64_t seed,
				const FmHost *host)
{
	int64_t most = ratings->num_ratings / RATINGS_PER_WATCHED, step;
	FmWatch *watch = host->alloc(host->ctx, 1, sizeof(FmWatch));

	most = most > MOST_WATCHED ? MOST_WATCHED : most < LEAST_WATCHED ? LEAST_WATCHED : most;
	step = (held_out->count + most - 1) / most;
	watch->task = task;
	watch->contexts = &ratings->contexts;
	watch->watched = host->alloc(host->ctx, most + 1, sizeof(Watched));
	for (int64_t r = 0; r < held_out->count; r += step)
	{
		int32_t user = held_out->user[r], item = held_out->item[r];

		if (!is_rated(ratings->user_start, user) || !is_rated(ratings->item_start, item))
			continue;
		watch->watched[watch->count++] = (Watched){
			user,
			item,
			task == FM_TASK_RANKING ? draw_other(ratings, seed, r, user, item) : item,
			held_out->context != NULL ? held_out->context[r] : 0,
			held_out->value[r],
			held_out->weight != NULL ? held_out->weight[r] : 1,
			0,
		};
	}
	if (watch->count > 0)
		return watch;
	fm_watch_release(watch, host);
	return NULL;
}

void
fm_watch_release(FmWatch *watch, const FmHost *host)
{
	if (watch == NULL)
		return;
	host->release(host->ctx, watch->watched);
	host->release(host->ctx, watch);
}

/* Return the inner product of two rows and the sum of their w, scales aside. */
static double
product(const FmWatchRows *rows, const float *a, const float *b)
{
	double sum = 0;

	for (int f = 0; f < rows->rank; f++)
		sum += (double) a[f] * b[f];
	return sum / ((double) a[rows->rank] * b[rows->rank]);
}

static double
own_w(const FmWatchRows *rows, const float *row)
{
	return -(double) row[rows->rank + 1] / row[rows->rank];
}

/* Return the standardised score of an item in the context of a rating. */
static double
score(const FmWatch *watch, const FmWatchRows *rows, const Watched *rating, int32_t item_index)
{
	const FmContexts *contexts = watch->contexts;
	const float *user = rows->side[FM_USERS] + (size_t) rating->user * rows->stride;
	const float *item = rows->side[FM_ITEMS] + (size_t) item_index * rows->stride;
	double sum = product(rows, user, item) + own_w(rows, user) + own_w(rows, item);

	for (int32_t c = 0; rows->levels != NULL && c < contexts->num_columns; c++)
	{
		int32_t level = contexts->level[(size_t) rating->combination * contexts->num_columns + c];
		const float *row = rows->levels + (size_t) level * rows->stride;

		/* no rating that was trained on may have the level */
		if (row[rows->rank] != 0)
			sum += product(rows, row, item) + own_w(rows, row);
	}
	return sum;
}

/* Return the prediction of a rating: a rating, or the probability of yes. */
static double
predict(const FmWatch *watch, const FmWatchRows *rows, const Watched *rating)
{
	double standardised = score(watch, rows, rating, rating->item);

	return watch->task == FM_TASK_CLASSIFICATION ? fm_normal_cdf(standardised + rows->mean)
												 : standardised * rows->deviation + rows->mean;
}

/* Return the share of pairs that are in the right order; equal scores count half. */
static double
share_in_order(const FmWatch *watch, const FmWatchRows *rows)
{
	double weight = 0, right = 0;

	for (int32_t r = 0; r < watch->count; r++)
	{
		const Watched *pair = &watch->watched[r];
		double difference = score(watch, rows, pair, pair->item) -
							score(watch, rows, pair, pair->other);

		weight += pair->weight;
		right += pair->weight * (difference > 0 ? 1 : difference < 0 ? 0 : 0.5);
	}
	return right / weight;
}

double
fm_watch_score(FmWatch *watch, const FmWatchRows *rows, bool averages)
{
	double loss = 0, weight = 0;

	if (watch->task == FM_TASK_RANKING)
		return share_in_order(watch, rows);
	watch->summed += averages;
	for (int32_t r = 0; r < watch->count; r++)
	{
		Watched *rating = &watch->watched[r];
		double predicted = predict(watch, rows, rating);

		if (averages)
		{
			rating->sum += predicted;
			predicted = rating->sum / watch->summed;
		}
		if (watch->task == FM_TASK_CLASSIFICATION)
			loss -= rating->weight *
					log(fmax(rating->value > 0 ? predicted : 1 - predicted, LEAST_PROBABILITY));
		else
			loss += rating->weight * (predicted - rating->value) * (predicted - rating->value);
		weight += rating->weight;
	}
	return watch->task == FM_TASK_CLASSIFICATION ? loss / weight : sqrt(loss / weight);
}
