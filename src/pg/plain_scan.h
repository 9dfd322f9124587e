/*
 * Reading the rows of a table by its access method, without a query.
 */
#ifndef FMTOPX_PLAIN_SCAN_H
#define FMTOPX_PLAIN_SCAN_H

#include "pg/compat.h"

#include "access/tableam.h"

#include "pg/sql_rows.h"

#define FM_PLAIN_MAX_COLUMNS 5

/* As the type of an FmColumn: smallint, integer or bigint. */
#define FM_ANY_INTEGER InvalidOid

typedef struct FmPlainColumn
{
	AttrNumber number;
	int16 length;
	bool by_value;
	int32 offset; /* in the tuple's data, if the scan is `fixed` */
} FmPlainColumn;

typedef struct FmPlainScan
{
	Relation relation;
	TableScanDesc scan;
	TupleTableSlot *slot; /* NULL for a heap, which is read page by page */
	int num_columns;
	FmPlainColumn columns[FM_PLAIN_MAX_COLUMNS];
	AttrNumber last_column; /* the greatest number */
	bool fixed; /* the columns have the same offsets in every complete tuple without NULL */
	Page page;	/* of a heap: the current page */
	int next;	/* the next of its visible tuples */
	int count;	/* of its visible tuples */
} FmPlainScan;

/* Return whether the relation is a heap, so that its rows have an xmin. */
extern bool fm_plain_scan_is_heap(Relation relation);

/* Compare the xmin of a row with another xid. Both must be among the last 2^31. */
static inline bool
fm_xmin_is_before(TransactionId xmin, TransactionId before)
{
	return (int32) (xmin - before) < 0;
}

/*
 * Return whether the pages of the relation hold what a query of these columns by the current user
 * would return, and the columns have the types that the reader assumes. The relation may belong to
 * anybody, who can alter its columns, make it a parent, or distribute its rows to other nodes.
 */
extern bool fm_plain_scan_possible(Relation relation, const FmColumn *columns, int num_columns);

/* Start to read columns. `scan` is a scan of `relation` with a snapshot of the caller. */
extern void fm_plain_scan_begin(FmPlainScan *plain, Relation relation, TableScanDesc scan,
								const AttrNumber *columns, int num_columns);

/* Read the next row, which is valid until the next call. Return false at the end. */
extern bool fm_plain_scan_next(FmPlainScan *plain, Datum *values, bool *nulls);

/* Return the xmin of that row, even if it is frozen. The relation must be a heap. */
extern TransactionId fm_plain_scan_xmin(const FmPlainScan *plain);

/*
 * Read up to `max` rows at once if all columns are integers. The values go into one array for each
 * column. Rows with a NULL are left out. Return the number of rows; it is 0 only at the end. If
 * `xmins` is not NULL, the relation must be a heap, and `xmins` gets the rows' xmin.
 */
extern int fm_plain_scan_integers(FmPlainScan *plain, int max, int64 *const *columns,
								  TransactionId *xmins);

/* Return the integer in a Datum of a column of 2, 4 or 8 bytes. */
static inline int64
fm_plain_integer(Datum value, int16 length)
{
	return length == 4	 ? DatumGetInt32(value)
		   : length == 2 ? DatumGetInt16(value)
						 : DatumGetInt64(value);
}

/* End the reading and the table scan. */
extern void fm_plain_scan_end(FmPlainScan *plain);

#endif
