/*
 * Comparing a table of lists with new lists while these are computed.
 *
 * The comparison takes these steps:
 *
 *   1. Read the rows of the table, in any order, into twelve bytes each. A plain table with integer
 *      ids is read without a query, and only when the batch begins: the workers of the batch read
 *      the ratings meanwhile.
 *   2. Skip lists that are known to be right (target_proof.c).
 *   3. Give the scan the owner's old list to start with (the seeds of core/scan/scan.h).
 *   4. Compare each new list with the old one, and put the changes aside, usually few.
 *   5. Delete the rows of owners who have no list any more, and make the changes
 *      (target_statements.c).
 *
 * A table that is too large for maintenance_work_mem is not compared here: the lists go to a
 * tuplestore, and fm_target_update compares them by statements. Locking: that of the queries.
 * Memory: one context for the rows; the changes spill to disk.
 */
#include "targets/target_diff.h"

#include <math.h>

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/scan/best.h"
#include "pg/plain_scan.h"
#include "targets/target_statements.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* Values of FmListItem.item besides items */
#define NO_ROW (-2)	   /* the table has no such row */
#define WRONG_ROW (-1) /* it has one that cannot be right */
#define REPEATED (-3)  /* it has several: no key forbids that */

/* Value of `unproved` that never falls to 0 */
#define UNKNOWN PG_INT32_MAX

struct FmDiff
{
	/* what is read of the table: owner, rank, item, and these if they are there, else -1 */
	FmColumn columns[FM_LIST_COLUMNS];
	int num_columns;
	int score_column;
	int rating_column;

	MemoryContext context;
	const FmLoaded *loaded;
	const FmIdType *model_type; /* of the owners' ids in the model */
	FmProof *proof;
	int64 num_rows;	   /* of the new lists */
	int64 num_current; /* lists that did not have to be computed */

	/* the rows of the table, at owner × length + rank - 1 */
	int32 length;
	FmIdMap *owners; /* in order of their first row */
	FmIdMap *items;	 /* by idx; NULL: integer ids, which the image looks up */
	FmListItem *rows;
	bool *met;		 /* the owner has a new list */
	int32 *unproved; /* number of ranks without a row known to be as written; or UNKNOWN */
	int32 capacity;
	int32 last_owner;	/* rows of one owner are often adjacent */
	FmPlainScan *plain; /* reads the table in step 1; NULL: it has been read */
	bool too_large;
	int32 *seeds; /* of one owner */

	FmChanges changes;
};

/* Raise the error that the model's tables cannot be as a training has written them. */
pg_noreturn static void
damaged(const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("the model's %s", problem),
					errhint("Train the model again.")));
}

static bool
has_room(const FmDiff *diff)
{
	return MemoryContextMemAllocated(diff->context, true) / 1024 < maintenance_work_mem;
}

/* Make room for the rows of a new owner. */
static void
add_owner(FmDiff *diff, int32 owner)
{
	FmListItem *rows;

	if (owner == diff->capacity)
	{
		diff->capacity *= 2;
		diff->rows = repalloc_huge(diff->rows, Max(1, (Size) diff->capacity * diff->length) *
												   sizeof(FmListItem));
		diff->met = repalloc_huge(diff->met, diff->capacity * sizeof(bool));
		diff->unproved = repalloc_huge(diff->unproved, diff->capacity * sizeof(int32));
		diff->too_large = !has_room(diff);
	}
	diff->met[owner] = false;
	diff->unproved[owner] = diff->length;
	rows = diff->rows + (Size) owner * diff->length;
	for (int32 r = 0; r < diff->length; r++)
		rows[r] = (FmListItem){NO_ROW};
}

/* Return the index of an owner of the table, a new one if this is their first row. */
static int32
intern_owner(FmDiff *diff, Datum id)
{
	int32 known = fm_idmap_count(diff->owners);

	if (diff->last_owner < 0 ||
		!fm_id_equal(&diff->changes.owner_type, fm_idmap_id(diff->owners, diff->last_owner), id))
		diff->last_owner = fm_idmap_intern(diff->owners, id);
	if (diff->last_owner == known)
		add_owner(diff, known);
	return diff->last_owner;
}

/* Set *value to a number of a row, unless it has no such column; false if it is no number. */
static bool
read_number(const FmRow *row, int column, bool may_be_null, float *value)
{
	if (column < 0)
		return true;
	*value = fm_row_real_or(row, column, NAN);
	return fm_row_is_null(row, column) ? may_be_null : !isnan(*value);
}

