/*
 * Bringing a table of lists up to date: what differs is updated, deleted, inserted, and nothing else touched.
 *
 * The table is read first, in whatever order it comes, into eight bytes a row: a plain one with integer ids
 * without a query, while the workers of the batch read the ratings. What stood in it is then where
 * the scan begins (core/scan/scan.h: seeds), and each new list is compared with it as it comes; the differences,
 * few as a rule, are put aside and applied by one statement a kind, in which they stand as relations (the
 * mechanism of transition tables). So triggers, defaults, partitions and policies of the table work as in any
 * statement. A table too large for maintenance_work_mem is compared by the statements themselves with lists
 * in a tuplestore. Locking: the statements' own. Memory: a context for the rows; differences spill to disk.
 */
#include "targets/target.h"

#include <math.h>

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "optimizer/optimizer.h"
#include "pg/plain_scan.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* Instead of an item: the table has no such row; it has one that cannot be right. */
#define NO_ROW (-2)
#define WRONG_ROW (-1)

/* Instead of a number of rows, and more than there can be. */
#define UNKNOWN PG_INT32_MAX

/* Rows of one kind of difference, typed as the lists are. */
typedef struct Rows
{
	const char *name; /* of the relation in statements */
	Tuplestorestate *store;
	double count;
} Rows;

struct FmDiff
{
	MemoryContext context;
	const FmLoaded *loaded;
	FmProof *proof;
	FmIdType user_type;
	FmIdType item_type;
	TupleDesc desc;
	int64 num_rows;	   /* of the new lists */
	int64 num_current; /* lists that were not computed */

	/* what stands in the table: user × length + rank - 1 */
	int32 length;
	FmIdMap *users; /* in the order in which they appeared */
	FmIdMap *items; /* by idx; NULL: integers, which the image finds */
	FmListItem *rows;
	bool *met;		 /* the user has a new list */
	int32 *unproved; /* how many of his rows are not known to be as they were written */
	int32 capacity;
	int32 last_user;	/* rows of one user often stand together */
	bool keyless;		/* the table has rows without user or rank */
	FmPlainScan *plain; /* of what has still to be read; NULL: nothing */
	bool too_large;
	int32 *seeds; /* of one user */

	Rows changed;
	Rows gone;
	Rows missing;
};

/* "t.rank = n.rank AND t.user_id = n.user_id" */
static char *
same_key(const FmIdType *user_type)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "t.rank = n.rank AND ");
	fm_append_equality(&sql, "t.user_id", user_type->type, "n.user_id");
	return sql.data;
}

static void
execute(const char *sql)
{
	fm_spi_execute(sql, 0, NULL, NULL, NULL, false);
}

/* Update the rows of the table that differ from those of `rows` with the same key. */
static void
execute_update(const FmIdType *user_type, const FmIdType *item_type, const char *table,
			   const char *rows)
{
	StringInfoData same_item;

	initStringInfo(&same_item);
	fm_append_equality(&same_item, "t.item_id", item_type->type, "n.item_id");
	execute(psprintf("UPDATE %s t SET item_id = n.item_id, score = n.score FROM %s n "
					 "WHERE %s AND NOT coalesce(%s AND t.score = n.score, false)",
					 table, rows, same_key(user_type), same_item.data));
}

void
fm_target_update(const char *table, FmLists *lists)
{
	char *key = same_key(&lists->user_type);

	fm_lists_spill(lists);
	fm_spi_register_rows("new_lists", lists->desc, lists->store, lists->num_rows);
	execute_update(&lists->user_type, &lists->item_type, table, "new_lists");
	execute(psprintf("DELETE FROM %s t WHERE NOT EXISTS (SELECT FROM new_lists n WHERE %s)", table,
					 key));
	execute(psprintf("INSERT INTO %s (user_id, rank, item_id, score) "
					 "SELECT user_id, rank, item_id, score FROM new_lists n "
					 "WHERE NOT EXISTS (SELECT FROM %s t WHERE %s)",
					 table, table, key));
	SPI_unregister_relation("new_lists");
}

static void
begin_rows(Rows *rows, const char *name)
{
	rows->name = name;
	rows->store = tuplestore_begin_heap(true, false, work_mem);
	rows->count = 0;
}

static void
put_row(Rows *rows, TupleDesc desc, Datum *values, bool *nulls)
{
	tuplestore_putvalues(rows->store, desc, values, nulls);
	rows->count++;
}

