/*
 * From ratings as read to ratings as trained on: canonical order, compressed rows, held-out share.
 *
 * Everything here is linear in the number of ratings, but for sorting those of one pair. Memory comes
 * from the host; scratch is released before returning.
 */
#include "core/ratings.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define INTERRUPT_EVERY (1 << 20)

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

/* One round: a user's colour becomes a hash of his old one and the multiset of (item colour, value). */
static void
refine_colours(const FmTriples *triples, const int32_t *of, const int32_t *by, uint64_t *colour,
			   int32_t num_colours, const uint64_t *neighbour, const FmHost *host)
{
	for (int32_t e = 0; e < num_colours; e++)
		colour[e] = mix64(colour[e] + 1);
	for (int64_t r = 0; r < triples->count; r++)
	{
		interrupt_now_and_then(host, r);
		/* a sum is the same in whatever order the rows come */
		colour[of[r]] += mix64(neighbour[by[r]] ^ value_bits(triples->value[r]));
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

/* The rank of every entity by (colour, index). */
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

/* Where each entity's run starts: count, then sum up. starts has count + 1 elements, zeroed. */
static void
count_starts(const int32_t *of, int64_t num, int32_t count, int64_t *starts)
{
	for (int64_t r = 0; r < num; r++)
		starts[of[r] + 1]++;
	for (int32_t e = 0; e < count; e++)
		starts[e + 1] += starts[e];
}

static int
compare_values(const void *a, const void *b)
{
	float left = *(const float *) a;
	float right = *(const float *) b;

	return left < right ? -1 : left > right;
}

/* Among equal neighbours (a pair rated more than once) order by value. */
static void
sort_duplicates(const int64_t *starts, int32_t count, const int32_t *neighbour, float *value,
				const FmHost *host)
{
	for (int32_t e = 0; e < count; e++)
		for (int64_t r = starts[e], end; r < starts[e + 1]; r = end)
		{
			for (end = r + 1; end < starts[e + 1] && neighbour[end] == neighbour[r];)
				end++;
			if (end - r > 1)
				qsort(value + r, end - r, sizeof(float), compare_values);
			interrupt_now_and_then(host, end);
		}
}

/* Stable distribution of rows grouped by `major` into rows grouped by `minor`, ascending by major. */
static void
transpose(const int64_t *major_start, int32_t num_major, const int32_t *major_minor,
		  const float *major_value, int64_t *minor_start, int32_t num_minor, int32_t *minor_major,
		  float *minor_value, const FmHost *host)
{
	int64_t *next = host->alloc(host->ctx, (size_t) num_minor + 1, sizeof(int64_t));

	count_starts(major_minor, major_start[num_major], num_minor, minor_start);
	memcpy(next, minor_start, ((size_t) num_minor + 1) * sizeof(int64_t));
	for (int32_t e = 0; e < num_major; e++)
		for (int64_t r = major_start[e]; r < major_start[e + 1]; r++)
		{
			int64_t to = next[major_minor[r]]++;

			minor_major[to] = e;
			minor_value[to] = major_value[r];
			interrupt_now_and_then(host, r);
		}
	host->release(host->ctx, next);
}

static void
allocate_ratings(FmRatings *ratings, int32_t num_users, int32_t num_items, int64_t count,
				 const FmHost *host)
{
	size_t rows = (size_t) count + 1;

	ratings->num_users = num_users;
	ratings->num_items = num_items;
	ratings->num_ratings = count;
	ratings->user_start = host->alloc(host->ctx, (size_t) num_users + 1, sizeof(int64_t));
	ratings->item_start = host->alloc(host->ctx, (size_t) num_items + 1, sizeof(int64_t));
	ratings->user_item = host->alloc(host->ctx, rows, sizeof(int32_t));
	ratings->user_value = host->alloc(host->ctx, rows, sizeof(float));
	ratings->item_user = host->alloc(host->ctx, rows, sizeof(int32_t));
	ratings->item_value = host->alloc(host->ctx, rows, sizeof(float));
}

/* Both orders from rows by user in any order: transposing twice sorts each row. */
static void
order_both_ways(FmRatings *ratings, const FmHost *host)
{
	transpose(ratings->user_start, ratings->num_users, ratings->user_item, ratings->user_value,
			  ratings->item_start, ratings->num_items, ratings->item_user, ratings->item_value,
			  host);
	sort_duplicates(ratings->item_start, ratings->num_items, ratings->item_user,
					ratings->item_value, host);
	memset(ratings->user_start, 0, ((size_t) ratings->num_users + 1) * sizeof(int64_t));
	transpose(ratings->item_start, ratings->num_items, ratings->item_user, ratings->item_value,
			  ratings->user_start, ratings->num_users, ratings->user_item, ratings->user_value,
			  host);
}

void
fm_ratings_build(const FmTriples *triples, int32_t num_users, int32_t num_items, const FmHost *host,
				 FmRatings *ratings)
{
	int64_t *next;

	allocate_ratings(ratings, num_users, num_items, triples->count, host);
	count_starts(triples->user, triples->count, num_users, ratings->user_start);
	next = host->alloc(host->ctx, (size_t) num_users + 1, sizeof(int64_t));
	memcpy(next, ratings->user_start, ((size_t) num_users + 1) * sizeof(int64_t));
	for (int64_t r = 0; r < triples->count; r++)
	{
		int64_t to = next[triples->user[r]]++;

		ratings->user_item[to] = triples->item[r];
		ratings->user_value[to] = triples->value[r];
		interrupt_now_and_then(host, r);
	}
	host->release(host->ctx, next);
	order_both_ways(ratings, host);
}

void
fm_ratings_release(FmRatings *ratings, const FmHost *host)
{
	host->release(host->ctx, ratings->user_start);
	host->release(host->ctx, ratings->user_item);
	host->release(host->ctx, ratings->user_value);
	host->release(host->ctx, ratings->item_start);
	host->release(host->ctx, ratings->item_user);
	host->release(host->ctx, ratings->item_value);
	memset(ratings, 0, sizeof(*ratings));
}

static inline bool
falls_out(uint64_t seed, int32_t user, int32_t item, int64_t occurrence, double share)
{
	uint64_t hash = mix64(seed + UINT64_C(0x9e3779b97f4a7c15));

	hash = mix64(hash ^ (uint64_t) user);
	hash = mix64(hash + ((uint64_t) item << 1));
	hash = mix64(hash + (uint64_t) occurrence);
	return (double) (hash >> 11) * 0x1.0p-53 < share;
}

void
fm_ratings_hold_out(FmRatings *ratings, double share, uint64_t seed, const FmHost *host,
					FmTriples *held_out)
{
	size_t rows = (size_t) ratings->num_ratings + 1;
	FmTriples kept;
	FmRatings remaining;
	int64_t occurrence = 0;

	*held_out = (FmTriples){0, host->alloc(host->ctx, rows, sizeof(int32_t)),
							host->alloc(host->ctx, rows, sizeof(int32_t)),
							host->alloc(host->ctx, rows, sizeof(float))};
	kept = (FmTriples){0, host->alloc(host->ctx, rows, sizeof(int32_t)),
					   host->alloc(host->ctx, rows, sizeof(int32_t)),
					   host->alloc(host->ctx, rows, sizeof(float))};
	for (int32_t user = 0; user < ratings->num_users; user++)
		for (int64_t r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
		{
			int32_t item = ratings->user_item[r];
			FmTriples *to;

			occurrence =
				r > ratings->user_start[user] && ratings->user_item[r - 1] == item ? occurrence + 1 : 0;
			to = falls_out(seed, user, item, occurrence, share) ? held_out : &kept;
			to->user[to->count] = user;
			to->item[to->count] = item;
			to->value[to->count++] = ratings->user_value[r];
			interrupt_now_and_then(host, r);
		}
	fm_ratings_build(&kept, ratings->num_users, ratings->num_items, host, &remaining);
	host->release(host->ctx, kept.user);
	host->release(host->ctx, kept.item);
	host->release(host->ctx, kept.value);
	fm_ratings_release(ratings, host);
	*ratings = remaining;
}
