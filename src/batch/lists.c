/*
 * Lists, kept until they are written to a table.
 *
 * They take twelve bytes a row in memory. If that exceeds maintenance_work_mem, all rows move to a
 * tuplestore, which spills to disk.
 */
#include "batch/lists.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/scan/best.h"
#include "serve/list_score.h"
#include "utils/memutils.h"

static const FmListKind kinds[] = {
	[FM_TARGET_TOP_X] = {.owner = "user_id",
						 .item = "item_id",
						 .num_columns = LIST_RATING + 1,
						 .column_names = "user_id, rank, item_id, score and rating",
						 .writer = "fm_write_top_x"},
	[FM_TARGET_SIMILAR_ITEMS] = {.owner = "item_id",
								 .item = "similar_item_id",
								 .num_columns = LIST_SCORE + 1,
								 .column_names = "item_id, rank, similar_item_id and score",
								 .writer = "fm_write_similar_items"}};

const FmListKind *
fm_list_kind(FmTargetKind kind)
{
	return &kinds[kind];
}

const FmIdType *
fm_list_owner_type(FmTargetKind kind, const FmLoaded *loaded)
{
	return kind == FM_TARGET_SIMILAR_ITEMS ? &loaded->item_type : &loaded->user_type;
}

TupleDesc
fm_lists_desc(const FmListKind *kind, const FmIdType *owner_type, const FmIdType *item_type)
{
	TupleDesc desc = CreateTemplateTupleDesc(kind->num_columns);

	TupleDescInitEntry(desc, LIST_OWNER + 1, kind->owner, owner_type->type, owner_type->typmod, 0);
	TupleDescInitEntryCollation(desc, LIST_OWNER + 1, owner_type->collation);
	TupleDescInitEntry(desc, LIST_RANK + 1, "rank", INT4OID, -1, 0);
	TupleDescInitEntry(desc, LIST_ITEM + 1, kind->item, item_type->type, item_type->typmod, 0);
	TupleDescInitEntryCollation(desc, LIST_ITEM + 1, item_type->collation);
	TupleDescInitEntry(desc, LIST_SCORE + 1, "score", FLOAT4OID, -1, 0);
	if (kind->num_columns > LIST_RATING)
		TupleDescInitEntry(desc, LIST_RATING + 1, "rating", FLOAT4OID, -1, 0);
	return desc;
}

void
fm_lists_set_row(Datum owner_id, int32 rank, Datum item_id, const FmListItem *item,
				 Datum values[FM_LIST_COLUMNS], bool nulls[FM_LIST_COLUMNS])
{
	memset(nulls, 0, FM_LIST_COLUMNS * sizeof(bool));
	values[LIST_OWNER] = owner_id;
	values[LIST_RANK] = Int32GetDatum(rank);
	values[LIST_ITEM] = item_id;
	values[LIST_SCORE] = Float4GetDatum(item->score);
	values[LIST_RATING] = Float4GetDatum(item->rating);
	nulls[LIST_RATING] = isnan(item->rating);
}

void
fm_lists_row(const FmLists *lists, int32 owner, int32 rank, Datum values[FM_LIST_COLUMNS],
			 bool nulls[FM_LIST_COLUMNS])
{
	const FmListItem *row = &lists->items[lists->start[owner] + rank - 1];

	fm_lists_set_row(fm_idmap_id(lists->owners, owner), rank,
					 fm_loaded_item_id(lists->loaded, row->item), row, values, nulls);
}

FmListItem
fm_list_item_of(const FmLoaded *loaded, const FmBatchUser *owner, const FmHit *hit)
{
	const FmUserVector *user = &owner->vector;

	if (user->v == NULL)
		return (FmListItem){hit->item, (float) hit->score, NAN};
	return (FmListItem){hit->item,
						(float) fm_listed_score(loaded, fm_list_sum(loaded, user, hit->score)),
						fm_listed_rating(loaded, user, hit->item)};
}

int32
fm_lists_length(const FmLists *lists, int32 owner)
{
	return (int32) (lists->start[owner + 1] - lists->start[owner]);
}

