/*
 * What every user has rated, for batches: the ratings relation read by several processes at once.
 *
 * By the table's access method, as a parallel index build reads its table, since no query would hand over
 * rows to several processes. So this is for relations where that is all a query would do: a table or
 * materialised view without children, policies or other rights to consider; all else is read by SQL
 * (seen_all.c). Ids must be integers: then users are found in a table of shared memory, made here, and
 * items in the model's image. Locking: AccessShareLock on the relation until the end of the transaction.
 */
#include "seen_scan.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "plain_scan.h"
#include "seen_all.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define ALIGNMENT 64
#define ROWS_AT_ONCE 256

/* Whether the relation's rows are all that a query of it would read, for all processes alike. */
static bool
may_scan(const FmServing *serving, Relation relation)
{
	const char *const columns[] = {serving->model.definition.user_column,
								   serving->model.definition.item_column};

	return relation->rd_rel->relpersistence != RELPERSISTENCE_TEMP &&
		   fm_plain_scan_possible(relation, columns, 2);
}

bool
fm_seen_scan_possible(const FmServing *serving)
{
	const FmLoaded *loaded = serving->loaded;
	Relation relation;
	bool possible;

	if (!loaded->user_type.is_integer || !loaded->item_type.is_integer ||
		loaded->num_items > FM_PAIR_MAX_ITEMS)
		return false;
	relation = relation_open(serving->model.definition.ratings, AccessShareLock);
	possible = may_scan(serving, relation);
	relation_close(relation, NoLock);
	return possible;
}

/* The ids of users, being read. */
typedef struct Users
{
	const FmServing *serving;
	int64 *ids;
	int32 count;
	Size capacity;
	bool too_large;
} Users;

/* FmRowCallback */
static bool
add_user(void *state, TupleTableSlot *row)
{
	Users *users = state;

	if (row->tts_isnull[0] || row->tts_isnull[1] ||
		DatumGetInt32(row->tts_values[0]) != users->count)
		fm_seen_damaged(users->serving);
	if (users->count == users->capacity)
	{
		users->capacity *= 2;
		users->too_large = users->capacity * sizeof(int64) / 1024 >= maintenance_work_mem;
		if (users->too_large)
			return false;
		users->ids = repalloc_huge(users->ids, users->capacity * sizeof(int64));
	}
	users->ids[users->count++] = fm_id_as_int64(&users->serving->loaded->user_type,
												row->tts_values[1]);
	return true;
}

int64 *
fm_seen_scan_users(const FmServing *serving, MemoryContext context, int32 *num_users)
{
	Users users = {.serving = serving, .capacity = 1024};

	users.ids = MemoryContextAlloc(context, users.capacity * sizeof(int64));
	fm_seen_read_users(serving, add_user, &users);
	*num_users = users.count;
	return users.too_large ? NULL : users.ids;
}

Size
fm_seen_scan_room(Relation ratings)
{
	Size rows = mul_size(RelationGetNumberOfBlocks(ratings), MaxHeapTuplesPerPage);

	return Min(mul_size(rows, sizeof(uint32)), (Size) maintenance_work_mem * 1024);
}

/* The least and the greatest id; false if there is none. */
static bool
find_range(const int64 *ids, int32 num_users, int64 *least, int64 *greatest)
{
	*least = PG_INT64_MAX;
	*greatest = PG_INT64_MIN;
	for (int32 i = 0; i < num_users; i++)
	{
		*least = Min(*least, ids[i]);
		*greatest = Max(*greatest, ids[i]);
	}
	return num_users > 0;
}

/* How many places there are: one for each id from the least to the greatest, or a hash table's. */
static uint64
count_places(const int64 *ids, int32 num_users, bool *hashed)
{
	int64 least;
	int64 greatest;
	uint64 places = 4;

	*hashed = false;
	if (!find_range(ids, num_users, &least, &greatest))
		return 1;
	if ((uint64) greatest - (uint64) least < UINT64CONST(4) * num_users)
		return (uint64) greatest - (uint64) least + 1;
	*hashed = true;
	while (places < UINT64CONST(2) * num_users)
		places *= 2;
	return places;
}

Size
fm_seen_scan_size(const int64 *ids, int32 num_users)
{
	bool hashed;
	Size places = mul_size(count_places(ids, num_users, &hashed), sizeof(int32));

	return add_size(add_size(sizeof(FmSeenScan), mul_size(num_users, sizeof(int64))),
					add_size(places, 3 * ALIGNMENT));
}

/* Multiplied by 2^64 over the golden ratio, then mixed (Knuth's multiplicative hashing). */
static inline uint64
first_place(const FmSeenScan *scan, int64 id)
{
	uint64 hash = (uint64) id * UINT64CONST(0x9e3779b97f4a7c15);

	return (hash ^ (hash >> 32)) & scan->mask;
}

