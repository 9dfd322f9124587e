/*
 * The strength of pairs (strength.h).
 *
 * Ratings: exp(0.85 (g + z) / 2), where g is the standardised rating and z is g less the user's
 * mean, shrunk towards 0 by SHRINK rows. So a pair is strong if its rating is high, and if it is
 * high for this user.
 *
 * Counts: c / (c + m), where m is the median of the user's counts, shrunk in logarithms towards
 * the overall median by SHRINK rows. A count weighs at most twice as much as the user's median, so
 * neither a robot nor an outlier outweighs others, and it does not matter in which unit somebody is
 * counted.
 *
 * Neither changes if all ratings or counts are multiplied by a constant. Mean and deviation of the
 * ratings are taken without the outermost TAIL of the rows at each end, unless those alone differ.
 *
 * Memory: that of the host, released before returning. Every sum is over one user, or over the rows
 * in their order.
 */
#include "core/model/strength.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SLOPE 0.85
#define SHRINK 5.0

/* Standardised ratings beyond this count as this. */
#define MOST_DEVIATIONS 3.0

#define TAIL 0.005

#define CHECK_EVERY (1 << 16)

/* The memory for one user's rows. */
typedef struct Room
{
	double *sorted;
	float *strengths;
} Room;

/* Return a number that orders floats as their values do, 0 and -0 alike. */
static uint32_t
order_of(float value)
{
	uint32_t bits;

	value += 0.0f;
	memcpy(&bits, &value, sizeof(bits));
	return bits >> 31 ? ~bits : bits | UINT32_C(0x80000000);
}

