/*
 * Reading the rows of a table by its access method, without a query, as an index build does.
 *
 * This serves to read a few columns of fixed width of millions of rows, which takes the executor
 * much longer, and to divide the rows among several processes. Tuples of a heap are not even
 * deformed if all columns up to the last one wanted have a fixed width. Then the values have the
 * same offsets in all tuples without NULL.
 *
 * Locking: the caller has locked the relation; a page is pinned while its rows are read, as in any
 * scan. Memory: the caller's FmPlainScan.
 */
#include "pg/plain_scan.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "pg/bare_scan.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* Return whether the column's values are stored in the rows and are of its type. */
static bool
is_stored(Relation relation, const FmColumn *column)
{
	AttrNumber number = get_attnum(RelationGetRelid(relation), column->sql);
	Form_pg_attribute attribute;

	if (number <= 0)
		return false;
	attribute = TupleDescAttr(RelationGetDescr(relation), number - 1);
	if (attribute->attgenerated != '\0' && attribute->attgenerated != ATTRIBUTE_GENERATED_STORED)
		return false;
	return column->type == FM_ANY_INTEGER ? is_integer(attribute->atttypid)
										  : attribute->atttypid == column->type;
}

bool
fm_plain_scan_possible(Relation relation, const FmColumn *columns, int num_columns)
{
	char kind = relation->rd_rel->relkind;

	for (int i = 0; i < num_columns; i++)
		if (!is_stored(relation, &columns[i]))
			return false;
	return (kind == RELKIND_RELATION || kind == RELKIND_MATVIEW) && RelationIsPopulated(relation) &&
		   !has_subclass(RelationGetRelid(relation)) &&
		   pg_class_aclcheck(RelationGetRelid(relation), GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		   check_enable_rls(RelationGetRelid(relation), InvalidOid, true) == RLS_NONE &&
		   fm_is_bare_scan(RelationGetRelid(relation), columns, num_columns);
}

bool
fm_plain_scan_is_heap(Relation relation)
{
	return relation->rd_tableam == GetHeapamTableAmRoutine();
}

/* Find the offsets of the columns in a tuple without NULL. Return false if they vary by tuple. */
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
	if (fm_plain_scan_is_heap(relation))
		plain->fixed = find_offsets(plain);
	else
		plain->slot = table_slot_create(relation, NULL);
}

/* Deform a tuple of a heap to which the offsets do not apply. */
static void
deform(const FmPlainScan *plain, ItemId item, Datum *values, bool *nulls)
{
	HeapTupleData tuple;

	tuple.t_len = ItemIdGetLength(item);
	tuple.t_data = (HeapTupleHeader) PageGetItem(plain->page, item);
	tuple.t_tableOid = RelationGetRelid(plain->relation);
	ItemPointerSetInvalid(&tuple.t_self);
	for (int i = 0; i < plain->num_columns; i++)
		values[i] = heap_getattr(&tuple, plain->columns[i].number,
								 RelationGetDescr(plain->relation), &nulls[i]);
}

/*
 * Go to the next page of a heap that has visible tuples. When the scan comes to a page, it finds
 * all of its visible tuples (rs_vistuples in heapam.h). Setting rs_cindex to the last of them makes
 * the scan continue with the next page.
 */
static bool
next_page(FmPlainScan *plain)
{
	HeapScanDesc heap = (HeapScanDesc) plain->scan;

	CHECK_FOR_INTERRUPTS();
	if (heap_getnext(plain->scan, ForwardScanDirection) == NULL)
		return false;
	plain->page = BufferGetPage(heap->rs_cbuf);
	plain->next = 0;
	plain->count = heap->rs_ntuples;
	heap->rs_cindex = heap->rs_ntuples - 1;
	return true;
}

static ItemId
item_at(const FmPlainScan *plain, int number)
{
	return PageGetItemId(plain->page, ((HeapScanDesc) plain->scan)->rs_vistuples[number]);
}

static inline HeapTupleHeader
header_of(const FmPlainScan *plain, ItemId item)
{
	return (HeapTupleHeader) PageGetItem(plain->page, item);
}

