/*
 * Recency: how much a rating counts by its age.
 *
 * All times are sorted once, and those of each user once more. Memory: two numbers for each rating
 * while this is done, one entry afterwards. It comes from the host.
 */
#include "core/data/recency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INTERRUPT_EVERY (1 << 20)

static int
compare_times(const void *a, const void *b)
{
	double left = *(const double *) a, right = *(const double *) b;

	return left < right ? -1 : left > right;
}

static double
known_time(double time)
{
	return isnan(time) ? -INFINITY : time;
}

/* Return the share of sorted times that are later. */
static double
newer_share(const double *sorted, int64_t count, double time)
{
	int64_t low = 0, high = count;

	while (low < high)
	{
		int64_t middle = low + (high - low) / 2;

		if (sorted[middle] <= time)
			low = middle + 1;
		else
			high = middle;
	}
	return (double) (count - low) / (double) count;
}

/* By item, the oldest rating first. */
static int
compare_entries(const void *a, const void *b)
{
	const FmRecencyEntry *left = a, *right = b;

	if (left->item != right->item)
		return left->item < right->item ? -1 : 1;
	return left->factor < right->factor ? -1 : left->factor > right->factor;
}

static void
sort_entries(FmRecency *recency, int32_t user)
{
	qsort(recency->entry + recency->start[user], recency->start[user + 1] - recency->start[user],
		  sizeof(FmRecencyEntry), compare_entries);
}

/* Allocate, and find where each user's entries begin. */
static void
allocate_entries(const FmTriples *triples, int32_t num_users, const FmHost *host,
				 FmRecency *recency)
{
	recency->num_users = num_users;
	recency->start = host->alloc(host->ctx, (size_t) num_users + 2, sizeof(int64_t));
	recency->entry = host->alloc(host->ctx, (size_t) triples->count + 1, sizeof(FmRecencyEntry));
	/* two places further, so that the next loops can count up to the right places */
	for (int64_t r = 0; r < triples->count; r++)
		recency->start[triples->user[r] + 2]++;
	for (int32_t user = 0; user < num_users; user++)
		recency->start[user + 1] += recency->start[user];
}

/*
 * Write an entry for each rating whose factor tells how its time compares with those of all;
 * by_user gets the times, in the same order.
 */
static void
compare_with_all(const FmTriples *triples, const double *time, double *sorted, double *by_user,
				 const FmHost *host, FmRecency *recency)
{
	for (int64_t r = 0; r < triples->count; r++)
		sorted[r] = known_time(time[r]);
	qsort(sorted, triples->count, sizeof(double), compare_times);
	for (int64_t r = 0; r < triples->count; r++)
	{
		int64_t to = recency->start[triples->user[r] + 1]++;

		if (r % INTERRUPT_EVERY == 0)
			host->check_interrupts(host->ctx);
		by_user[to] = known_time(time[r]);
		recency->entry[to].item = triples->item[r];
		recency->entry[to].factor = (float) exp2(-newer_share(sorted, triples->count, by_user[to]));
	}
}

/* Multiply the factors by how the times compare with those of the same user. */
static void
compare_with_own(const double *by_user, double *sorted, const FmHost *host, FmRecency *recency)
{
	for (int32_t user = 0; user < recency->num_users; user++)
	{
		int64_t begin = recency->start[user], count = recency->start[user + 1] - begin;

		if (user % 1024 == 0)
			host->check_interrupts(host->ctx);
		memcpy(sorted, by_user + begin, count * sizeof(double));
		qsort(sorted, count, sizeof(double), compare_times);
		for (int64_t r = 0; r < count; r++)
			recency->entry[begin + r].factor *= (float) exp2(
				-newer_share(sorted, count, by_user[begin + r]));
		sort_entries(recency, user);
	}
}

void
fm_recency_create(const FmTriples *triples, const double *time, int32_t num_users,
				  const FmHost *host, FmRecency *recency)
{
	double *sorted = host->alloc(host->ctx, (size_t) triples->count + 1, sizeof(double));
	double *by_user = host->alloc(host->ctx, (size_t) triples->count + 1, sizeof(double));

	allocate_entries(triples, num_users, host, recency);
	compare_with_all(triples, time, sorted, by_user, host, recency);
	compare_with_own(by_user, sorted, host, recency);
	host->release(host->ctx, sorted);
	host->release(host->ctx, by_user);
}

void
fm_recency_renumber(FmRecency *recency, const int32_t *user, const int32_t *item,
					const FmHost *host)
{
	int32_t num_users = recency->num_users;
	FmRecency old = *recency;

	recency->start = host->alloc(host->ctx, (size_t) num_users + 2, sizeof(int64_t));
	recency->entry = host->alloc(host->ctx, (size_t) old.start[num_users] + 1,
								 sizeof(FmRecencyEntry));
	for (int32_t u = 0; u < num_users; u++)
		recency->start[user[u] + 1] = old.start[u + 1] - old.start[u];
	for (int32_t u = 0; u < num_users; u++)
		recency->start[u + 1] += recency->start[u];
	for (int32_t u = 0; u < num_users; u++)
	{
		FmRecencyEntry *to = recency->entry + recency->start[user[u]];

		for (int64_t r = old.start[u]; r < old.start[u + 1]; r++)
			*to++ = (FmRecencyEntry){item[old.entry[r].item], old.entry[r].factor};
		sort_entries(recency, user[u]);
	}
	fm_recency_release(&old, host);
}

float
fm_recency_factor(const FmRecency *recency, int32_t user, int32_t item)
{
	int64_t low = recency->start[user], high = recency->start[user + 1];

	/* the last entry of an item is its newest */
	while (low < high)
	{
		int64_t middle = low + (high - low) / 2;

		if (recency->entry[middle].item <= item)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == recency->start[user] || recency->entry[low - 1].item != item)
		return 1;
	return recency->entry[low - 1].factor;
}

void
fm_recency_release(FmRecency *recency, const FmHost *host)
{
	host->release(host->ctx, recency->start);
	host->release(host->ctx, recency->entry);
}