static inline int32
find_user(const FmSeenScan *scan, int64 id)
{
	const int64 *ids = (const int64 *) ((const char *) scan + scan->ids);
	const int32 *places = (const int32 *) ((const char *) scan + scan->places);
	uint64 place = (uint64) id - (uint64) scan->least;

	if (place > scan->range) /* ids below the least have wrapped around */
		return -1;
	if (scan->mask == 0)
		return places[place];
	place = first_place(scan, id);
	while (places[place] >= 0 && ids[places[place]] != id)
		place = (place + 1) & scan->mask;
	return places[place];
}

void
fm_seen_scan_init(FmSeenScan *scan, const FmServing *serving, const int64 *ids, int32 num_users)
{
	const FmDefinition *definition = &serving->model.definition;
	bool hashed;
	uint64 num_places = count_places(ids, num_users, &hashed);
	int64 greatest;
	int32 *places;

	scan->ratings = definition->ratings;
	scan->user_column = get_attnum(definition->ratings, definition->user_column);
	scan->item_column = get_attnum(definition->ratings, definition->item_column);
	scan->user_length = serving->loaded->user_type.typlen;
	scan->item_length = serving->loaded->item_type.typlen;
	scan->num_users = num_users;
	if (find_range(ids, num_users, &scan->least, &greatest))
		scan->range = (uint64) greatest - (uint64) scan->least;
	else
		scan->least = scan->range = 0;
	scan->mask = hashed ? num_places - 1 : 0;
	scan->ids = TYPEALIGN(ALIGNMENT, sizeof(FmSeenScan));
	scan->places = TYPEALIGN(ALIGNMENT, scan->ids + num_users * sizeof(int64));
	memcpy((char *) scan + scan->ids, ids, num_users * sizeof(int64));
	places = (int32 *) ((char *) scan + scan->places);
	memset(places, -1, num_places * sizeof(int32));
	for (int32 user = 0; user < num_users; user++)
	{
		uint64 place = (uint64) ids[user] - (uint64) scan->least;

		if (hashed)
			for (place = first_place(scan, ids[user]); places[place] >= 0;)
				place = (place + 1) & scan->mask;
		places[place] = user;
	}
}

static inline int64
integer(Datum value, int16 length)
{
	return length == 4	 ? DatumGetInt32(value)
		   : length == 2 ? DatumGetInt16(value)
						 : DatumGetInt64(value);
}

/* Ids of users and items, side by side so that looking them up waits for memory only once. */
typedef struct Some
{
	int count;
	int64 user_ids[ROWS_AT_ONCE];
	int64 item_ids[ROWS_AT_ONCE];
} Some;

static void
read_some(const FmSeenScan *scan, FmPlainScan *plain, Some *some)
{
	Datum values[2];
	bool nulls[2];

	some->count = 0;
	while (some->count < ROWS_AT_ONCE && fm_plain_scan_next(plain, values, nulls))
		if (!nulls[0] && !nulls[1])
		{
			some->user_ids[some->count] = integer(values[0], scan->user_length);
			some->item_ids[some->count++] = integer(values[1], scan->item_length);
		}
}

/* False if there is no room for more pairs. */
static bool
add_some(const FmSeenScan *scan, const FmImage *image, const Some *some, FmPairs *pairs)
{
	int32 users[ROWS_AT_ONCE];
	int32 items[ROWS_AT_ONCE];

	for (int i = 0; i < some->count; i++)
		users[i] = find_user(scan, some->user_ids[i]);
	for (int i = 0; i < some->count; i++)
		items[i] = fm_image_find_integer(image, some->item_ids[i]);
	for (int i = 0; i < some->count; i++)
		if (users[i] >= 0 && items[i] >= 0 && !fm_pairs_add(pairs, users[i], items[i]))
			return false;
	return true;
}

void
fm_seen_scan_run(const FmSeenScan *scan, ParallelTableScanDesc shared_scan, const FmImage *image,
				 FmPairs *pairs)
{
	Relation relation = relation_open(scan->ratings, AccessShareLock);
	const AttrNumber columns[] = {scan->user_column, scan->item_column};
	FmPlainScan plain;
	Some some;

	fm_plain_scan_begin(&plain, relation, table_beginscan_parallel(relation, shared_scan), columns,
						2);
	do
		read_some(scan, &plain, &some);
	while (add_some(scan, image, &some, pairs) && some.count == ROWS_AT_ONCE);
	fm_pairs_finish(pairs);
	fm_plain_scan_end(&plain);
	relation_close(relation, NoLock);
}
