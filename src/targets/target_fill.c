/*
 * Filling a table of lists that has just been created.
 *
 * Rows are inserted as COPY inserts them: many at a time, and through a small ring of buffers.
 * Where the server's wal_level allows it they are not logged, since the table is new in this
 * transaction. Locking: the creator's lock on the table. Memory: BATCH_ROWS rows.
 */
#include "targets/target_fill.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define BATCH_ROWS 1000

typedef struct Fill
{
	Relation relation;
	BulkInsertState bulk;
	TupleTableSlot *slots[BATCH_ROWS];
	int count;
	MemoryContext batch;
} Fill;

static void
flush(Fill *fill)
{
	MemoryContext previous = MemoryContextSwitchTo(fill->batch);

	CHECK_FOR_INTERRUPTS();
	table_multi_insert(fill->relation, fill->slots, fill->count, GetCurrentCommandId(true),
					   TABLE_INSERT_SKIP_FSM, fill->bulk);
	MemoryContextSwitchTo(previous);
	MemoryContextReset(fill->batch);
	for (int i = 0; i < fill->count; i++)
		ExecClearTuple(fill->slots[i]);
	fill->count = 0;
}

static TupleTableSlot *
next_slot(Fill *fill)
{
	TupleTableSlot *slot;

	if (fill->count == BATCH_ROWS)
		flush(fill);
	slot = fill->slots[fill->count];
	if (slot == NULL)
		slot = fill->slots[fill->count] = table_slot_create(fill->relation, NULL);
	fill->count++;
	return slot;
}

static void
put_from_memory(Fill *fill, const FmLists *lists)
{
	for (int32 owner = 0; owner < fm_idmap_count(lists->owners); owner++)
		for (int32 rank = 1; rank <= fm_lists_length(lists, owner); rank++)
		{
			TupleTableSlot *slot = next_slot(fill);
			Datum values[FM_LIST_COLUMNS];
			bool nulls[FM_LIST_COLUMNS];

			fm_lists_row(lists, owner, rank, values, nulls);
			memcpy(slot->tts_values, values, lists->kind->num_columns * sizeof(Datum));
			memcpy(slot->tts_isnull, nulls, lists->kind->num_columns * sizeof(bool));
			ExecStoreVirtualTuple(slot);
		}
}

static void
put_from_store(Fill *fill, const FmLists *lists)
{
	TupleTableSlot *row = MakeSingleTupleTableSlot(lists->desc, &TTSOpsMinimalTuple);

	while (tuplestore_gettupleslot(lists->store, true, false, row))
		ExecCopySlot(next_slot(fill), row);
	ExecDropSingleTupleTableSlot(row);
}

/*
 * Return whether the table has nothing that needs to see rows one by one. A trigger on DDL
 * commands may have added it.
 */
static bool
is_plain(Relation relation, const FmListKind *kind)
{
	return RelationGetNumberOfAttributes(relation) == kind->num_columns &&
		   relation->trigdesc == NULL && relation->rd_rules == NULL &&
		   !relation->rd_rel->relrowsecurity && !relation->rd_rel->relhasindex &&
		   RelationGetDescr(relation)->constr != NULL &&
		   RelationGetDescr(relation)->constr->num_check == 0;
}

bool
fm_target_fill(Oid table, const FmLists *lists)
{
	Relation relation = table_open(table, RowExclusiveLock);
	Fill *fill;

	if (!is_plain(relation, lists->kind))
	{
		table_close(relation, NoLock);
		return false;
	}
	fill = palloc0(sizeof(Fill));
	fill->relation = relation;
	fill->bulk = GetBulkInsertState();
	fill->batch = AllocSetContextCreate(CurrentMemoryContext, "fmtopx batch of rows",
										ALLOCSET_DEFAULT_SIZES);
	if (lists->store != NULL)
		put_from_store(fill, lists);
	else
		put_from_memory(fill, lists);
	flush(fill);
	for (int i = 0; i < BATCH_ROWS && fill->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(fill->slots[i]);
	FreeBulkInsertState(fill->bulk);
	table_finish_bulk_insert(relation, TABLE_INSERT_SKIP_FSM);
	MemoryContextDelete(fill->batch);
	pfree(fill);
	table_close(relation, NoLock);
	CommandCounterIncrement();
	return true;
}
