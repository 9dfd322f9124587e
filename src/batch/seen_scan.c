/*
 * The items that every user has rated, for batches: a scan of the ratings by several processes at
 * once.
 *
 * The scan uses the table's access method, as a parallel index build does, because no query hands
 * over its rows to several processes. So it is only for relations of which a query would return
 * exactly the rows they store; others are read by SQL (seen_all.c). Ids must be integers: the idx
 * of users are found in shared memory, those of items in the model's image.
 *
 * Locking: AccessShareLock on the relation until the end of the transaction. Members count with
 * atomics; two of them may set the same flag of a user, but all write the same value.
 */
#include "batch/seen_scan.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "batch/users.h"
#include "catalog/pg_type.h"
#include "core/layout.h"
#include "pg/plain_scan.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define ROWS_AT_ONCE 256

/* Return whether all processes may scan the relation instead of running a query. */
static bool
may_scan(const FmServing *serving, Relation relation)
{
	const FmColumn columns[] = {{serving->model.definition.user_column, FM_ANY_INTEGER},
								{serving->model.definition.item_column, FM_ANY_INTEGER}};

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
		loaded->version.num_items > FM_PAIR_MAX_ITEMS)
		return false;
	relation = fm_open_relation(serving->model.definition.ratings);
	possible = may_scan(serving, relation);
	relation_close(relation, NoLock);
	return possible;
}

/* The ids of users, while they are read. */
typedef struct Users
{
	const FmServing *serving;
	int64 *ids; /* by idx */
	bool *known;
	int32 count;
	int64 capacity;
	bool too_large;
} Users;

/* Return false if there is no room for more. */
static bool
grow_users(Users *users, int64 idx)
{
	int64 old = users->capacity;

	while (users->capacity <= idx)
	{
		users->too_large = (Size) users->capacity * 2 * sizeof(int64) / 1024 >=
						   maintenance_work_mem;
		if (users->too_large)
			return false;
		users->capacity *= 2;
	}
	users->ids = repalloc_huge(users->ids, users->capacity * sizeof(int64));
	users->known = repalloc_huge(users->known, users->capacity * sizeof(bool));
	memset(users->known + old, 0, users->capacity - old);
	return true;
}

static bool
add_user(Users *users, int64 idx, int64 id)
{
	if (idx < 0 || idx > PG_INT32_MAX)
		fm_users_damaged(users->serving);
	if (idx >= users->capacity && !grow_users(users, idx))
		return false;
	if (users->known[idx])
		fm_users_damaged(users->serving);
	users->known[idx] = true;
	users->ids[idx] = id;
	users->count++;
	return true;
}

/* FmRowReader */
static bool
receive_user(void *state, const FmRow *row)
{
	Users *users = state;

	if (fm_row_is_null(row, USER_IDX) || fm_row_is_null(row, USER_ID))
		fm_users_damaged(users->serving);
	return add_user(users, fm_row_integer(row, USER_IDX),
					fm_id_as_int64(&users->serving->loaded->user_type, fm_row_value(row, USER_ID)));
}

/*
 * Read the users without a query. Return false, having read nothing, if a query could return other
 * rows.
 */
static bool
scan_users(Users *users)
{
	static const FmColumn columns[] = {{"version", INT4OID},
									   {"idx", INT4OID},
									   {"user_id", FM_ANY_INTEGER}};
	Relation relation = fm_open_relation(users->serving->model.user_table);
	bool possible = fm_plain_scan_possible(relation, columns, lengthof(columns));

	if (possible)
	{
		int64 values[lengthof(columns)][ROWS_AT_ONCE];
		int64 *const arrays[] = {values[0], values[1], values[2]};
		AttrNumber numbers[lengthof(columns)];
		FmPlainScan plain;
		int count;

		for (int i = 0; i < lengthof(columns); i++)
			numbers[i] = get_attnum(RelationGetRelid(relation), columns[i].sql);
		fm_plain_scan_begin(&plain, relation,
							table_beginscan(relation, GetActiveSnapshot(), 0, NULL), numbers,
							lengthof(numbers));
		while (!users->too_large &&
			   (count = fm_plain_scan_integers(&plain, ROWS_AT_ONCE, arrays, NULL)) > 0)
			for (int i = 0; i < count && !users->too_large; i++)
				if (values[0][i] == users->serving->loaded->version.number)
					(void) add_user(users, values[1][i], values[2][i]);
		fm_plain_scan_end(&plain);
	}
	relation_close(relation, NoLock);
	return possible;
}

