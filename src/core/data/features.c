/*
 * Features: from entries in any order to columns of a sparse matrix.
 *
 * Entries are sorted by level, entity and value, so that no sum and no order depends on the order
 * in which they were read. Memory: sorting needs a second copy of the entries, and releases it.
 */
#include "core/data/features.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_EVERY 65536

typedef struct Entry
{
	int32_t level;
	int32_t entity;
	float value;
} Entry;

static int
compare_entries(const void *a, const void *b)
{
	const Entry *x = a, *y = b;

	if (x->level != y->level)
		return x->level < y->level ? -1 : 1;
	if (x->entity != y->entity)
		return x->entity < y->entity ? -1 : 1;
	return x->value < y->value ? -1 : x->value > y->value;
}

/*
 * Sort `count` entries by merging runs, checking for interrupts. Return the one of the two arrays
 * that holds the result.
 */
static Entry *
sort_entries(Entry *from, Entry *to, int64_t count, const FmHost *host)
{
	for (int64_t at = 0; at < count; at += CHECK_EVERY)
	{
		qsort(from + at, count - at < CHECK_EVERY ? count - at : CHECK_EVERY, sizeof(Entry),
			  compare_entries);
		host->check_interrupts(host->ctx);
	}
	for (int64_t run = CHECK_EVERY; run < count; run *= 2)
	{
		Entry *sorted = to;

		for (int64_t begin = 0; begin < count; begin += 2 * run)
		{
			int64_t middle = begin + run < count ? begin + run : count;
			int64_t end = begin + 2 * run < count ? begin + 2 * run : count;

			for (int64_t at = begin, a = begin, b = middle; at < end; at++)
			{
				if (at % CHECK_EVERY == 0)
					host->check_interrupts(host->ctx);
				if (b == end || (a < middle && compare_entries(&from[a], &from[b]) <= 0))
					to[at] = from[a++];
				else
					to[at] = from[b++];
			}
		}
		to = from;
		from = sorted;
	}
	return from;
}

/* Return how many entries each entity has at least; 0 if there are no entries. */
static int64_t
least_repeats(const Entry *entries, int64_t count)
{
	int64_t least = count;

	for (int64_t at = 0, first = 0; at < count; first = at)
	{
		while (at < count && entries[at].entity == entries[first].entity)
			at++;
		least = at - first < least ? at - first : least;
	}
	return least;
}

/*
 * Add up entries of the same entity, in place; return how many of `count` are left. A center was
 * subtracted from each entry, and is `repeats` times from each sum.
 */
static int64_t
merge_entries(Entry *entries, int64_t count, double center, int64_t repeats)
{
	int64_t merged = 0;

	for (int64_t at = 0; at < count;)
	{
		Entry entry = entries[at];
		int64_t first = at;
		double sum = 0;

		for (; at < count && entries[at].entity == entry.entity; at++)
			sum += entries[at].value;
		sum += (double) (at - first - repeats) * center;
		entry.value = (float) sum;
		entries[merged++] = entry;
	}
	return merged;
}

/*
 * Compute mean and deviation of a level's values: 0 and 1 unless it is numeric; deviation 0 if all
 * are equal.
 */
static void
measure_level(const Entry *entries, int64_t count, bool is_numeric, double *mean, double *deviation)
{
	double sum = 0, sum2 = 0;
	bool differ = false;

	*mean = 0;
	*deviation = 1;
	if (!is_numeric)
		return;
	for (int64_t at = 0; at < count; at++)
	{
		sum += entries[at].value;
		differ = differ || entries[at].value != entries[0].value;
	}
	if (count > 0)
		*mean = sum / count;
	for (int64_t at = 0; at < count; at++)
		sum2 += (entries[at].value - *mean) * (entries[at].value - *mean);
	*deviation = differ ? sqrt(sum2 / count) : 0;
}

/* Append one level's sorted entries to the features, unless they tell nothing. */
static void
add_level(FmFeatureEntries *entries, int32_t level, Entry *sorted, int64_t count,
		  FmFeatures *features)
{
	double *mean = &entries->mean[level], *deviation = &entries->deviation[level];
	int64_t at = features->start[features->num_levels];
	double center = entries->center != NULL ? entries->center[level] : 0;
	int64_t repeats = center != 0 ? least_repeats(sorted, count) : 1;

	count = merge_entries(sorted, count, center, repeats);
	measure_level(sorted, count, entries->is_numeric[level], mean, deviation);
	entries->place[level] = -1;
	if (count < 2 || !(*deviation > 0))
		return;
	for (int64_t i = 0; i < count; i++, at++)
	{
		features->entity[at] = sorted[i].entity;
		features->value[at] = (float) ((sorted[i].value - *mean) / *deviation);
	}
	entries->place[level] = features->num_levels;
	*mean += (double) repeats * center;
	features->group[features->num_levels] = entries->group[level];
	features->start[++features->num_levels] = at;
}

void
fm_features_build(FmFeatureEntries *entries, const FmHost *host, FmFeatures *features)
{
	int64_t count = entries->count, at = 0;
	Entry *memory = host->alloc(host->ctx, 2 * count, sizeof(Entry)), *sorted;

	for (int64_t i = 0; i < count; i++)
		memory[i] = (Entry){entries->level[i], entries->entity[i], entries->value[i]};
	sorted = sort_entries(memory, memory + count, count, host);
	entries->place = host->alloc(host->ctx, entries->num_levels, sizeof(int32_t));
	entries->mean = host->alloc(host->ctx, entries->num_levels, sizeof(double));
	entries->deviation = host->alloc(host->ctx, entries->num_levels, sizeof(double));
	features->num_levels = 0;
	features->num_groups = entries->num_groups;
	features->start = host->alloc(host->ctx, (size_t) entries->num_levels + 1, sizeof(int64_t));
	features->entity = host->alloc(host->ctx, count, sizeof(int32_t));
	features->value = host->alloc(host->ctx, count, sizeof(float));
	features->group = host->alloc(host->ctx, entries->num_levels, sizeof(int32_t));
	for (int32_t level = 0; level < entries->num_levels; level++)
	{
		int64_t begin = at;

		while (at < count && sorted[at].level == level)
			at++;
		add_level(entries, level, sorted + begin, at - begin, features);
	}
	host->release(host->ctx, memory);
}

double
fm_features_size(int64_t num_entries, int32_t num_levels)
{
	return (double) num_entries * (sizeof(int32_t) + sizeof(float)) +
		   ((double) num_levels + 1) * (sizeof(int64_t) + sizeof(int32_t));
}
