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

/* Room for one order's entries. */
static void
allocate_order(int32_t count, int64_t num_ratings, const FmHost *host, int64_t **start,
			   int32_t **other, float **value)
{
	*start = host->alloc(host->ctx, (size_t) count + 1, sizeof(int64_t));
	*other = host->alloc(host->ctx, (size_t) num_ratings + 1, sizeof(int32_t));
	*value = host->alloc(host->ctx, (size_t) num_ratings + 1, sizeof(float));
}

void
fm_ratings_by_user(const FmTriples *triples, int32_t num_users, int32_t num_items,
				   const FmHost *host, FmRatings *ratings)
{
	int64_t *next;

	*ratings =
		(FmRatings){.num_users = num_users, .num_items = num_items, .num_ratings = triples->count};
	allocate_order(num_users, triples->count, host, &ratings->user_start, &ratings->user_item,
				   &ratings->user_value);
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
}

static void
fill_by_item(FmRatings *ratings, const FmHost *host)
{
	memset(ratings->item_start, 0, ((size_t) ratings->num_items + 1) * sizeof(int64_t));
	transpose(ratings->user_start, ratings->num_users, ratings->user_item, ratings->user_value,
			  ratings->item_start, ratings->num_items, ratings->item_user, ratings->item_value,
			  host);
}

void
fm_ratings_complete(FmRatings *ratings, const FmHost *host)
{
	allocate_order(ratings->num_items, ratings->num_ratings, host, &ratings->item_start,
				   &ratings->item_user, &ratings->item_value);
	fill_by_item(ratings, host);
	sort_duplicates(ratings->item_start, ratings->num_items, ratings->item_user,
					ratings->item_value, host);
	/* back again: transposing twice sorts the users' rows too */
	memset(ratings->user_start, 0, ((size_t) ratings->num_users + 1) * sizeof(int64_t));
	transpose(ratings->item_start, ratings->num_items, ratings->item_user, ratings->item_value,
			  ratings->user_start, ratings->num_users, ratings->user_item, ratings->user_value,
			  host);
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

/* A walk over all ratings in user order, telling which fall out. */
typedef struct HoldOutWalk
{
	const FmRatings *ratings;
	uint64_t seed;
	double share;
	int64_t occurrence; /* of the pair at hand, from 0 */
} HoldOutWalk;

static bool
walk_falls_out(HoldOutWalk *walk, int32_t user, int64_t r, int32_t previous_item)
{
	int32_t item = walk->ratings->user_item[r];

	walk->occurrence = item == previous_item ? walk->occurrence + 1 : 0;
	return falls_out(walk->seed, user, item, walk->occurrence, walk->share);
}

static int64_t
count_held_out(const FmRatings *ratings, double share, uint64_t seed)
{
	HoldOutWalk walk = {ratings, seed, share, 0};
	int64_t count = 0;

	for (int32_t user = 0; user < ratings->num_users; user++)
		for (int64_t r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
			count += walk_falls_out(&walk, user, r,
									r > ratings->user_start[user] ? ratings->user_item[r - 1] : -1);
	return count;
}

/* Move what falls out of the users' rows and close the gaps. */
static void
take_out(FmRatings *ratings, double share, uint64_t seed, const FmHost *host, FmTriples *held_out)
{
	HoldOutWalk walk = {ratings, seed, share, 0};
	int64_t kept = 0;
	int64_t begin = 0;

	for (int32_t user = 0; user < ratings->num_users; user++)
	{
		int64_t end = ratings->user_start[user + 1];
		int32_t previous_item = -1;

		ratings->user_start[user] = kept;
		for (int64_t r = begin; r < end; r++)
		{
			int32_t item = ratings->user_item[r];

			interrupt_now_and_then(host, r);
			if (walk_falls_out(&walk, user, r, previous_item))
			{
				held_out->user[held_out->count] = user;
				held_out->item[held_out->count] = item;
				held_out->value[held_out->count++] = ratings->user_value[r];
			}
			else
			{
				ratings->user_item[kept] = item;
				ratings->user_value[kept++] = ratings->user_value[r];
			}
			previous_item = item;
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

	*held_out = (FmTriples){0, host->alloc(host->ctx, count, sizeof(int32_t)),
							host->alloc(host->ctx, count, sizeof(int32_t)),
							host->alloc(host->ctx, count, sizeof(float))};
	take_out(ratings, share, seed, host, held_out);
	fill_by_item(ratings, host);
}