static bool
has_room(const FmDiff *diff)
{
	return MemoryContextMemAllocated(diff->context, true) / 1024 < maintenance_work_mem;
}

/* Make room for the rows of a user that the table has not shown before. */
static void
add_user(FmDiff *diff, int32 user)
{
	FmListItem *rows;

	if (user == diff->capacity)
	{
		diff->capacity *= 2;
		diff->rows = repalloc_huge(diff->rows, Max(1, (Size) diff->capacity * diff->length) *
												   sizeof(FmListItem));
		diff->met = repalloc_huge(diff->met, diff->capacity * sizeof(bool));
		diff->unproved = repalloc_huge(diff->unproved, diff->capacity * sizeof(int32));
		diff->too_large = !has_room(diff);
	}
	diff->met[user] = false;
	diff->unproved[user] = diff->length;
	rows = diff->rows + (Size) user * diff->length;
	for (int32 r = 0; r < diff->length; r++)
		rows[r] = (FmListItem){NO_ROW, 0};
}

/* The index of a user of the table, a new one where he has not appeared before. */
static int32
intern_user(FmDiff *diff, Datum id)
{
	int32 known = fm_idmap_count(diff->users);

	if (diff->last_user < 0 ||
		!fm_id_equal(&diff->user_type, fm_idmap_id(diff->users, diff->last_user), id))
		diff->last_user = fm_idmap_intern(diff->users, id);
	if (diff->last_user == known)
		add_user(diff, known);
	return diff->last_user;
}

/* What an item and a score in the table are; WRONG_ROW for what no list can have. */
static FmListItem
read_item(FmDiff *diff, const Datum *values, const bool *nulls)
{
	FmListItem row = {WRONG_ROW, 0};

	if (nulls[2] || nulls[3] || isnan(DatumGetFloat4(values[3])))
		return row;
	row.score = DatumGetFloat4(values[3]);
	if (diff->items != NULL)
		row.item = fm_idmap_find(diff->items, values[2]);
	else if (diff->loaded->num_items > 0)
		row.item = fm_image_find_integer(diff->loaded->image,
										 fm_id_as_int64(&diff->item_type, values[2]));
	return row;
}

/*
 * Note a row of the table: user_id, rank, item_id, score; `stands`: it is known to be as it was written. False if
 * there is no room for it.
 */
static bool
read_row(FmDiff *diff, Datum *values, bool *nulls, bool stands)
{
	FmListItem row;
	FmListItem *place;
	int32 rank;
	int32 user;

	if (nulls[0] || nulls[1])
	{
		diff->keyless = true;
		return true;
	}
	rank = DatumGetInt32(values[1]);
	if (rank < 1 || rank > diff->length)
	{
		put_row(&diff->gone, diff->desc, values, nulls);
		return true;
	}
	row = read_item(diff, values, nulls);
	user = intern_user(diff, values[0]);
	if (diff->too_large)
		return false;
	place = diff->rows + (Size) user * diff->length + rank - 1;
	if (stands && place->item == NO_ROW)
		diff->unproved[user]--;
	else
		diff->unproved[user] = UNKNOWN;
	/* without a key there may be several rows, which are right if all are */
	if (place->item != NO_ROW && (place->item != row.item || place->score != row.score))
		row.item = WRONG_ROW;
	*place = row;
	return true;
}

/* The map of all items where the image has none. */
static void
read_items(FmDiff *diff)
{
	if (diff->item_type.is_integer)
		return;
	diff->items = fm_idmap_create(&diff->item_type, diff->context);
	for (int32 item = 0; item < diff->loaded->num_items; item++)
		fm_idmap_intern(diff->items, fm_loaded_item_id(diff->loaded, item));
	fm_idmap_seal(diff->items);
	diff->too_large = !has_room(diff);
}

static FmDiff *
create_diff(const FmLoaded *loaded, int32 x, FmProof *proof)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx table of lists",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	FmDiff *diff = palloc0(sizeof(FmDiff));

	diff->context = context;
	diff->loaded = loaded;
	diff->proof = proof;
	diff->user_type = loaded->user_type;
	diff->item_type = loaded->item_type;
	diff->desc = fm_lists_desc(&diff->user_type, &diff->item_type);
	diff->length = Min(x, loaded->num_items);
	diff->users = fm_idmap_create(&diff->user_type, context);
	diff->capacity = 64;
	diff->rows = MemoryContextAllocHuge(context, Max(1, (Size) diff->capacity * diff->length) *
													 sizeof(FmListItem));
	diff->met = palloc(diff->capacity * sizeof(bool));
	diff->unproved = palloc(diff->capacity * sizeof(int32));
	diff->seeds = MemoryContextAllocHuge(context, Max(1, diff->length) * sizeof(int32));
	diff->last_user = -1;
	begin_rows(&diff->changed, "changed_rows");
	begin_rows(&diff->gone, "gone_rows");
	begin_rows(&diff->missing, "missing_rows");
	MemoryContextSwitchTo(previous);
	return diff;
}

