/*
 * (user, item) pairs: added in any order, returned user by user.
 *
 * First add all pairs, then ask for them. Several processes may share the pairs: each adds to a
 * list of its own, calls fm_pairs_finish, and asks only when all have done so; a barrier for that
 * is up to the caller.
 */
#ifndef FMTOPX_PAIRS_H
#define FMTOPX_PAIRS_H

#include "pg/compat.h"

#include "port/atomics.h"

/*
 * Pairs are kept in buckets of FM_PAIR_BUCKET_USERS consecutive users. A pair takes 32 bits: the
 * user's place in the bucket, then the item in FM_PAIR_ITEM_BITS bits.
 */
#define FM_PAIR_ITEM_BITS 24
#define FM_PAIR_MAX_ITEMS (1 << FM_PAIR_ITEM_BITS)
#define FM_PAIR_BUCKET_USERS (1 << (32 - FM_PAIR_ITEM_BITS))

#define FM_PAIR_CHUNK 509 /* pairs in a chunk, which then has 2 kB */

typedef struct FmPairChunk
{
	uint64 next; /* reference to the next chunk of the list (pairs.c); 0: none */
	uint32 count;
	uint32 pairs[FM_PAIR_CHUNK];
} FmPairChunk;

/* What all processes share. */
typedef struct FmPairsHeader
{
	Size size;			   /* of the shared memory that begins here; 0: local memory */
	pg_atomic_uint64 used; /* bytes of it */
	int32 num_users;
	int32 num_buckets;
	int32 num_lists; /* of chunks in each bucket: one for each process */
	pg_atomic_uint32 too_many;
	uint64 heads[FLEXIBLE_ARRAY_MEMBER]; /* [list × num_buckets + bucket] */
} FmPairsHeader;

/* The free part of the chunk that is being filled. */
typedef struct FmPairSpace
{
	uint32 *next; /* NULL, like `end`: there is no chunk yet */
	uint32 *end;
} FmPairSpace;

/* A process's own view. */
typedef struct FmPairs
{
	FmPairsHeader *header;
	MemoryContext context;
	int list;
	FmPairSpace *spaces; /* by bucket */

	int32 sorted; /* the bucket whose items are in `items`, ordered by user; or -1 */
	int64 start[FM_PAIR_BUCKET_USERS + 1];
	int32 *items;
	int64 capacity;
} FmPairs;

/* Create pairs in local memory. There is room until the context exceeds maintenance_work_mem. */
extern FmPairs *fm_pairs_create(int32 num_users, MemoryContext context);

/*
 * Create pairs in shared memory of fm_pairs_size bytes: enough for `room` bytes of pairs, added by
 * num_lists processes. The creator adds to list 0; the others attach with the number of their
 * list.
 */
extern Size fm_pairs_size(int32 num_users, int num_lists, Size room);
extern FmPairs *fm_pairs_create_shared(void *memory, Size size, int32 num_users, int num_lists,
									   MemoryContext context);
extern FmPairs *fm_pairs_attach(void *memory, int list, MemoryContext context);

/*
 * Begin a new chunk of a bucket. Return false if there is no room; from then on there are too many
 * pairs.
 */
extern bool fm_pairs_grow(FmPairs *pairs, int32 bucket);

/* Add a pair. Return false if there is no room. */
static inline bool
fm_pairs_add(FmPairs *pairs, int32 user, int32 item)
{
	int32 bucket = user / FM_PAIR_BUCKET_USERS;
	FmPairSpace *space = &pairs->spaces[bucket];

	if (space->next == space->end && !fm_pairs_grow(pairs, bucket))
		return false;
	*space->next++ = (uint32) (user % FM_PAIR_BUCKET_USERS) << FM_PAIR_ITEM_BITS | (uint32) item;
	return true;
}

/* Finish adding. Each process that has added pairs calls it before any of them asks. */
extern void fm_pairs_finish(FmPairs *pairs);

/* Return whether some process found no room, so that pairs are missing. */
extern bool fm_pairs_too_many(const FmPairs *pairs);

/* Add a user's items to a set. Fast if users are asked for in ascending order. */
extern void fm_pairs_add_to_set(FmPairs *pairs, int32 user, uint64 *set);

/* Do the same for `count` users from `first` on. Their sets have set_words words each. */
extern void fm_pairs_add_to_sets(FmPairs *pairs, int32 first, int32 count, uint64 *sets,
								 Size set_words);

#endif
