/*
 * (user, item) pairs: added in any order, returned user by user.
 *
 * This takes four bytes a pair, and neither a sort nor a join. A bucket is a set of linked lists
 * of chunks, one list for each process. Its pairs are ordered by user when the first of its users
 * is asked for.
 *
 * Memory: local chunks are allocated in a context; shared ones are cut off one block of shared
 * memory by an atomic counter. A reference to a chunk is its address if local, else its distance
 * from the header.
 */
#include "batch/pairs.h"

#include "core/bitset.h"
#include "core/layout.h"
#include "serve/items.h"
#include "utils/memutils.h"

#define NUM_ITEMS_MASK ((UINT32_C(1) << FM_PAIR_ITEM_BITS) - 1)

static int32
count_buckets(int32 num_users)
{
	return num_users / FM_PAIR_BUCKET_USERS + 1;
}

static Size
header_size(int32 num_users, int num_lists)
{
	Size heads = mul_size(mul_size(num_lists, count_buckets(num_users)), sizeof(uint64));

	return fm_align(add_size(offsetof(FmPairsHeader, heads), heads));
}

static FmPairs *
open_view(FmPairsHeader *header, int list, MemoryContext context)
{
	FmPairs *pairs = MemoryContextAllocZero(context, sizeof(FmPairs));

	pairs->header = header;
	pairs->context = context;
	pairs->list = list;
	pairs->sorted = -1;
	pairs->spaces = MemoryContextAllocExtended(context, header->num_buckets * sizeof(FmPairSpace),
											   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	return pairs;
}

static FmPairs *
init_header(FmPairsHeader *header, Size size, int32 num_users, int num_lists, MemoryContext context)
{
	memset(header, 0, header_size(num_users, num_lists));
	header->size = size;
	pg_atomic_init_u64(&header->used, header_size(num_users, num_lists));
	header->num_users = num_users;
	header->num_buckets = count_buckets(num_users);
	header->num_lists = num_lists;
	pg_atomic_init_u32(&header->too_many, 0);
	return open_view(header, 0, context);
}

FmPairs *
fm_pairs_create(int32 num_users, MemoryContext context)
{
	return init_header(MemoryContextAllocHuge(context, header_size(num_users, 1)), 0, num_users, 1,
					   context);
}

Size
fm_pairs_size(int32 num_users, int num_lists, Size room)
{
	/* the last chunk of each list is not full */
	Size partial = mul_size(mul_size(num_lists, count_buckets(num_users)), sizeof(FmPairChunk));

	return add_size(header_size(num_users, num_lists), add_size(partial, room));
}

FmPairs *
fm_pairs_create_shared(void *memory, Size size, int32 num_users, int num_lists,
					   MemoryContext context)
{
	return init_header(memory, size, num_users, num_lists, context);
}

FmPairs *
fm_pairs_attach(void *memory, int list, MemoryContext context)
{
	return open_view(memory, list, context);
}

/* Allocate a chunk, and return it and a reference to it; NULL if there is no room. */
static FmPairChunk *
allocate_chunk(FmPairs *pairs, uint64 *reference)
{
	FmPairsHeader *header = pairs->header;
	FmPairChunk *chunk;

	if (header->size == 0)
	{
		if (MemoryContextMemAllocated(pairs->context, true) / 1024 >= maintenance_work_mem)
			return NULL;
		chunk = MemoryContextAlloc(pairs->context, sizeof(FmPairChunk));
		*reference = (uint64) (uintptr_t) chunk;
		return chunk;
	}
	*reference = pg_atomic_fetch_add_u64(&header->used, sizeof(FmPairChunk));
	if (*reference > header->size - sizeof(FmPairChunk))
		return NULL;
	return (FmPairChunk *) ((char *) header + *reference);
}

static const FmPairChunk *
chunk_at(const FmPairs *pairs, uint64 reference)
{
	if (reference == 0)
		return NULL;
	if (pairs->header->size == 0)
		return (const FmPairChunk *) (uintptr_t) reference;
	return (const FmPairChunk *) ((const char *) pairs->header + reference);
}

bool
fm_pairs_grow(FmPairs *pairs, int32 bucket)
{
	FmPairsHeader *header = pairs->header;
	uint64 *head = &header->heads[(Size) pairs->list * header->num_buckets + bucket];
	uint64 reference;
	FmPairChunk *chunk = NULL;

	if (!fm_pairs_too_many(pairs))
		chunk = allocate_chunk(pairs, &reference);
	if (chunk == NULL)
	{
		pg_atomic_write_u32(&header->too_many, 1);
		return false;
	}
	chunk->next = *head;
	chunk->count = FM_PAIR_CHUNK; /* fm_pairs_finish corrects that of the last chunk */
	*head = reference;
	pairs->spaces[bucket] = (FmPairSpace){chunk->pairs, chunk->pairs + FM_PAIR_CHUNK};
	return true;
}

void
fm_pairs_finish(FmPairs *pairs)
{
	for (int32 bucket = 0; bucket < pairs->header->num_buckets; bucket++)
	{
		const FmPairSpace *space = &pairs->spaces[bucket];
		FmPairChunk *chunk;

		if (space->end == NULL)
			continue;
		chunk = (FmPairChunk *) ((char *) (space->end - FM_PAIR_CHUNK) -
								 offsetof(FmPairChunk, pairs));
		chunk->count = (uint32) (space->next - chunk->pairs);
	}
}

bool
fm_pairs_too_many(const FmPairs *pairs)
{
	return pg_atomic_read_u32(&pairs->header->too_many) != 0;
}

/* Call `each` with every chunk of a bucket. */
typedef void (*ChunkCallback)(const FmPairChunk *chunk, void *state);

static void
for_chunks(const FmPairs *pairs, int32 bucket, ChunkCallback each, void *state)
{
	const FmPairsHeader *header = pairs->header;

	for (int list = 0; list < header->num_lists; list++)
	{
		uint64 reference = header->heads[(Size) list * header->num_buckets + bucket];

		for (const FmPairChunk *chunk = chunk_at(pairs, reference); chunk != NULL;
			 chunk = chunk_at(pairs, chunk->next))
			each(chunk, state);
	}
}

/* ChunkCallback */
static void
count_users(const FmPairChunk *chunk, void *state)
{
	int64 *at = state;

	for (uint32 i = 0; i < chunk->count; i++)
		at[chunk->pairs[i] >> FM_PAIR_ITEM_BITS]++;
}

typedef struct Placing
{
	int64 *at; /* by user */
	int32 *items;
} Placing;

/* ChunkCallback */
static void
place_items(const FmPairChunk *chunk, void *state)
{
	const Placing *placing = state;

	for (uint32 i = 0; i < chunk->count; i++)
		placing->items[placing->at[chunk->pairs[i] >> FM_PAIR_ITEM_BITS]++] = chunk->pairs[i] &
																			  NUM_ITEMS_MASK;
}

typedef struct Sets
{
	uint64 *sets; /* of the bucket's users */
	Size words;
} Sets;

/* ChunkCallback */
static void
add_items(const FmPairChunk *chunk, void *state)
{
	const Sets *sets = state;

	for (uint32 i = 0; i < chunk->count; i++)
	{
		int32 item = (int32) (chunk->pairs[i] & NUM_ITEMS_MASK);

		fm_bitset_add(sets->sets + (chunk->pairs[i] >> FM_PAIR_ITEM_BITS) * sets->words, item);
	}
}

/* Order the pairs of a bucket by user, by counting. */
static void
sort_bucket(FmPairs *pairs, int32 bucket)
{
	int64 at[FM_PAIR_BUCKET_USERS + 1] = {0};
	int64 total = 0;

	for_chunks(pairs, bucket, count_users, at);
	for (int user = 0; user <= FM_PAIR_BUCKET_USERS; user++)
	{
		int64 count = at[user];

		at[user] = pairs->start[user] = total;
		total += count;
	}
	if (total > pairs->capacity)
	{
		if (pairs->items != NULL)
			pfree(pairs->items);
		pairs->items = MemoryContextAllocHuge(pairs->context, total * sizeof(int32));
		pairs->capacity = total;
	}
	for_chunks(pairs, bucket, place_items, &(Placing){at, pairs->items});
	pairs->sorted = bucket;
}

/*
 * Raise an error unless the pairs cover these users. The user table has been read once for the
 * pairs and once for the lists, and its owner can make the two reads differ.
 */
static void
check_users(const FmPairs *pairs, int32 first, int32 count)
{
	int32 num_users = pairs->header->num_users;

	if (first < 0 || count < 0 || count > num_users || first > num_users - count)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("two reads of the model's user table differ: idx %d is not among %d users",
						first < 0 || first >= num_users ? first : num_users, num_users),
				 errhint("Train the model again.")));
}

void
fm_pairs_add_to_set(FmPairs *pairs, int32 user, uint64 *set)
{
	int place = user % FM_PAIR_BUCKET_USERS;

	check_users(pairs, user, 1);
	if (pairs->sorted != user / FM_PAIR_BUCKET_USERS)
		sort_bucket(pairs, user / FM_PAIR_BUCKET_USERS);
	fm_bitset_add_all(set, pairs->items + pairs->start[place],
					  (int32) (pairs->start[place + 1] - pairs->start[place]));
}

void
fm_pairs_add_to_sets(FmPairs *pairs, int32 first, int32 count, uint64 *sets, Size set_words)
{
	bool whole;

	check_users(pairs, first, count);
	whole = first % FM_PAIR_BUCKET_USERS == 0 &&
			(count == FM_PAIR_BUCKET_USERS || first + count == pairs->header->num_users);
	if (whole && count <= FM_PAIR_BUCKET_USERS) /* no need to order the pairs */
		for_chunks(pairs, first / FM_PAIR_BUCKET_USERS, add_items, &(Sets){sets, set_words});
	else
		for (int32 i = 0; i < count; i++)
			fm_pairs_add_to_set(pairs, first + i, sets + i * set_words);
}