void
fm_diff_free(FmDiff *diff)
{
	tuplestore_end(diff->changed.store);
	tuplestore_end(diff->gone.store);
	tuplestore_end(diff->missing.store);
	MemoryContextDelete(diff->context);
}

/* FmRowCallback */
static bool
receive_row(void *state, TupleTableSlot *slot)
{
	return read_row(state, slot->tts_values, slot->tts_isnull, false);
}

/*
 * Where a query of the table would do no more than hand over its rows, begin to read them without one; false
 * elsewhere. What a query would see is seen: the snapshot is as new as its would be.
 */
static bool
open_plain(FmDiff *diff, Oid target)
{
	static const char *const names[] = {"user_id", "rank", "item_id", "score"};
	AttrNumber columns[lengthof(names)];
	Relation relation;
	Snapshot snapshot;

	if (!diff->user_type.is_integer || !diff->item_type.is_integer)
		return false;
	relation = table_open(target, AccessShareLock);
	if (!fm_plain_scan_possible(relation, names, lengthof(names)))
	{
		table_close(relation, NoLock);
		return false;
	}
	for (int i = 0; i < lengthof(names); i++)
		columns[i] = get_attnum(target, names[i]);
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	diff->plain = MemoryContextAlloc(diff->context, sizeof(FmPlainScan));
	fm_plain_scan_begin(diff->plain, relation, table_beginscan(relation, snapshot, 0, NULL),
						columns, lengthof(names));
	return true;
}

static void
close_plain(FmDiff *diff)
{
	Relation relation = diff->plain->relation;
	Snapshot snapshot = diff->plain->scan->rs_snapshot;

	fm_plain_scan_end(diff->plain);
	UnregisterSnapshot(snapshot);
	table_close(relation, NoLock);
	diff->plain = NULL;
}

/* FmBeginCallback: read what has still to be read. */
static bool
begin_lists(void *state)
{
	FmDiff *diff = state;
	Datum values[4];
	bool nulls[4];

	if (diff->plain == NULL)
		return !diff->too_large;
	while (!diff->too_large && fm_plain_scan_next(diff->plain, values, nulls))
		(void) read_row(diff, values, nulls,
						diff->proof->known &&
							fm_proof_row_stands(diff->proof, fm_plain_scan_xmin(diff->plain)));
	close_plain(diff);
	if (!diff->too_large)
		fm_idmap_seal(diff->users);
	return !diff->too_large;
}

FmDiff *
fm_diff_open(const FmLoaded *loaded, Oid target, int32 x, FmProof *proof)
{
	FmDiff *diff = create_diff(loaded, x, proof);
	const Oid columns[] = {diff->user_type.type, INT4OID, diff->item_type.type, FLOAT4OID};

	read_items(diff);
	if (!diff->too_large && !open_plain(diff, target))
	{
		fm_spi_scan(psprintf("SELECT user_id, rank, item_id, score FROM %s",
							 fm_relation_sql(target)),
					0, NULL, NULL, false, columns, 4, receive_row, diff);
		fm_idmap_seal(diff->users);
	}
	if (!diff->too_large)
		return diff;
	fm_diff_free(diff);
	return NULL;
}

/* FmSeedCallback: the list that stands in the table. */
static const int32 *
old_list(void *state, const FmBatchUser *user, int32 *count)
{
	FmDiff *diff = state;
	int32 index = fm_idmap_find(diff->users, user->id);
	const FmListItem *rows = diff->rows + (Size) Max(index, 0) * diff->length;

	*count = index < 0 ? 0 : diff->length;
	for (int32 r = 0; r < *count; r++)
		diff->seeds[r] = rows[r].item; /* no item is below 0 */
	return diff->seeds;
}

/* FmCurrentCallback: a complete list, all as it was written, of a user for whom nothing has changed since. */
static bool
is_current(void *state, const FmBatchUser *user)
{
	FmDiff *diff = state;
	int32 index;

	if (!fm_proof_user_stands(diff->proof, user))
		return false;
	index = fm_idmap_find(diff->users, user->id);
	if (index < 0 || diff->unproved[index] != 0)
		return false;
	diff->met[index] = true;
	diff->num_current++;
	diff->num_rows += diff->length;
	return true;
}