static float
value_of(uint32_t order)
{
	uint32_t bits = order >> 31 ? order & ~UINT32_C(0x80000000) : ~order;
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/*
 * Return the value that `below` of the values come before, exactly: its upper 16 bits from a
 * histogram, then its lower ones.
 */
static float
select_value(const float *values, int64_t count, int64_t below, const FmHost *host)
{
	const int bins = 1 << 16;
	int64_t *histogram = host->alloc(host->ctx, bins, sizeof(int64_t));
	uint32_t upper = 0, lower = 0;

	for (int64_t r = 0; r < count; r++)
	{
		if (r % CHECK_EVERY == 0)
			host->check_interrupts(host->ctx);
		histogram[order_of(values[r]) >> 16]++;
	}
	while (below >= histogram[upper])
		below -= histogram[upper++];
	memset(histogram, 0, bins * sizeof(int64_t));
	for (int64_t r = 0; r < count; r++)
	{
		uint32_t order = order_of(values[r]);

		if (r % CHECK_EVERY == 0)
			host->check_interrupts(host->ctx);
		histogram[order & 0xffff] += order >> 16 == upper;
	}
	while (below >= histogram[lower])
		below -= histogram[lower++];
	host->release(host->ctx, histogram);
	return value_of(upper << 16 | lower);
}

/* Compute mean and deviation of values, each moved into [least, most]. */
static void
find_moments(const float *values, int64_t count, double least, double most, const FmHost *host,
			 FmStrength *strength)
{
	double mean = least, sum, sum2;

	/* Twice: the second time around the mean of the first, so that nothing cancels. */
	for (int pass = 0; pass < 2; pass++)
	{
		sum = sum2 = 0;
		for (int64_t r = 0; r < count; r++)
		{
			double distance = fmin(fmax(values[r], least), most) - mean;

			if (r % CHECK_EVERY == 0)
				host->check_interrupts(host->ctx);
			sum += distance;
			sum2 += distance * distance;
		}
		mean += sum / count;
	}
	strength->center = mean;
	strength->deviation = sqrt(sum2 / count);
}

static void
learn_ratings(const float *values, int64_t count, const FmHost *host, FmStrength *strength)
{
	int64_t tail = (int64_t) (TAIL * count);
	float least = select_value(values, count, tail, host);
	float most = select_value(values, count, count - 1 - tail, host);

	if (!(least < most))
	{
		least = select_value(values, count, 0, host);
		most = select_value(values, count, count - 1, host);
	}
	find_moments(values, count, least, most, host, strength);
	if (!(strength->deviation > 0 && isfinite(strength->deviation)))
		strength->deviation = 1;
}

static double
rating_of(const FmStrength *strength, float value)
{
	double g = (value - strength->center) / strength->deviation;

	return fmin(fmax(g, -MOST_DEVIATIONS), MOST_DEVIATIONS);
}

static int
compare_doubles(const void *a, const void *b)
{
	double left = *(const double *) a, right = *(const double *) b;

	return left < right ? -1 : left > right;
}

/* Return the logarithm of the m of a user. */
static double
unit_of_user(const FmStrength *strength, const float *weights, int64_t count, double *sorted)
{
	double median;

	for (int64_t r = 0; r < count; r++)
		sorted[r] = log(weights[r]);
	qsort(sorted, count, sizeof(double), compare_doubles);
	median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
	return strength->unit + (median - strength->unit) * (count / (count + SHRINK));
}

/* Compute the strengths of one user; `sorted` has room for a number for each row. */
static void
find_strengths(const FmStrength *strength, const float *values, const float *weights, int64_t count,
			   double *sorted, float *strengths)
{
	bool by_rating = strength->kind & FM_STRENGTH_RATINGS;
	bool by_count = (strength->kind & FM_STRENGTH_COUNTS) && weights != NULL;
	double unit = strength->unit, mean = 0;

	if (by_count && count > 0)
		unit = unit_of_user(strength, weights, count, sorted);
	for (int64_t r = 0; by_rating && r < count; r++)
		mean += rating_of(strength, values[r]) / (count + SHRINK);
	for (int64_t r = 0; r < count; r++)
	{
		double result = strength->scale;

		if (by_rating)
			result *= exp(SLOPE * (rating_of(strength, values[r]) - mean / 2));
		if (by_count)
			result /= 1 + exp(unit - log(weights[r]));
		else if (strength->kind & FM_STRENGTH_COUNTS)
			result /= 2;
		strengths[r] = (float) fmax(result, FLT_MIN);
	}
}

/* Return the largest number of ratings that a user has. */
static int64_t
most_rows(const FmRatings *ratings)
{
	int64_t most = 0;

	for (int32_t user = 0; user < ratings->num_users; user++)
	{
		int64_t count = ratings->user_start[user + 1] - ratings->user_start[user];

		most = count > most ? count : most;
	}
	return most;
}

static Room
make_room(int64_t rows, const FmHost *host)
{
	return (Room){host->alloc(host->ctx, (size_t) rows + 1, sizeof(double)),
				  host->alloc(host->ctx, (size_t) rows + 1, sizeof(float))};
}

static void
release_room(Room *room, const FmHost *host)
{
	host->release(host->ctx, room->sorted);
	host->release(host->ctx, room->strengths);
}

/* Compute the strengths of a user into the room; return the user's number of rows. */
static int64_t
strengths_into_room(const FmStrength *strength, const FmRatings *ratings, int32_t user, Room *room)
{
	int64_t begin = ratings->user_start[user], count = ratings->user_start[user + 1] - begin;

	find_strengths(strength, ratings->user_value + begin,
				   ratings->user_weight ? ratings->user_weight + begin : NULL, count, room->sorted,
				   room->strengths);
	return count;
}

void
fm_strength_learn(FmStrengthKind kind, const FmRatings *ratings, const FmHost *host,
				  FmStrength *strength)
{
	int64_t count = ratings->num_ratings;
	double sum = 0;
	Room room;

	*strength = (FmStrength){.kind = kind, .deviation = 1, .scale = 1};
	if (kind == FM_STRENGTH_EQUAL || count == 0)
		return;
	if (kind & FM_STRENGTH_RATINGS)
		learn_ratings(ratings->user_value, count, host, strength);
	if ((kind & FM_STRENGTH_COUNTS) && ratings->user_weight != NULL)
		strength->unit = log(select_value(ratings->user_weight, count, (count - 1) / 2, host));
	room = make_room(most_rows(ratings), host);
	for (int32_t user = 0; user < ratings->num_users; user++)
	{
		int64_t rows = strengths_into_room(strength, ratings, user, &room);

		if (user % 256 == 0)
			host->check_interrupts(host->ctx);
		for (int64_t r = 0; r < rows; r++)
			sum += room.strengths[r];
	}
	release_room(&room, host);
	strength->scale = count / sum;
}

void
fm_strengths_of_user(const FmStrength *strength, const float *values, const float *weights,
					 int64_t count, const FmHost *host, float *strengths)
{
	Room room = make_room(count, host);

	find_strengths(strength, values, weights, count, room.sorted, room.strengths);
	memcpy(strengths, room.strengths, count * sizeof(float));
	release_room(&room, host);
}

void
fm_strengths_of_ratings(const FmStrength *strength, const FmRatings *ratings, const FmHost *host,
						float *by_user, float *by_item)
{
	Room room = make_room(most_rows(ratings), host);
	int64_t *next = host->alloc(host->ctx, (size_t) ratings->num_items + 1, sizeof(int64_t));

	memcpy(next, ratings->item_start, (size_t) ratings->num_items * sizeof(int64_t));
	for (int32_t user = 0; user < ratings->num_users; user++)
	{
		int64_t begin = ratings->user_start[user];
		int64_t rows = strengths_into_room(strength, ratings, user, &room);

		if (user % 256 == 0)
			host->check_interrupts(host->ctx);
		memcpy(by_user + begin, room.strengths, rows * sizeof(float));
		/* an item's ratings are ascending by user, and those of a pair are in the same order */
		for (int64_t r = 0; r < rows; r++)
			by_item[next[ratings->user_item[begin + r]]++] = room.strengths[r];
	}
	host->release(host->ctx, next);
	release_room(&room, host);
}
