/*
 * Merging the rows of equal pairs.
 *
 * Rows are brought into the order of the users. Only the rows of a user who has repeats are sorted.
 * Everything else is linear in the number of rows. Scratch memory is 4 bytes for each row and some
 * numbers for each user and item; it comes from the host and is released.
 *
 * ρ is 1 - (variance within pairs) / (variance of a row around what user and item explain). Every
 * pair counts once in both, however many rows it has. The more pairs repeat, the more that says:
 * SHRINKAGE pairs more, of identical rows, are added to those that do.
 */
#include "core/data/repeats.h"

#include <math.h>
#include <string.h>

#include "core/data/heap_sort.h"

#define INTERRUPT_EVERY (1 << 20)

/*
 * Pairs of identical rows that are added to those with repeats: what a join multiplies is more
 * usual than what somebody has measured twice.
 */
#define SHRINKAGE 20.0

/* ρ is rounded to one in so many. */
#define CORRELATION_STEPS 1000.0

/* The variance within a pair counts at most so many times the variance of all rows. */
#define VARIANCE_MAX 4.0

/* What is added to the number of pairs of a user or item when their mean is taken. */
#define DAMPING 5.0

void
fm_pair_add(FmPairSums *sums, double value, double weight)
{
	double distance;

	if (sums->rows++ == 0)
		sums->first = value;
	distance = value - sums->first;
	sums->weight += weight;
	sums->weight2 += weight * weight;
	sums->sum += weight * distance;
	sums->square += weight * distance * distance;
}

double
fm_pair_mean(const FmPairSums *sums)
{
	return sums->first + sums->sum / sums->weight;
}

/* Return Kish's effective number of rows. */
static double
effective_rows(const FmPairSums *sums)
{
	return sums->weight * sums->weight / sums->weight2;
}

double
fm_pair_weight(const FmPairSums *sums, double correlation)
{
	return sums->weight / (1 + (effective_rows(sums) - 1) * correlation);
}

/* Return the mean squared distance of the rows from their mean. */
static double
spread_of_pair(const FmPairSums *sums)
{
	double mean = sums->sum / sums->weight;

	return fmax(sums->square / sums->weight - mean * mean, 0);
}

/* The rows of a training while they are merged. */
typedef struct Merging
{
	FmTriples *triples;
	bool *is_late; /* or NULL */
	const FmHost *host;
	int32_t num_users;
	int32_t num_items;
	int64_t *start; /* of each user's rows, num_users + 1 */
} Merging;

static inline void
interrupt_now_and_then(const Merging *merging, int64_t i)
{
	if (i % INTERRUPT_EVERY == 0)
		merging->host->check_interrupts(merging->host->ctx);
}

static inline void
swap_indices(int32_t *array, int64_t a, int64_t b)
{
	int32_t kept = array[a];

	array[a] = array[b];
	array[b] = kept;
}

static inline void
swap_numbers(float *array, int64_t a, int64_t b)
{
	float kept = array[a];

	array[a] = array[b];
	array[b] = kept;
}

static void
swap_rows(const void *rows, int64_t a, int64_t b)
{
	const Merging *merging = rows;
	FmTriples *triples = merging->triples;

	swap_indices(triples->user, a, b);
	swap_indices(triples->item, a, b);
	swap_numbers(triples->value, a, b);
	if (triples->weight != NULL)
		swap_numbers(triples->weight, a, b);
	if (triples->context != NULL)
		swap_indices(triples->context, a, b);
	if (merging->is_late != NULL)
	{
		bool kept = merging->is_late[a];

		merging->is_late[a] = merging->is_late[b];
		merging->is_late[b] = kept;
	}
}

/* Find where each user's rows begin in the order of the users; return whether they are in it. */
static bool
count_rows(Merging *merging)
{
	const FmHost *host = merging->host;
	const FmTriples *triples = merging->triples;
	bool ordered = true;

	merging->start = host->alloc(host->ctx, (size_t) merging->num_users + 1, sizeof(int64_t));
	for (int64_t r = 0; r < triples->count; r++)
	{
		merging->start[triples->user[r] + 1]++;
		ordered &= r == 0 || triples->user[r - 1] <= triples->user[r];
	}
	for (int32_t user = 0; user < merging->num_users; user++)
		merging->start[user + 1] += merging->start[user];
	return ordered;
}

/* An index or a float of a row. */
typedef uint32_t Number __attribute__((may_alias));

/* Bring an array of such numbers, one for each row, into the order of the users. */
static void
order_numbers(const Merging *merging, void *array, Number *scratch, int64_t *next)
{
	const FmTriples *triples = merging->triples;
	Number *numbers = array;

	if (numbers == NULL)
		return;
	memcpy(next, merging->start, (size_t) merging->num_users * sizeof(int64_t));
	for (int64_t r = 0; r < triples->count; r++)
	{
		interrupt_now_and_then(merging, r);
		scratch[next[triples->user[r]]++] = numbers[r];
	}
	memcpy(numbers, scratch, (size_t) triples->count * sizeof(Number));
}