static void
put_key(Rows *rows, const FmDiff *diff, Datum user_id, int32 rank)
{
	Datum values[] = {user_id, Int32GetDatum(rank), (Datum) 0, (Datum) 0};
	bool nulls[] = {false, false, true, true};

	put_row(rows, diff->desc, values, nulls);
}

/* FmListCallback: compare a new list with the old one. */
static void
compare_list(void *state, const FmBatchUser *user, const FmHit *hits, int32 count)
{
	FmDiff *diff = state;
	int32 index = fm_idmap_find(diff->users, user->id);
	const FmListItem *old = index < 0 ? NULL : diff->rows + (Size) index * diff->length;
	bool nulls[4] = {false};

	if (index >= 0)
		diff->met[index] = true;
	for (int32 r = 0; r < count; r++)
	{
		float score = (float) fm_serve_score(diff->loaded, user->vector.base + hits[r].score);

		if (old == NULL || old[r].item != hits[r].item || old[r].score != score)
		{
			Datum values[] = {user->id, Int32GetDatum(r + 1),
							  fm_loaded_item_id(diff->loaded, hits[r].item), Float4GetDatum(score)};
			bool there = old != NULL && old[r].item != NO_ROW;

			put_row(there ? &diff->changed : &diff->missing, diff->desc, values, nulls);
		}
	}
	for (int32 r = count; old != NULL && r < diff->length; r++)
		if (old[r].item != NO_ROW)
			put_key(&diff->gone, diff, user->id, r + 1);
	diff->num_rows += count;
}

FmListReceiver
fm_diff_receiver(FmDiff *diff)
{
	return (FmListReceiver){.state = diff,
							.put = compare_list,
							.seeds = old_list,
							.begin = begin_lists,
							.current = diff->proof->known ? is_current : NULL,
							.check = fm_proof_check(diff->proof)};
}

int64
fm_diff_num_rows(const FmDiff *diff)
{
	return diff->num_rows;
}

/* The rows of users that have no list any more. */
static void
find_gone(FmDiff *diff)
{
	for (int32 user = 0; user < fm_idmap_count(diff->users); user++)
		for (int32 r = 0; r < diff->length && !diff->met[user]; r++)
			if (diff->rows[(Size) user * diff->length + r].item != NO_ROW)
				put_key(&diff->gone, diff, fm_idmap_id(diff->users, user), r + 1);
}

static void
register_rows(const FmDiff *diff, const Rows *rows)
{
	fm_spi_register_rows(rows->name, diff->desc, rows->store, rows->count);
}

/*
 * In an order in which keys do not clash. The table has just been read, so that its pages are in memory as a
 * rule, and a page by an index costs no more than the next one of a scan; the planner takes it from there.
 * The setting lasts until the role is restored.
 */
static void
apply(const FmDiff *diff, const char *table)
{
	if (random_page_cost > seq_page_cost)
		(void) set_config_option("random_page_cost", psprintf("%.17g", seq_page_cost), PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (diff->changed.count > 0)
		execute_update(&diff->user_type, &diff->item_type, table, diff->changed.name);
	if (diff->gone.count > 0)
		execute(psprintf("DELETE FROM %s t USING %s n WHERE %s", table, diff->gone.name,
						 same_key(&diff->user_type)));
	if (diff->keyless)
		execute(psprintf("DELETE FROM %s WHERE user_id IS NULL OR rank IS NULL", table));
	if (diff->missing.count > 0)
		execute(psprintf("INSERT INTO %s (user_id, rank, item_id, score) "
						 "SELECT user_id, rank, item_id, score FROM %s",
						 table, diff->missing.name));
}

void
fm_diff_apply(FmDiff *diff, const char *table)
{
	ereport(DEBUG1, (errmsg_internal("%lld lists of table %s are known to be right still",
									 (long long) diff->num_current, table)));
	find_gone(diff);
	register_rows(diff, &diff->changed);
	register_rows(diff, &diff->gone);
	register_rows(diff, &diff->missing);
	apply(diff, table);
	SPI_unregister_relation(diff->changed.name);
	SPI_unregister_relation(diff->gone.name);
	SPI_unregister_relation(diff->missing.name);
	fm_diff_free(diff);
}
