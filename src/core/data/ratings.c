/*
 * From ratings as read to ratings as trained on: canonical order, compressed rows, held-out share.
 *
 * Everything here is linear in the number of ratings, except sorting those of one pair. Memory
 * comes from the host; scratch memory is released before returning.
 */
#include "core/data/ratings.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/heap_sort.h"

#define INTERRUPT_EVERY (1 << 20)

/* When the unit of weights and what it bounds have converged; the rounds that they may take. */
#define UNIT_TOLERANCE 1e-9
#define UNIT_ROUNDS 100

/* splitmix64's finaliser (Steele, Lea & Flood 2014) */
static inline uint64_t
mix64(uint64_t key)
{
	key = (key ^ (key >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	key = (key ^ (key >> 27)) * UINT64_C(0x94d049bb133111eb);
	return key ^ (key >> 31);
}

static inline uint64_t
value_bits(float value)
{
	uint32_t bits;

	value += 0.0f; /* −0 and 0 are one value */
	memcpy(&bits, &value, sizeof(bits));
	return mix64(bits + UINT64_C(0x9e3779b97f4a7c15));
}

static inline void
interrupt_now_and_then(const FmHost *host, int64_t i)
{
	if (i % INTERRUPT_EVERY == 0)
		host->check_interrupts(host->ctx);
}

/*
 * Do one round: a user's colour becomes a hash of the old one and the multiset of (item colour,
 * value).
 */
static void
refine_colours(const FmTriples *triples, const int32_t *of, const int32_t *by, uint64_t *colour,
			   int32_t num_colours, const uint64_t *neighbour, const FmHost *host)
{
	for (int32_t e = 0; e < num_colours; e++)
		colour[e] = mix64(colour[e] + 1);
	for (int64_t r = 0; r < triples->count; r++)
	{
		interrupt_now_and_then(host, r);
		uint64_t edge = neighbour[by[r]] ^ value_bits(triples->value[r]);

		/* a sum does not depend on the order of the rows */
		colour[of[r]] += mix64(edge);
	}
}

typedef struct Coloured
{
	uint64_t colour;
	int32_t index;
} Coloured;

static int
compare_coloured(const void *a, const void *b)
{
	const Coloured *left = a;
	const Coloured *right = b;

	if (left->colour != right->colour)
		return left->colour < right->colour ? -1 : 1;
	return left->index < right->index ? -1 : left->index > right->index;
}

/* Return the rank of every entity by (colour, index). */
static int32_t *
rank_by_colour(const uint64_t *colour, int32_t count, const FmHost *host)
{
	int32_t *rank = host->alloc(host->ctx, (size_t) count + 1, sizeof(int32_t));
	Coloured *sorted = host->alloc(host->ctx, (size_t) count + 1, sizeof(Coloured));

	for (int32_t e = 0; e < count; e++)
		sorted[e] = (Coloured){colour[e], e};
	qsort(sorted, count, sizeof(Coloured), compare_coloured);
	for (int32_t e = 0; e < count; e++)
		rank[sorted[e].index] = e;
	host->release(host->ctx, sorted);
	return rank;
}

void
fm_canonical_order(const FmTriples *triples, int32_t num_users, int32_t num_items,
				   const FmHost *host, int32_t **user_canonical, int32_t **item_canonical)
{
	const int rounds = 3;
	uint64_t *users = host->alloc(host->ctx, (size_t) num_users + 1, sizeof(uint64_t));
	uint64_t *items = host->alloc(host->ctx, (size_t) num_items + 1, sizeof(uint64_t));

	for (int round = 0; round < rounds; round++)
	{
		refine_colours(triples, triples->user, triples->item, users, num_users, items, host);
		refine_colours(triples, triples->item, triples->user, items, num_items, users, host);
	}
	*user_canonical = rank_by_colour(users, num_users, host);
	*item_canonical = rank_by_colour(items, num_items, host);
	host->release(host->ctx, users);
	host->release(host->ctx, items);
}

/*
 * Compute where each entity's run starts: count, then sum up. starts has count + 1 elements,
 * zeroed.
 */
static void
count_starts(const int32_t *of, int64_t num, int32_t count, int64_t *starts)
{
	for (int64_t r = 0; r < num; r++)
		starts[of[r] + 1]++;
	for (int32_t e = 0; e < count; e++)
		starts[e + 1] += starts[e];
}

/* One of the two orders, by users or by items. */
typedef struct Order
{
	int32_t count; /* entities */
	int64_t *start;
	int32_t *other;
	float *value;
	float *weight;	  /* or NULL */
	int32_t *context; /* or NULL */
} Order;

static Order
order_by_user(const FmRatings *ratings)
{
	return (Order){ratings->num_users,	ratings->user_start,  ratings->user_item,
				   ratings->user_value, ratings->user_weight, ratings->user_context};
}

static Order
order_by_item(const FmRatings *ratings)
{
	return (Order){ratings->num_items,	ratings->item_start,  ratings->item_user,
				   ratings->item_value, ratings->item_weight, ratings->item_context};
}

static int
compare_values(const void *a, const void *b)
{
	float left = *(const float *) a;
	float right = *(const float *) b;

	return left < right ? -1 : left > right;
}

static bool
comes_before(const void *rows, int64_t a, int64_t b)
{
	const Order *order = rows;

	if (order->value[a] != order->value[b])
		return order->value[a] < order->value[b];
	if (order->weight && order->weight[a] != order->weight[b])
		return order->weight[a] < order->weight[b];
	return order->context && order->context[a] < order->context[b];
}

static void
swap(const void *rows, int64_t a, int64_t b)
{
	const Order *order = rows;
	float value = order->value[a];

	order->value[a] = order->value[b];
	order->value[b] = value;
	if (order->weight)
	{
		float weight = order->weight[a];

		order->weight[a] = order->weight[b];
		order->weight[b] = weight;
	}
	if (order->context)
	{
		int32_t context = order->context[a];

		order->context[a] = order->context[b];
		order->context[b] = context;
	}
}

/*
 * Order ratings of equal neighbours (a pair rated more than once) by value, then by weight and
 * context.
 */
static void
sort_duplicates(const Order *order, const FmHost *host)
{
	for (int32_t e = 0; e < order->count; e++)
		for (int64_t r = order->start[e], end; r < order->start[e + 1]; r = end)
		{
			for (end = r + 1; end < order->start[e + 1] && order->other[end] == order->other[r];)
				end++;
			if (end - r > 1 && (order->weight || order->context))
				fm_heap_sort(&(FmHeapSort){host, order, comes_before, swap}, r, end - r);
			else if (end - r > 1)
				qsort(order->value + r, end - r, sizeof(float), compare_values);
			interrupt_now_and_then(host, end);
		}
}

/* Distribute rows grouped by `major`, stably, into rows grouped by `minor`, ascending by major. */
static void
transpose(const Order *major, const Order *minor, const FmHost *host)
{
	int64_t *next = host->alloc(host->ctx, (size_t) minor->count + 1, sizeof(int64_t));

	memset(minor->start, 0, ((size_t) minor->count + 1) * sizeof(int64_t));
	count_starts(major->other, major->start[major->count], minor->count, minor->start);
	memcpy(next, minor->start, ((size_t) minor->count + 1) * sizeof(int64_t));
	for (int32_t e = 0; e < major->count; e++)
		for (int64_t r = major->start[e]; r < major->start[e + 1]; r++)
		{
			int64_t to = next[major->other[r]]++;

			minor->other[to] = e;
			minor->value[to] = major->value[r];
			if (major->weight)
				minor->weight[to] = major->weight[r];
			if (major->context)
				minor->context[to] = major->context[r];
			interrupt_now_and_then(host, r);
		}
	host->release(host->ctx, next);
}

/* Allocate one order's arrays. */
static Order
allocate_order(int32_t count, int64_t num_ratings, bool weighted, bool with_context,
			   const FmHost *host)
{
	size_t room = (size_t) num_ratings + 1;
	Order order = {.count = count,
				   .start = host->alloc(host->ctx, (size_t) count + 1, sizeof(int64_t)),
				   .other = host->alloc(host->ctx, room, sizeof(int32_t)),
				   .value = host->alloc(host->ctx, room, sizeof(float))};

	if (weighted)
		order.weight = host->alloc(host->ctx, room, sizeof(float));
	if (with_context)
		order.context = host->alloc(host->ctx, room, sizeof(int32_t));
	return order;
}

void
fm_ratings_by_user(const FmTriples *triples, int32_t num_users, int32_t num_items,
				   const FmHost *host, FmRatings *ratings)
{
	Order order = allocate_order(num_users, triples->count, triples->weight != NULL,
								 triples->context != NULL, host);
	int64_t *next;

	*ratings = (FmRatings){.num_users = num_users,
						   .num_items = num_items,
						   .num_ratings = triples->count,
						   .user_start = order.start,
						   .user_item = order.other,
						   .user_value = order.value,
						   .user_weight = order.weight,
						   .user_context = order.context};
	count_starts(triples->user, triples->count, num_users, ratings->user_start);
	next = host->alloc(host->ctx, (size_t) num_users + 1, sizeof(int64_t));
	memcpy(next, ratings->user_start, ((size_t) num_users + 1) * sizeof(int64_t));
	for (int64_t r = 0; r < triples->count; r++)
	{
		int64_t to = next[triples->user[r]]++;

		ratings->user_item[to] = triples->item[r];
		ratings->user_value[to] = triples->value[r];
		if (triples->weight)
			ratings->user_weight[to] = triples->weight[r];
		if (triples->context)
			ratings->user_context[to] = triples->context[r];
		interrupt_now_and_then(host, r);
	}
	host->release(host->ctx, next);
}

void
fm_ratings_complete(FmRatings *ratings, const FmHost *host)
{
	Order by_user = order_by_user(ratings);
	Order by_item = allocate_order(ratings->num_items, ratings->num_ratings,
								   ratings->user_weight != NULL, ratings->user_context != NULL,
								   host);

	ratings->item_start = by_item.start;
	ratings->item_user = by_item.other;
	ratings->item_value = by_item.value;
	ratings->item_weight = by_item.weight;
	ratings->item_context = by_item.context;
	transpose(&by_user, &by_item, host);
	sort_duplicates(&by_item, host);
	/* back again: transposing twice also sorts the users' rows */
	transpose(&by_item, &by_user, host);
}

static inline bool
falls_out(uint64_t seed, int32_t user, int32_t item, double share)
{
	uint64_t hash = mix64(seed + UINT64_C(0x9e3779b97f4a7c15));

	hash = mix64(hash ^ (uint64_t) user);
	hash = mix64(hash + ((uint64_t) item << 1));
	hash = mix64(hash);
	return (double) (hash >> 11) * 0x1.0p-53 < share;
}

static int64_t
count_held_out(const FmRatings *ratings, double share, uint64_t seed)
{
	int64_t count = 0;

	for (int32_t user = 0; user < ratings->num_users; user++)
		for (int64_t r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
			count += falls_out(seed, user, ratings->user_item[r], share);
	return count;
}

/* Move what falls out of the users' rows, and close the gaps. */
static void
take_out(FmRatings *ratings, double share, uint64_t seed, const FmHost *host, FmTriples *held_out)
{
	int64_t kept = 0;
	int64_t begin = 0;

	for (int32_t user = 0; user < ratings->num_users; user++)
	{
		int64_t end = ratings->user_start[user + 1];

		ratings->user_start[user] = kept;
		for (int64_t r = begin; r < end; r++)
		{
			int32_t item = ratings->user_item[r];

			interrupt_now_and_then(host, r);
			if (falls_out(seed, user, item, share))
			{
				held_out->user[held_out->count] = user;
				held_out->item[held_out->count] = item;
				if (held_out->weight)
					held_out->weight[held_out->count] = ratings->user_weight[r];
				if (held_out->context)
					held_out->context[held_out->count] = ratings->user_context[r];
				held_out->value[held_out->count++] = ratings->user_value[r];
			}
			else
			{
				ratings->user_item[kept] = item;
				if (ratings->user_weight)
					ratings->user_weight[kept] = ratings->user_weight[r];
				if (ratings->user_context)
					ratings->user_context[kept] = ratings->user_context[r];
				ratings->user_value[kept++] = ratings->user_value[r];
			}
		}
		begin = end;
	}
	ratings->user_start[ratings->num_users] = kept;
	ratings->num_ratings = kept;
}

void
fm_ratings_hold_out(FmRatings *ratings, double share, uint64_t seed, const FmHost *host,
					FmTriples *held_out)
{
	size_t count = (size_t) count_held_out(ratings, share, seed) + 1;
	Order by_user, by_item;

	*held_out = (FmTriples){0,
							host->alloc(host->ctx, count, sizeof(int32_t)),
							host->alloc(host->ctx, count, sizeof(int32_t)),
							host->alloc(host->ctx, count, sizeof(float)),
							NULL,
							NULL};
	if (ratings->user_weight)
		held_out->weight = host->alloc(host->ctx, count, sizeof(float));
	if (ratings->user_context)
		held_out->context = host->alloc(host->ctx, count, sizeof(int32_t));
	take_out(ratings, share, seed, host, held_out);
	by_user = order_by_user(ratings);
	by_item = order_by_item(ratings);
	transpose(&by_user, &by_item, host);
}

/* Return the geometric mean, which a single weight hardly changes. */
static double
geometric_mean(const float *weight, int64_t count)
{
	double sum = 0;

	for (int64_t r = 0; r < count; r++)
		sum += log(weight[r]);
	return exp(sum / (double) count);
}

double
fm_weight_unit(const float *weight, int64_t count, double most)
{
	double unit = geometric_mean(weight, count), before;
	int round = 0;

	do
	{
		double sum = 0, square = 0;

		for (int64_t r = 0; r < count; r++)
		{
			double bounded = fmin(weight[r], most * unit);

			sum += bounded;
			square += bounded * bounded;
		}
		before = unit;
		unit = isinf(most) ? sum / (double) count : square / sum;
	} while (fabs(unit - before) > UNIT_TOLERANCE * unit && ++round < UNIT_ROUNDS);
	return unit;
}

void
fm_relative_weights(float *weight, int64_t count, double unit, double most)
{
	for (int64_t r = 0; r < count; r++)
		weight[r] = (float) fm_relative_weight(weight[r], unit, most);
}

double
fm_ratings_relative_weights(FmRatings *ratings, double most, FmTriples *held_out)
{
	const float *weight = ratings->user_weight;
	int64_t count = ratings->num_ratings, equal = 0;
	double unit;

	if (weight == NULL)
		return 1;
	while (equal < count && weight[equal] == weight[0])
		equal++;
	unit = equal == count ? weight[0] : fm_weight_unit(weight, count, most);
	if (equal == count)
		ratings->user_weight = ratings->item_weight = NULL;
	else
	{
		fm_relative_weights(ratings->user_weight, count, unit, most);
		fm_relative_weights(ratings->item_weight, count, unit, most);
	}
	if (held_out->weight != NULL)
		fm_relative_weights(held_out->weight, held_out->count, unit, most);
	return unit;
}