int64 *
fm_seen_scan_users(const FmServing *serving, MemoryContext context, int32 *num_users)
{
	Users users = {.serving = serving, .capacity = 1024};

	users.ids = MemoryContextAlloc(context, users.capacity * sizeof(int64));
	users.known = MemoryContextAllocZero(context, users.capacity * sizeof(bool));
	if (!scan_users(&users))
		fm_users_scan(serving, receive_user, &users);
	if (users.too_large)
		return NULL;
	for (int32 idx = 0; idx < users.count; idx++)
		if (!users.known[idx])
			fm_users_damaged(serving);
	pfree(users.known);
	*num_users = users.count;
	return users.ids;
}

Size
fm_seen_scan_room(Relation ratings)
{
	/* the least that a row with two ids takes of a page */
	Size row = MAXALIGN(MAXALIGN(SizeofHeapTupleHeader) + 2 * sizeof(int16)) + sizeof(ItemIdData);
	Size rows = mul_size(RelationGetNumberOfBlocks(ratings), BLCKSZ / row);

	return Min(mul_size(rows, sizeof(uint32)), (Size) maintenance_work_mem * 1024);
}

/* Find the least and the greatest id. Return false if there is none. */
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

/*
 * Return the number of places: one for each id between the least and the greatest if these are
 * dense, else a hash table.
 */
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

/* Place the arrays behind the struct; return the size of all. */
static Size
lay_out(FmSeenScan *scan, int32 num_users, uint64 num_places)
{
	FmLayout layout = {0};

	(void) fm_layout_add(&layout, 1, sizeof(FmSeenScan));
	scan->ids = fm_layout_add(&layout, num_users, sizeof(int64));
	scan->places = fm_layout_add(&layout, num_places, sizeof(int32));
	scan->changed = fm_layout_add(&layout, num_users, sizeof(bool));
	scan->recent = fm_layout_add(&layout, num_users, sizeof(bool));
	return layout.bytes;
}

Size
fm_seen_scan_size(const int64 *ids, int32 num_users)
{
	bool hashed;
	FmSeenScan scan;

	return lay_out(&scan, num_users, count_places(ids, num_users, &hashed));
}

/*
 * Return the first place to look for an id. Multiplicative hashing with 2^64 divided by the golden
 * ratio (Knuth, The Art of Computer Programming, vol. 3, section 6.4), with the high bits mixed
 * in.
 */
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

	if (place > scan->range) /* ids below the least wrap around and are large */
		return -1;
	if (scan->mask == 0)
		return places[place];
	place = first_place(scan, id);
	while (places[place] >= 0 && ids[places[place]] != id)
		place = (place + 1) & scan->mask;
	return places[place];
}

static void
init_check(FmSeenScan *scan, const FmSeenCheck *check)
{
	scan->checks = check != NULL;
	if (check == NULL)
		return;
	scan->old_before = check->old_before;
	scan->new_before = check->new_before;
	pg_atomic_init_u64(&scan->old_rows, 0);
	pg_atomic_init_u64(&scan->new_rows, 0);
	memset((char *) scan + scan->changed, 0, scan->num_users * sizeof(bool));
	memset((char *) scan + scan->recent, 0, scan->num_users * sizeof(bool));
}

void
fm_seen_scan_init(FmSeenScan *scan, const FmServing *serving, const int64 *ids, int32 num_users,
				  const FmSeenCheck *check)
{
	const FmDefinition *definition = &serving->model.definition;
	bool hashed;
	uint64 num_places = count_places(ids, num_users, &hashed);
	int64 greatest;
	int32 *places;

	scan->ratings = definition->ratings;
	scan->user_column = get_attnum(definition->ratings, definition->user_column);
	scan->item_column = get_attnum(definition->ratings, definition->item_column);
	scan->num_users = num_users;
	if (find_range(ids, num_users, &scan->least, &greatest))
		scan->range = (uint64) greatest - (uint64) scan->least;
	else
		scan->least = scan->range = 0;
	scan->mask = hashed ? num_places - 1 : 0;
	(void) lay_out(scan, num_users, num_places);
	memcpy((char *) scan + scan->ids, ids, num_users * sizeof(int64));
	places = (int32 *) ((char *) scan + scan->places);
	memset(places, -1, num_places * sizeof(int32));
	init_check(scan, check);
	for (int32 user = 0; user < num_users; user++)
	{
		uint64 place = (uint64) ids[user] - (uint64) scan->least;

		if (hashed)
			for (place = first_place(scan, ids[user]);
				 places[place] >= 0 && ids[places[place]] != ids[user];)
				place = (place + 1) & scan->mask;
		if (places[place] >= 0)
			fm_users_repeated(serving);
		places[place] = user;
	}
}

