/*
 * Which version of an attached model is served: the one whose row in the version table was
 * activated last.
 *
 * The table is read without a query. A query would take longer than everything else that answers a
 * question. Also, what the owner has put on the table must neither run nor fail in the views, which
 * everybody may read. Locking: AccessShareLock on the table while it is read.
 */
#include "registry/pointer.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(fm_served_version);

typedef struct PointerColumns
{
	AttrNumber version;
	AttrNumber stamp;
	AttrNumber activation;
} PointerColumns;

static AttrNumber
column_of_type(Oid table, const char *column, Oid type)
{
	AttrNumber number = get_attnum(table, column);

	return number > 0 && get_atttype(table, number) == type ? number : InvalidAttrNumber;
}

static bool
find_pointer_columns(Relation table, PointerColumns *columns)
{
	Oid oid = RelationGetRelid(table);

	columns->version = column_of_type(oid, "version", INT4OID);
	columns->stamp = column_of_type(oid, "stamp", INT8OID);
	columns->activation = column_of_type(oid, "activation", INT8OID);
	return table->rd_rel->relkind == RELKIND_RELATION && columns->version > 0 &&
		   columns->stamp > 0 && columns->activation > 0;
}

/* Point at the version of the row if it was activated after the latest one so far. */
static void
consider_row(TupleTableSlot *row, const PointerColumns *columns, FmPointer *pointer, int64 *latest)
{
	bool nulls[4];
	Datum version = slot_getattr(row, columns->version, &nulls[0]);
	Datum stamp = slot_getattr(row, columns->stamp, &nulls[1]);
	Datum activation = slot_getattr(row, columns->activation, &nulls[2]);
	Datum xmin = slot_getsysattr(row, MinTransactionIdAttributeNumber, &nulls[3]);

	if (nulls[0] || nulls[1] || nulls[2] || DatumGetInt64(activation) <= *latest)
		return;
	*latest = DatumGetInt64(activation);
	pointer->version = DatumGetInt32(version);
	pointer->stamp = DatumGetInt64(stamp);
	pointer->uncommitted = TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

FmPointer
fm_read_pointer(Oid version_table)
{
	Relation table = try_relation_open(version_table, AccessShareLock);
	FmPointer pointer = {0};
	PointerColumns columns;
	int64 latest = 0;

	if (table == NULL)
		return pointer;
	if (find_pointer_columns(table, &columns))
	{
		TupleTableSlot *row = table_slot_create(table, NULL);
		TableScanDesc scan = table_beginscan(table, GetActiveSnapshot(), 0, NULL);

		while (table_scan_getnextslot(scan, ForwardScanDirection, row))
			consider_row(row, &columns, &pointer, &latest);
		table_endscan(scan);
		ExecDropSingleTupleTableSlot(row);
	}
	relation_close(table, NoLock);
	return pointer;
}

Datum
fm_served_version(PG_FUNCTION_ARGS)
{
	Oid version_table = PG_GETARG_OID(0);
	FmPointer pointer;

	if (get_rel_name(version_table) == NULL ||
		pg_class_aclcheck(version_table, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		PG_RETURN_NULL();
	pointer = fm_read_pointer(version_table);
	if (pointer.version == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(pointer.version);
}
