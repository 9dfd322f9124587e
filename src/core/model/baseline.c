/*
 * Baselines: damped means and popular items (baseline.h). Memory: that of the host.
 */
#include "core/model/baseline.h"

#include <math.h>
#include <stdlib.h>

#include "core/bitset.h"

FmBaseline *
fm_baseline_create(int32_t num_users, int32_t num_items, const FmHost *host)
{
	FmBaseline *baseline = host->alloc(host->ctx, 1, sizeof(FmBaseline));
	size_t users = (size_t) num_users + 1, items = (size_t) num_items + 1;

	baseline->num_items = num_items;
	baseline->mean = NAN;
	baseline->popular = host->alloc(host->ctx, items, sizeof(int32_t));
	baseline->standing = host->alloc(host->ctx, items, sizeof(float));
	baseline->item_rows = host->alloc(host->ctx, items, sizeof(int64_t));
	baseline->item_sum = host->alloc(host->ctx, items, sizeof(double));
	baseline->item_count = host->alloc(host->ctx, items, sizeof(int64_t));
	baseline->user_sum = host->alloc(host->ctx, users, sizeof(double));
	baseline->user_count = host->alloc(host->ctx, users, sizeof(int64_t));
	return baseline;
}

/* An item as it is sorted by popularity. */
typedef struct Place
{
	int64_t rows;
	int32_t item;
} Place;

static int
compare_places(const void *left, const void *right)
{
	const Place *a = left, *b = right;

	if (a->rows != b->rows)
		return a->rows > b->rows ? -1 : 1;
	return a->item < b->item ? -1 : a->item > b->item;
}

void
fm_baseline_finish_items(FmBaseline *baseline, const FmHost *host)
{
	int32_t count = baseline->num_items;
	Place *places = host->alloc(host->ctx, (size_t) count + 1, sizeof(Place));

	for (int32_t item = 0; item < count; item++)
		places[item] = (Place){baseline->item_rows[item], item};
	qsort(places, count, sizeof(Place), compare_places);
	for (int32_t rank = 0; rank < count; rank++)
	{
		baseline->popular[rank] = places[rank].item;
		baseline->standing[places[rank].item] = (float) -rank;
	}
	host->release(host->ctx, places);
	if (baseline->num_ratings == 0)
		return;
	baseline->mean = baseline->rating_sum / (double) baseline->num_ratings;
	for (int32_t item = 0; item < count; item++)
		baseline->item_sum[item] -= baseline->mean * (double) baseline->item_count[item];
}

/* Return a damped mean of differences, without `own` unless that is NaN. */
static double
damped(double sum, int64_t count, double own)
{
	if (count == 0)
		return 0;
	return isnan(own) ? sum / ((double) count + FM_DAMPING)
					  : (sum - own) / ((double) count - 1 + FM_DAMPING);
}

static double
item_difference(const FmBaseline *baseline, int32_t item, double own)
{
	if (item >= baseline->num_items)
		return 0;
	return damped(baseline->item_sum[item], baseline->item_count[item], own);
}

void
fm_baseline_add_user(FmBaseline *baseline, int32_t user, int32_t item, double value)
{
	baseline->user_sum[user] += value - baseline->mean - item_difference(baseline, item, NAN);
	baseline->user_count[user]++;
}

double
fm_baseline_rating(const FmBaseline *baseline, int32_t user, int32_t item, double own)
{
	double own_difference = own - baseline->mean;
	double own_rest = own_difference - item_difference(baseline, item, NAN);

	return baseline->mean + item_difference(baseline, item, own_difference) +
		   damped(baseline->user_sum[user], baseline->user_count[user], own_rest);
}

FmBaseline *
fm_baseline_of(const FmRatings *ratings, const FmHost *host)
{
	FmBaseline *baseline = fm_baseline_create(ratings->num_users, ratings->num_items, host);

	for (int32_t item = 0; item < ratings->num_items; item++)
		for (int64_t r = ratings->item_start[item]; r < ratings->item_start[item + 1]; r++)
		{
			fm_baseline_count(baseline, item);
			fm_baseline_add_item(baseline, item, ratings->item_value[r]);
		}
	fm_baseline_finish_items(baseline, host);
	for (int32_t user = 0; user < ratings->num_users; user++)
		for (int64_t r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
			fm_baseline_add_user(baseline, user, ratings->user_item[r], ratings->user_value[r]);
	return baseline;
}

int32_t
fm_baseline_list(const FmBaseline *baseline, const uint64_t *excluded, int32_t x, int32_t *items)
{
	int32_t length = 0;

	for (int32_t rank = 0; rank < baseline->num_items && length < x; rank++)
		if (!fm_bitset_has(excluded, baseline->popular[rank]))
			items[length++] = baseline->popular[rank];
	return length;
}

void
fm_baseline_release(FmBaseline *baseline, const FmHost *host)
{
	host->release(host->ctx, baseline->popular);
	host->release(host->ctx, baseline->standing);
	host->release(host->ctx, baseline->item_rows);
	host->release(host->ctx, baseline->item_sum);
	host->release(host->ctx, baseline->item_count);
	host->release(host->ctx, baseline->user_sum);
	host->release(host->ctx, baseline->user_count);
	host->release(host->ctx, baseline);
}