/* Return the data of a tuple that the offsets apply to; NULL if the tuple has to be deformed. */
static inline const char *
data_of(const FmPlainScan *plain, ItemId item)
{
	HeapTupleHeader header = header_of(plain, item);

	if (!plain->fixed || (header->t_infomask & HEAP_HASNULL) != 0 ||
		HeapTupleHeaderGetNatts(header) < plain->last_column)
		return NULL;
	return (const char *) header + header->t_hoff;
}

static bool
next_of_heap(FmPlainScan *plain, Datum *values, bool *nulls)
{
	ItemId item;
	const char *data;

	if (plain->next == plain->count && !next_page(plain))
		return false;
	item = item_at(plain, plain->next++);
	data = data_of(plain, item);
	if (data == NULL)
		deform(plain, item, values, nulls);
	for (int i = 0; i < plain->num_columns && data != NULL; i++)
	{
		const FmPlainColumn *column = &plain->columns[i];

		values[i] = fetch_att(data + column->offset, column->by_value, column->length);
		nulls[i] = false;
	}
	return true;
}

static bool
next_of_slot(FmPlainScan *plain, Datum *values, bool *nulls)
{
	CHECK_FOR_INTERRUPTS();
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

bool
fm_plain_scan_next(FmPlainScan *plain, Datum *values, bool *nulls)
{
	return plain->slot == NULL ? next_of_heap(plain, values, nulls)
							   : next_of_slot(plain, values, nulls);
}

TransactionId
fm_plain_scan_xmin(const FmPlainScan *plain)
{
	return HeapTupleHeaderGetRawXmin(header_of(plain, item_at(plain, plain->next - 1)));
}

/* Copy the integers of one column of tuples of a heap. */
static void
copy_integers(const char *const *data, int count, const FmPlainColumn *column, int64 *values)
{
	if (column->length == 4)
		for (int i = 0; i < count; i++)
			values[i] = *(const int32 *) (data[i] + column->offset);
	else if (column->length == 2)
		for (int i = 0; i < count; i++)
			values[i] = *(const int16 *) (data[i] + column->offset);
	else
		for (int i = 0; i < count; i++)
			values[i] = *(const int64 *) (data[i] + column->offset);
}

/* Read the next tuples of the current page, up to the first that has to be deformed. */
static int
integers_of_page(FmPlainScan *plain, int max, int64 *const *columns, TransactionId *xmins)
{
	const char *data[MaxHeapTuplesPerPage];
	int count = 0;

	max = Min(max, plain->count - plain->next);
	while (count < max &&
		   (data[count] = data_of(plain, item_at(plain, plain->next + count))) != NULL)
		count++;
	for (int i = 0; i < plain->num_columns; i++)
		copy_integers(data, count, &plain->columns[i], columns[i]);
	for (int i = 0; xmins != NULL && i < count; i++)
		xmins[i] = HeapTupleHeaderGetRawXmin(header_of(plain, item_at(plain, plain->next + i)));
	plain->next += count;
	return count;
}

int
fm_plain_scan_integers(FmPlainScan *plain, int max, int64 *const *columns, TransactionId *xmins)
{
	Datum values[FM_PLAIN_MAX_COLUMNS];
	bool nulls[FM_PLAIN_MAX_COLUMNS];
	bool any_null;
	int count = integers_of_page(plain, max, columns, xmins);

	if (count > 0)
		return count;
	do
	{
		if (!fm_plain_scan_next(plain, values, nulls))
			return 0;
		any_null = false;
		for (int i = 0; i < plain->num_columns; i++)
			any_null = any_null || nulls[i];
	} while (any_null);
	for (int i = 0; i < plain->num_columns; i++)
		columns[i][0] = fm_plain_integer(values[i], plain->columns[i].length);
	if (xmins != NULL)
		xmins[0] = fm_plain_scan_xmin(plain);
	return 1;
}

void
fm_plain_scan_end(FmPlainScan *plain)
{
	if (plain->slot != NULL)
		ExecDropSingleTupleTableSlot(plain->slot);
	table_endscan(plain->scan);
}