/* Return the item and the numbers of a row; WRONG_ROW if no list can have them. */
static FmListItem
read_item(FmDiff *diff, const FmRow *row)
{
	FmListItem item = {WRONG_ROW};
	Datum id;

	if (fm_row_is_null(row, LIST_ITEM) ||
		!read_number(row, diff->score_column, false, &item.score) ||
		!read_number(row, diff->rating_column, true, &item.rating))
		return item;
	id = fm_row_value(row, LIST_ITEM);
	if (diff->items != NULL)
		item.item = fm_idmap_find(diff->items, id);
	else if (diff->loaded->version.num_items > 0)
		item.item = fm_image_find_integer(diff->loaded->image,
										  fm_id_as_int64(&diff->changes.item_type, id));
	return item;
}

/* Put aside a row to be deleted, by its key. */
static void
put_gone(FmDiff *diff, Datum owner_id, int32 rank)
{
	Datum values[FM_LIST_COLUMNS] = {owner_id, Int32GetDatum(rank)};
	bool nulls[FM_LIST_COLUMNS] = {false, false, true, true, true};

	fm_changes_put(&diff->changes, &diff->changes.gone, values, nulls);
}

/*
 * Take a row of the table. `stands` says that it is known to be as it was written. Return false if
 * there is no room for it.
 */
static bool
read_row(FmDiff *diff, const FmRow *row, bool stands)
{
	FmListItem item;
	FmListItem *place;
	int32 rank;
	int32 owner;

	if (fm_row_is_null(row, LIST_OWNER) || fm_row_is_null(row, LIST_RANK))
	{
		diff->changes.keyless = true;
		return true;
	}
	rank = fm_row_integer(row, LIST_RANK);
	if (rank < 1 || rank > diff->length)
	{
		put_gone(diff, fm_row_value(row, LIST_OWNER), rank);
		return true;
	}
	item = read_item(diff, row);
	owner = intern_owner(diff, fm_row_value(row, LIST_OWNER));
	if (diff->too_large)
		return false;
	place = diff->rows + (Size) owner * diff->length + rank - 1;
	if (stands && place->item == NO_ROW)
		diff->unproved[owner]--;
	else
		diff->unproved[owner] = UNKNOWN;
	if (place->item != NO_ROW)
		item.item = REPEATED;
	*place = item;
	return true;
}

/* Make a map of all items if the image cannot look up their ids. */
static void
read_items(FmDiff *diff)
{
	if (diff->loaded->item_type.is_integer)
		return;
	diff->items = fm_idmap_create(&diff->loaded->item_type, diff->context);
	for (int32 item = 0; item < diff->loaded->version.num_items; item++)
		if (fm_idmap_intern(diff->items, fm_loaded_item_id(diff->loaded, item)) != item)
			damaged("item table holds an item twice");
	fm_idmap_seal(diff->items);
	diff->too_large = !has_room(diff);
}

/* Return the type of the ids in the table: that of the model, but perhaps another integer type. */
static FmIdType
stored_type(Oid target, const char *column, const FmIdType *id_type)
{
	Oid stored = get_atttype(target, get_attnum(target, column));
	FmIdType result = *id_type;

	if (id_type->is_integer && get_typlen(stored) != id_type->typlen)
		fm_id_type_of_integer(stored, &result);
	return result;
}

/* Read a column of the table. It may be of a domain over the type that the lists have. */
static int
read_column(FmDiff *diff, Oid target, const char *column)
{
	diff->columns[diff->num_columns] = (FmColumn){column,
												  get_atttype(target, get_attnum(target, column))};
	return diff->num_columns++;
}

static void
choose_columns(FmDiff *diff, const FmListKind *kind, Oid target)
{
	FmTargetColumns has = fm_target_columns(kind, target);

	(void) read_column(diff, target, kind->owner);
	(void) read_column(diff, target, "rank");
	(void) read_column(diff, target, kind->item);
	diff->score_column = has.score ? read_column(diff, target, "score") : -1;
	diff->rating_column = has.rating ? read_column(diff, target, "rating") : -1;
}

