/*
 * (user, item) pairs, dealt into buckets of users as they come, and told user by user.
 */
#ifndef FMTOPX_PAIRS_H
#define FMTOPX_PAIRS_H

#include "pg/compat.h"

#include "port/atomics.h"

/* A pair is (user's place in the bucket) << FM_PAIR_ITEM_BITS | item. */
#define FM_PAIR_ITEM_BITS 24
#define FM_PAIR_MAX_ITEMS (1 << FM_PAIR_ITEM_BITS)
#define FM_PAIR_BUCKET_USERS (1 << (32 - FM_PAIR_ITEM_BITS))

#define FM_PAIR_CHUNK 509 /* pairs of a chunk: makes it 2 kB */

typedef struct FmPairChunk
{
	uint64 next; /* where the next one is, see pairs.c; 0: nowhere */
	uint32 count;
	uint32 pairs[FM_PAIR_CHUNK];
} FmPairChunk;

/* What all processes see of the same pairs. */
typedef struct FmPairsHeader
{
	Size size;			   /* of the memory from here on; 0: local */
	pg_atomic_uint64 used; /* of that */
	int32 num_users;
	int32 num_buckets;
	int32 num_lists; /* each process that adds has a list of chunks for each bucket */
	pg_atomic_uint32 too_many;
	uint64 heads[FLEXIBLE_ARRAY_MEMBER]; /* [list × num_buckets + bucket] */
} FmPairsHeader;

/* Where the next pairs of a bucket go: from `next` to `end`, which is that of a chunk. */
typedef struct FmPairSpace
{
	uint32 *next; /* NULL, as is the end: there is no chunk yet */
	uint32 *end;
} FmPairSpace;

/* A process's own view. */
typedef struct FmPairs
{
	FmPairsHeader *header;
	MemoryContext context;
	int list;
	FmPairSpace *spaces; /* by bucket: what is left of the chunk that is being filled */

	int32 sorted; /* the bucket that is in `items` in the order of its users, or -1 */
	int64 start[FM_PAIR_BUCKET_USERS + 1];
	int32 *items;
	int64 capacity;
} FmPairs;

/* Pairs in local memory, for as long as all of the context fits into maintenance_work_mem. */
extern FmPairs *fm_pairs_create(int32 num_users, MemoryContext context);

/*
 * The same in shared memory that has room for `room` bytes of pairs, added by num_lists processes.
 */
extern Size fm_pairs_size(int32 num_users, int num_lists, Size room);
extern FmPairs *fm_pairs_create_shared(void *memory, Size size, int32 num_users, int num_lists,
									   MemoryContext context);
extern FmPairs *fm_pairs_attach(void *memory, int list, MemoryContext context);

/* A new chunk for a bucket; false, and too_many from now on, if there is no room for it. */
extern bool fm_pairs_grow(FmPairs *pairs, int32 bucket);

/* False if there is no room. */
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

/* To be called by everybody who has added pairs, before anybody asks for them. */
extern void fm_pairs_finish(FmPairs *pairs);

/* Whether somebody found no room: then the pairs are not all here. */
extern bool fm_pairs_too_many(const FmPairs *pairs);

/* Add a user's items to a set (serving.h), once all pairs are there. Cheap for ascending users. */
extern void fm_pairs_add_to_set(FmPairs *pairs, int32 user, uint64 *set);

/* The same for `count` users from `first` on, whose sets have set_words words each. */
extern void fm_pairs_add_to_sets(FmPairs *pairs, int32 first, int32 count, uint64 *sets,
								 Size set_words);

#endif