/* Do the same for whether rows are late. */
static void
order_flags(const Merging *merging, bool *flags, bool *scratch, int64_t *next)
{
	const FmTriples *triples = merging->triples;

	if (flags == NULL)
		return;
	memcpy(next, merging->start, (size_t) merging->num_users * sizeof(int64_t));
	for (int64_t r = 0; r < triples->count; r++)
		scratch[next[triples->user[r]]++] = flags[r];
	memcpy(flags, scratch, (size_t) triples->count * sizeof(bool));
}

/* Bring the rows into the order of the users. */
static void
group_by_user(Merging *merging)
{
	const FmHost *host = merging->host;
	const FmTriples *triples = merging->triples;
	Number *scratch;
	int64_t *next;

	if (count_rows(merging))
		return;
	scratch = host->alloc(host->ctx, (size_t) triples->count, sizeof(Number));
	next = host->alloc(host->ctx, (size_t) merging->num_users + 1, sizeof(int64_t));
	order_numbers(merging, triples->item, scratch, next);
	order_numbers(merging, triples->value, scratch, next);
	order_numbers(merging, triples->weight, scratch, next);
	order_numbers(merging, triples->context, scratch, next);
	order_flags(merging, merging->is_late, (bool *) scratch, next);
	for (int32_t user = 0; user < merging->num_users; user++)
		for (int64_t r = merging->start[user]; r < merging->start[user + 1]; r++)
			triples->user[r] = user;
	host->release(host->ctx, next);
	host->release(host->ctx, scratch);
}

/* Sort by item, context, value and weight: everything but whether a row is late. */
static bool
comes_before(const void *rows, int64_t a, int64_t b)
{
	const FmTriples *triples = ((const Merging *) rows)->triples;

	if (triples->item[a] != triples->item[b])
		return triples->item[a] < triples->item[b];
	if (triples->context != NULL && triples->context[a] != triples->context[b])
		return triples->context[a] < triples->context[b];
	if (triples->value[a] != triples->value[b])
		return triples->value[a] < triples->value[b];
	return triples->weight != NULL && triples->weight[a] < triples->weight[b];
}

/* Sort the rows of all users who have an item more than once; return whether there are any. */
static bool
sort_repeats(const Merging *merging)
{
	const FmHost *host = merging->host;
	/* 1 + the last user who had the item */
	int32_t *seen = host->alloc(host->ctx, (size_t) merging->num_items + 1, sizeof(int32_t));
	bool any = false;

	for (int32_t user = 0; user < merging->num_users; user++)
	{
		int64_t begin = merging->start[user], end = merging->start[user + 1];
		bool repeats = false;

		for (int64_t r = begin; r < end && !repeats; r++)
		{
			int32_t *last = &seen[merging->triples->item[r]];

			interrupt_now_and_then(merging, r);
			repeats = *last == user + 1;
			*last = user + 1;
		}
		if (repeats)
			fm_heap_sort(&(FmHeapSort){host, merging, comes_before, swap_rows}, begin, end - begin);
		any |= repeats;
	}
	host->release(host->ctx, seen);
	return any;
}

/* Sum up the rows of a pair, from the first on; return where they end. */
static int64_t
sum_pair(const FmTriples *triples, int64_t first, FmPairSums *sums)
{
	int64_t r = first;

	*sums = (FmPairSums){0};
	do
		fm_pair_add(sums, triples->value[r], triples->weight != NULL ? triples->weight[r] : 1);
	while (++r < triples->count && triples->user[r] == triples->user[first] &&
		   triples->item[r] == triples->item[first] &&
		   (triples->context == NULL || triples->context[r] == triples->context[first]));
	return r;
}

/* The mean of what is left of the pairs of a user or an item, drawn towards 0. */
typedef struct Effect
{
	double sum;
	int64_t pairs;
} Effect;

static inline double
effect_of(const Effect *effect)
{
	return effect->sum / ((double) effect->pairs + DAMPING);
}

static inline void
add_to_effect(Effect *effect, double value)
{
	effect->sum += value;
	effect->pairs++;
}

static double
mean_of_pairs(const Merging *merging)
{
	const FmTriples *triples = merging->triples;
	FmPairSums pairs = {0}, sums;

	for (int64_t r = 0; r < triples->count;)
	{
		r = sum_pair(triples, r, &sums);
		fm_pair_add(&pairs, fm_pair_mean(&sums), 1);
	}
	return fm_pair_mean(&pairs);
}

/* Return the variance of a row around what its user and its item explain. */
static double
variance_of_rows(const Merging *merging)
{
	const FmHost *host = merging->host;
	const FmTriples *triples = merging->triples;
	Effect *items = host->alloc(host->ctx, (size_t) merging->num_items + 1, sizeof(Effect));
	Effect *users = host->alloc(host->ctx, (size_t) merging->num_users + 1, sizeof(Effect));
	double mean = mean_of_pairs(merging), sum = 0;
	int64_t pairs = 0;

	for (int pass = 0; pass < 3; pass++)
		for (int64_t first = 0, r; first < triples->count; first = r)
		{
			Effect *item = &items[triples->item[first]], *user = &users[triples->user[first]];
			FmPairSums sums;
			double rest;

			interrupt_now_and_then(merging, first);
			r = sum_pair(triples, first, &sums);
			rest = fm_pair_mean(&sums) - mean;
			if (pass == 0)
				add_to_effect(item, rest);
			else if (pass == 1)
				add_to_effect(user, rest - effect_of(item));
			else
			{
				rest -= effect_of(item) + effect_of(user);
				sum += rest * rest + spread_of_pair(&sums);
				pairs++;
			}
		}
	host->release(host->ctx, items);
	host->release(host->ctx, users);
	return sum / (double) pairs;
}