static FmDiff *
create_diff(const FmLoaded *loaded, Oid target, const FmListRules *rules, FmProof *proof)
{
	const FmListKind *kind = fm_list_kind(rules->kind);
	const FmIdType *model_type = fm_list_owner_type(rules->kind, loaded);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx table of lists",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	FmDiff *diff = palloc0(sizeof(FmDiff));
	FmIdType owner_type = stored_type(target, kind->owner, model_type);
	FmIdType item_type = stored_type(target, kind->item, &loaded->item_type);

	diff->context = context;
	diff->loaded = loaded;
	diff->model_type = model_type;
	diff->proof = proof;
	diff->length = Min(rules->x, loaded->version.num_items);
	diff->owners = fm_idmap_create(&owner_type, context);
	diff->capacity = 64;
	diff->rows = MemoryContextAllocHuge(context, Max(1, (Size) diff->capacity * diff->length) *
													 sizeof(FmListItem));
	diff->met = palloc(diff->capacity * sizeof(bool));
	diff->unproved = palloc(diff->capacity * sizeof(int32));
	diff->seeds = MemoryContextAllocHuge(context, Max(1, diff->length) * sizeof(int32));
	diff->last_owner = -1;
	choose_columns(diff, kind, target);
	fm_changes_init(&diff->changes, kind, &owner_type, &item_type);
	MemoryContextSwitchTo(previous);
	return diff;
}

void
fm_diff_free(FmDiff *diff)
{
	fm_changes_free(&diff->changes);
	MemoryContextDelete(diff->context);
}

/* FmRowReader */
static bool
receive_row(void *state, const FmRow *row)
{
	return read_row(state, row, false);
}

/*
 * Begin to read the table without a query, with a snapshot as new as that of a query would be.
 * Return false if a query could return other rows than those of the table itself.
 */
static bool
open_plain(FmDiff *diff, Oid target)
{
	const FmColumn *columns = diff->columns;
	AttrNumber numbers[FM_LIST_COLUMNS];
	Relation relation;
	Snapshot snapshot;

	if (!diff->model_type->is_integer || !diff->loaded->item_type.is_integer)
		return false;
	relation = table_open(target, AccessShareLock);
	if (!fm_plain_scan_possible(relation, columns, diff->num_columns))
	{
		table_close(relation, NoLock);
		return false;
	}
	for (int i = 0; i < diff->num_columns; i++)
		numbers[i] = get_attnum(target, columns[i].sql);
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	diff->plain = MemoryContextAlloc(diff->context, sizeof(FmPlainScan));
	fm_plain_scan_begin(diff->plain, relation, table_beginscan(relation, snapshot, 0, NULL),
						numbers, diff->num_columns);
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

/* FmBeginCallback: read the table unless a query has read it already. */
static bool
begin_lists(void *state)
{
	FmDiff *diff = state;
	Datum values[FM_LIST_COLUMNS];
	bool nulls[FM_LIST_COLUMNS];
	const FmRow row = {values, nulls, diff->columns};

	if (diff->plain == NULL)
		return !diff->too_large;
	while (!diff->too_large && fm_plain_scan_next(diff->plain, values, nulls))
		(void) read_row(diff, &row,
						diff->proof->known &&
							fm_proof_row_stands(diff->proof, fm_plain_scan_xmin(diff->plain)));
	close_plain(diff);
	if (!diff->too_large)
		fm_idmap_seal(diff->owners);
	return !diff->too_large;
}

FmDiff *
fm_diff_open(const FmLoaded *loaded, Oid target, const FmListRules *rules, FmProof *proof)
{
	FmDiff *diff = create_diff(loaded, target, rules, proof);

	read_items(diff);
	if (!diff->too_large && !open_plain(diff, target))
	{
		fm_sql_scan(psprintf("SELECT %s FROM %s", fm_select_list(diff->columns, diff->num_columns),
							 fm_relation_sql(target)),
					NULL, false, diff->columns, diff->num_columns, receive_row, diff);
		fm_idmap_seal(diff->owners);
	}
	if (!diff->too_large)
		return diff;
	fm_diff_free(diff);
	return NULL;
}

/* Return an id of the model as one of the table. That it fits was checked, but by another query. */
static Datum
convert_id(const FmIdType *from, const FmIdType *to, Datum id)
{
	if (!fm_id_convert(from, to, id, &id))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("an id of the model is out of range for type %s",
							   format_type_be(to->type))));
	return id;
}