void
fm_lists_spill(FmLists *lists)
{
	MemoryContext previous;

	if (lists->store != NULL)
		return;
	previous = MemoryContextSwitchTo(MemoryContextGetParent(lists->context));
	lists->store = tuplestore_begin_heap(true, false, maintenance_work_mem);
	for (int32 owner = 0; owner < fm_idmap_count(lists->owners); owner++)
		for (int32 rank = 1; rank <= fm_lists_length(lists, owner); rank++)
		{
			Datum values[FM_LIST_COLUMNS];
			bool nulls[FM_LIST_COLUMNS];

			fm_lists_row(lists, owner, rank, values, nulls);
			tuplestore_putvalues(lists->store, lists->desc, values, nulls);
		}
	MemoryContextSwitchTo(previous);
	MemoryContextReset(lists->context);
	lists->owners = NULL;
	lists->start = NULL;
	lists->items = NULL;
}

static void
grow(FmLists *lists, int32 owners, int64 items)
{
	if (owners + 2 > lists->start_capacity)
	{
		lists->start_capacity *= 2;
		lists->start = repalloc_huge(lists->start, lists->start_capacity * sizeof(int64));
	}
	if (items > lists->item_capacity)
	{
		lists->item_capacity = Max(items, 2 * lists->item_capacity);
		lists->items = repalloc_huge(lists->items, lists->item_capacity * sizeof(FmListItem));
	}
}

/* FmListCallback: append a list. */
static void
put_list(void *state, const FmBatchUser *owner, const FmHit *hits, int32 count)
{
	FmLists *lists = state;
	int32 index = 0;

	if (lists->store == NULL)
	{
		index = fm_idmap_count(lists->owners);
		grow(lists, index, lists->num_rows + count);
		if (fm_idmap_intern(lists->owners, owner->id) != index)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("the model's tables hold a user or an item twice"),
							errhint("Train the model again.")));
		lists->start[index + 1] = lists->start[index];
	}
	for (int32 r = 0; r < count; r++)
	{
		FmListItem item = fm_list_item_of(lists->loaded, owner, &hits[r]);
		Datum values[FM_LIST_COLUMNS];
		bool nulls[FM_LIST_COLUMNS];

		if (lists->store == NULL)
		{
			lists->items[lists->start[index + 1]++] = item;
			continue;
		}
		fm_lists_set_row(owner->id, r + 1, fm_loaded_item_id(lists->loaded, item.item), &item,
						 values, nulls);
		tuplestore_putvalues(lists->store, lists->desc, values, nulls);
	}
	lists->num_rows += count;
	if (lists->store == NULL &&
		MemoryContextMemAllocated(lists->context, true) / 1024 >= maintenance_work_mem)
		fm_lists_spill(lists);
}

FmLists *
fm_lists_create(const FmLoaded *loaded, FmTargetKind kind)
{
	FmLists *lists = palloc0(sizeof(FmLists));

	lists->loaded = loaded;
	lists->kind = fm_list_kind(kind);
	lists->owner_type = *fm_list_owner_type(kind, loaded);
	lists->item_type = loaded->item_type;
	lists->desc = fm_lists_desc(lists->kind, &lists->owner_type, &lists->item_type);
	lists->context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx lists",
										   ALLOCSET_DEFAULT_SIZES);
	lists->owners = fm_idmap_create(&lists->owner_type, lists->context);
	lists->start_capacity = 1024;
	lists->start = MemoryContextAllocZero(lists->context, lists->start_capacity * sizeof(int64));
	lists->item_capacity = 1024;
	lists->items = MemoryContextAlloc(lists->context, lists->item_capacity * sizeof(FmListItem));
	return lists;
}

FmListReceiver
fm_lists_receiver(FmLists *lists, FmSeenCheck *check)
{
	return (FmListReceiver){.state = lists, .put = put_list, .check = check};
}

void
fm_lists_free(FmLists *lists)
{
	if (lists->store != NULL)
		tuplestore_end(lists->store);
	MemoryContextDelete(lists->context);
	pfree(lists);
}
