/*
 * Rows of a plain table, read by its access method rather than by a query.
 *
 * As an index build reads its table: for the reads of millions of rows of which a few columns of fixed width
 * are wanted, where the executor would take most of the time, or which several processes share. Tuples of a
 * heap are not even deformed: where all columns up to the last one wanted have a fixed width, its values
 * stand at offsets that are the same for all tuples without NULL. Locking: the caller's, of the relation; a
 * page is pinned while its rows are read, as in any scan.
 */
#include "plain_scan.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_inherits.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#define ROWS_PER_CHECK 4096

static bool
is_stored(Relation relation, const char *column)
{
	AttrNumber number = get_attnum(RelationGetRelid(relation), column);
	char generated;

	if (number <= 0)
		return false;
	generated = TupleDescAttr(RelationGetDescr(relation), number - 1)->attgenerated;
	return generated == '\0' || generated == ATTRIBUTE_GENERATED_STORED;
}

bool
fm_plain_scan_possible(Relation relation, const char *const *columns, int num_columns)
{
	char kind = relation->rd_rel->relkind;

	for (int i = 0; i < num_columns; i++)
		if (!is_stored(relation, columns[i]))
			return false;
	return (kind == RELKIND_RELATION || kind == RELKIND_MATVIEW) && RelationIsPopulated(relation) &&
		   !has_subclass(RelationGetRelid(relation)) &&
		   pg_class_aclcheck(RelationGetRelid(relation), GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		   check_enable_rls(RelationGetRelid(relation), InvalidOid, true) == RLS_NONE;
}

/* Find out where columns stand in a tuple without NULL; false if that depends on the tuple. */
static bool
find_offsets(FmPlainScan *plain)
{
	TupleDesc desc = RelationGetDescr(plain->relation);
	int32 offset = 0;

	for (AttrNumber number = 1; number <= plain->last_column; number++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, number - 1);

		if (attribute->attlen < 0)
			return false;
		offset = att_align_nominal(offset, attribute->attalign);
		for (int i = 0; i < plain->num_columns; i++)
			if (plain->columns[i].number == number)
				plain->columns[i].offset = offset;
		offset += attribute->attlen;
	}
	return true;
}

void
fm_plain_scan_begin(FmPlainScan *plain, Relation relation, TableScanDesc scan,
					const AttrNumber *columns, int num_columns)
{
	memset(plain, 0, sizeof(FmPlainScan));
	plain->relation = relation;
	plain->scan = scan;
	plain->num_columns = num_columns;
	for (int i = 0; i < num_columns; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), columns[i] - 1);

		plain->columns[i] = (FmPlainColumn){columns[i], attribute->attlen, attribute->attbyval, 0};
		plain->last_column = Max(plain->last_column, columns[i]);
	}
	if (relation->rd_tableam == GetHeapamTableAmRoutine())
		plain->fixed = find_offsets(plain);
	else
		plain->slot = table_slot_create(relation, NULL);
}

static void
read_tuple(const FmPlainScan *plain, HeapTuple tuple, Datum *values, bool *nulls)
{
	HeapTupleHeader header = tuple->t_data;
	const char *data = (const char *) header + header->t_hoff;

	if (plain->fixed && !HeapTupleHasNulls(tuple) &&
		HeapTupleHeaderGetNatts(header) >= plain->last_column)
	{
		for (int i = 0; i < plain->num_columns; i++)
		{
			values[i] = fetch_att(data + plain->columns[i].offset, plain->columns[i].by_value,
								  plain->columns[i].length);
			nulls[i] = false;
		}
		return;
	}
	for (int i = 0; i < plain->num_columns; i++)
		values[i] = heap_getattr(tuple, plain->columns[i].number, RelationGetDescr(plain->relation),
								 &nulls[i]);
}

bool
fm_plain_scan_next(FmPlainScan *plain, Datum *values, bool *nulls)
{
	if (++plain->rows % ROWS_PER_CHECK == 0)
		CHECK_FOR_INTERRUPTS();
	if (plain->slot == NULL)
	{
		HeapTuple tuple = heap_getnext(plain->scan, ForwardScanDirection);

		if (tuple != NULL)
			read_tuple(plain, tuple, values, nulls);
		return tuple != NULL;
	}
	if (!table_scan_getnextslot(plain->scan, ForwardScanDirection, plain->slot))
		return false;
	slot_getsomeattrs(plain->slot, plain->last_column);
	for (int i = 0; i < plain->num_columns; i++)
	{
		values[i] = plain->slot->tts_values[plain->columns[i].number - 1];
		nulls[i] = plain->slot->tts_isnull[plain->columns[i].number - 1];
	}
	return true;
}

void
fm_plain_scan_end(FmPlainScan *plain)
{
	if (plain->slot != NULL)
		ExecDropSingleTupleTableSlot(plain->slot);
	table_endscan(plain->scan);
}