static Datum
convert_owner(const FmDiff *diff, const FmBatchUser *owner)
{
	return convert_id(diff->model_type, &diff->changes.owner_type, owner->id);
}

static Datum
convert_item(const FmDiff *diff, int32 item)
{
	return convert_id(&diff->loaded->item_type, &diff->changes.item_type,
					  fm_loaded_item_id(diff->loaded, item));
}

/* FmSeedCallback: return the old list. */
static const int32 *
old_list(void *state, const FmBatchUser *owner, int32 *count)
{
	FmDiff *diff = state;
	int32 index = fm_idmap_find(diff->owners, convert_owner(diff, owner));
	const FmListItem *rows = diff->rows + (Size) Max(index, 0) * diff->length;

	*count = index < 0 ? 0 : diff->length;
	for (int32 r = 0; r < *count; r++)
		diff->seeds[r] = rows[r].item; /* the scan ignores NO_ROW and WRONG_ROW */
	return diff->seeds;
}

/*
 * FmCurrentCallback: the list is complete, its rows are as they were written, and nothing that it
 * depends on has changed since so that it would be another.
 */
static bool
is_current(void *state, const FmBatchUser *owner)
{
	FmDiff *diff = state;
	int32 index;

	if (!fm_proof_owner_stands(diff->proof, owner))
		return false;
	index = fm_idmap_find(diff->owners, convert_owner(diff, owner));
	if (index < 0 || diff->unproved[index] != 0 || diff->met[index] ||
		!fm_proof_items_stand(diff->proof, owner, diff->rows + (Size) index * diff->length,
							  diff->length))
		return false;
	diff->met[index] = true;
	diff->num_current++;
	diff->num_rows += diff->length;
	return true;
}

/* Return whether a row of the table is as it should be. */
static bool
is_same(const FmDiff *diff, const FmListItem *old, const FmListItem *new)
{
	if (old->item != new->item || (diff->score_column >= 0 && old->score != new->score))
		return false;
	return diff->rating_column < 0 || old->rating == new->rating ||
		   (isnan(old->rating) && isnan(new->rating));
}

/* FmListCallback: compare a new list with the old one and put the changes aside. */
static void
compare_list(void *state, const FmBatchUser *owner, const FmHit *hits, int32 count)
{
	FmDiff *diff = state;
	Datum owner_id = convert_owner(diff, owner);
	int32 index = fm_idmap_find(diff->owners, owner_id);
	const FmListItem *old = index < 0 ? NULL : diff->rows + (Size) index * diff->length;

	if (index >= 0 && diff->met[index])
		damaged("tables hold a user or an item twice");
	if (index >= 0)
		diff->met[index] = true;
	for (int32 r = 0; r < count; r++)
	{
		FmListItem item = fm_list_item_of(diff->loaded, owner, &hits[r]);

		if (old == NULL || !is_same(diff, &old[r], &item))
		{
			Datum values[FM_LIST_COLUMNS];
			bool nulls[FM_LIST_COLUMNS];
			bool once = old != NULL && old[r].item != NO_ROW && old[r].item != REPEATED;

			fm_lists_set_row(owner_id, r + 1, convert_item(diff, item.item), &item, values, nulls);
			fm_changes_put(&diff->changes, once ? &diff->changes.changed : &diff->changes.missing,
						   values, nulls);
			if (old != NULL && old[r].item == REPEATED)
				put_gone(diff, owner_id, r + 1);
		}
	}
	for (int32 r = count; old != NULL && r < diff->length; r++)
		if (old[r].item != NO_ROW)
			put_gone(diff, owner_id, r + 1);
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

/* Put aside the rows of owners who have no list any more. */
static void
find_gone(FmDiff *diff)
{
	for (int32 owner = 0; owner < fm_idmap_count(diff->owners); owner++)
		for (int32 r = 0; r < diff->length && !diff->met[owner]; r++)
			if (diff->rows[(Size) owner * diff->length + r].item != NO_ROW)
				put_gone(diff, fm_idmap_id(diff->owners, owner), r + 1);
}

void
fm_diff_apply(FmDiff *diff, Oid target)
{
	ereport(DEBUG1, (errmsg_internal("%lld lists of table %s are known to be right",
									 (long long) diff->num_current, fm_relation_sql(target))));
	find_gone(diff);
	fm_changes_apply(&diff->changes, target);
	fm_diff_free(diff);
}