/* Some rows, and the idx of their users and items; -1: the model does not know them. */
typedef struct Rows
{
	int count;
	int64 user_ids[ROWS_AT_ONCE];
	int64 item_ids[ROWS_AT_ONCE];
	TransactionId xmins[ROWS_AT_ONCE]; /* only for a check */
	int32 users[ROWS_AT_ONCE];
	int32 items[ROWS_AT_ONCE];
} Rows;

/* Look up the ids. Many look-ups in one loop overlap their waits for memory. */
static void
find_rows(const FmSeenScan *scan, const FmImage *image, Rows *rows)
{
	for (int i = 0; i < rows->count; i++)
		rows->users[i] = find_user(scan, rows->user_ids[i]);
	for (int i = 0; i < rows->count; i++)
		rows->items[i] = fm_image_find_integer(image, rows->item_ids[i]);
}

/* Add the pairs of the rows. Return false if there is no room for more. */
static bool
add_pairs(const Rows *rows, FmPairs *pairs)
{
	for (int i = 0; i < rows->count; i++)
		if (rows->users[i] >= 0 && rows->items[i] >= 0 &&
			!fm_pairs_add(pairs, rows->users[i], rows->items[i]))
			return false;
	return true;
}

/* Count rows that precede either xid, and flag the users of the others. */
static void
check_rows(FmSeenScan *scan, const Rows *rows, int64 *old_rows, int64 *new_rows)
{
	bool *changed = (bool *) ((char *) scan + scan->changed);
	bool *recent = (bool *) ((char *) scan + scan->recent);

	for (int i = 0; i < rows->count; i++)
	{
		bool is_old = fm_xmin_is_before(rows->xmins[i], scan->old_before);
		bool will_be_old = fm_xmin_is_before(rows->xmins[i], scan->new_before);

		*old_rows += is_old;
		*new_rows += will_be_old;
		if (!is_old && rows->users[i] >= 0)
			changed[rows->users[i]] = true;
		if (!will_be_old && rows->users[i] >= 0)
			recent[rows->users[i]] = true;
	}
}

void
fm_seen_scan_run(FmSeenScan *scan, ParallelTableScanDesc shared_scan, const FmImage *image,
				 FmPairs *pairs)
{
	Relation relation = fm_open_relation(scan->ratings);
	const AttrNumber columns[] = {scan->user_column, scan->item_column};
	Rows rows;
	int64 *const ids[] = {rows.user_ids, rows.item_ids};
	TransactionId *xmins = scan->checks ? rows.xmins : NULL;
	int64 old_rows = 0;
	int64 new_rows = 0;
	FmPlainScan plain;
	bool room = true;

	fm_plain_scan_begin(&plain, relation, table_beginscan_parallel(relation, shared_scan), columns,
						2);
	while (room && (rows.count = fm_plain_scan_integers(&plain, ROWS_AT_ONCE, ids, xmins)) > 0)
	{
		find_rows(scan, image, &rows);
		room = add_pairs(&rows, pairs);
		if (scan->checks)
			check_rows(scan, &rows, &old_rows, &new_rows);
	}
	if (scan->checks)
	{
		pg_atomic_fetch_add_u64(&scan->old_rows, old_rows);
		pg_atomic_fetch_add_u64(&scan->new_rows, new_rows);
	}
	fm_pairs_finish(pairs);
	fm_plain_scan_end(&plain);
	relation_close(relation, NoLock);
}

void
fm_seen_scan_answer(FmSeenScan *scan, FmSeenCheck *check)
{
	const bool *recent = (const bool *) ((const char *) scan + scan->recent);

	check->counted = true;
	check->old_rows = (int64) pg_atomic_read_u64(&scan->old_rows);
	check->new_rows = (int64) pg_atomic_read_u64(&scan->new_rows);
	check->num_users = scan->num_users;
	check->changed = (const bool *) ((const char *) scan + scan->changed);
	check->num_recent = 0;
	for (int32 user = 0; user < scan->num_users; user++)
	{
		if (!recent[user])
			continue;
		if (check->num_recent < FM_SEEN_MAX_RECENT)
			check->recent[check->num_recent] = user;
		check->num_recent++;
	}
}