double
fm_round_correlation(double correlation)
{
	correlation = fmin(fmax(correlation, FM_CORRELATION_MIN), 1);
	return rint(correlation * CORRELATION_STEPS) / CORRELATION_STEPS;
}

static double
estimate_correlation(const Merging *merging, double variance)
{
	const FmTriples *triples = merging->triples;
	double within = 0, pairs = SHRINKAGE;

	for (int64_t r = 0; r < triples->count;)
	{
		FmPairSums sums;
		double more;

		r = sum_pair(triples, r, &sums);
		more = effective_rows(&sums) - 1;
		if (sums.rows == 1)
			continue;
		pairs++;
		/* unbiased: the rows are around their own mean */
		if (more > 0 && variance > 0)
			within += fmin(spread_of_pair(&sums) * (more + 1) / (more * variance), VARIANCE_MAX);
	}
	return fm_round_correlation(1 - within / pairs);
}

/* Write one row of the result. */
static void
write_row(const FmTriples *triples, int64_t to, int64_t from, double value, double weight)
{
	triples->user[to] = triples->user[from];
	triples->item[to] = triples->item[from];
	if (triples->context != NULL)
		triples->context[to] = triples->context[from];
	triples->value[to] = (float) value;
	triples->weight[to] = (float) weight;
}

/* Write the rows of a pair: one or, of labels that differ, two. Return how many. */
static int
write_pair(const FmTriples *triples, int64_t to, int64_t from, const FmPairSums *sums, bool labels,
		   double correlation)
{
	double mean = fm_pair_mean(sums), weight = fm_pair_weight(sums, correlation);

	if (!labels || mean <= 0 || mean >= 1)
	{
		write_row(triples, to, from, mean, weight);
		return 1;
	}
	write_row(triples, to, from, 0, weight * (1 - mean));
	write_row(triples, to + 1, to, 1, weight * mean);
	return 2;
}

/* Make all rows of a user and an item late if any of them is. */
static void
spread_late(const Merging *merging)
{
	const FmTriples *triples = merging->triples;
	bool *is_late = merging->is_late;

	for (int64_t first = 0, end; first < triples->count; first = end)
	{
		bool late = is_late[first];

		interrupt_now_and_then(merging, first);
		for (end = first + 1; end < triples->count && triples->user[end] == triples->user[first] &&
							  triples->item[end] == triples->item[first];
			 end++)
			late |= is_late[end];
		memset(is_late + first, late, (size_t) (end - first) * sizeof(bool));
	}
}

/* Write all pairs to the front; return how many there are. */
static int64_t
write_pairs(const Merging *merging, bool labels, double correlation)
{
	FmTriples *triples = merging->triples;
	int64_t to = 0, pairs = 0, count = triples->count;

	for (int64_t first = 0, end; first < count; first = end)
	{
		FmPairSums sums;
		bool late = merging->is_late != NULL && merging->is_late[first];
		int rows;

		interrupt_now_and_then(merging, first);
		end = sum_pair(triples, first, &sums);
		rows = write_pair(triples, to, first, &sums, labels, correlation);
		for (; rows > 0; rows--, to++)
			if (merging->is_late != NULL)
				merging->is_late[to] = late;
		pairs++;
	}
	triples->count = to;
	return pairs;
}

static bool
all_are_one(const float *weight, int64_t count)
{
	for (int64_t r = 0; r < count; r++)
		if (weight[r] != 1)
			return false;
	return true;
}

FmRepeats
fm_merge_repeats(FmTriples *triples, bool *is_late, bool labels, double correlation, float *spare,
				 int32_t num_users, int32_t num_items, const FmHost *host)
{
	Merging merging = {triples, is_late, host, num_users, num_items, NULL};
	FmRepeats repeats = {triples->count, triples->count, isnan(correlation) ? 1 : correlation, 0};
	bool repeat;

	group_by_user(&merging);
	repeat = sort_repeats(&merging);
	host->release(host->ctx, merging.start);
	if (!repeat)
		return repeats;
	if (is_late != NULL)
		spread_late(&merging);
	if (isnan(correlation))
	{
		repeats.row_variance = variance_of_rows(&merging);
		repeats.correlation = estimate_correlation(&merging, repeats.row_variance);
	}
	if (triples->weight == NULL)
	{
		for (int64_t r = 0; r < triples->count; r++)
			spare[r] = 1;
		triples->weight = spare;
	}
	repeats.pairs = write_pairs(&merging, labels, repeats.correlation);
	if (triples->weight == spare && all_are_one(spare, triples->count))
		triples->weight = NULL;
	return repeats;
}
