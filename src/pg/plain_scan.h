/*
 * Rows of a plain table, read by its access method rather than by a query.
 */
#ifndef FMTOPX_PLAIN_SCAN_H
#define FMTOPX_PLAIN_SCAN_H

#include "pg/compat.h"

#include "access/tableam.h"

#include "pg/sql_rows.h"

#define FM_PLAIN_MAX_COLUMNS 4

/* As the type of a column: smallint, integer or bigint. */
#define FM_ANY_INTEGER InvalidOid

typedef struct FmPlainColumn
{
	AttrNumber number;
	int16 length;
	bool by_value;
	int32 offset; /* from the tuple's data, where the scan is `fixed` */
} FmPlainColumn;

typedef struct FmPlainScan
{
	Relation relation;
	TableScanDesc scan;
	TupleTableSlot *slot; /* NULL: a heap, which is read page by page */
	int num_columns;
	FmPlainColumn columns[FM_PLAIN_MAX_COLUMNS];
	AttrNumber last_column; /* the greatest number */
	bool
		fixed; /* the columns have the same offsets in every tuple that is complete and without NULL */
	Page page; /* of a heap, the one at hand */
	int next;  /* of its visible tuples */
	int count;
} FmPlainScan;

/* Whether rows of the relation have an xmin. */
extern bool fm_plain_scan_is_heap(Relation relation);

/* Whether the transaction that wrote a row is older than another; both of the last 2^31. */
static inline bool
fm_xmin_is_before(TransactionId xmin, TransactionId before)
{
	return (int32) (xmin - before) < 0;
}

/*
 * Return whether the pages of the relation hold what a query of these columns by the current user would
 * return, and the columns have the types that the reader assumes. The relation may belong to anybody,
 * who can alter its columns, make it a parent, or distribute its rows to other nodes.
 */
extern bool fm_plain_scan_possible(Relation relation, const FmColumn *columns, int num_columns);

/* Begin to read columns; the scan is one made for `relation` with a snapshot of the caller's. */
extern void fm_plain_scan_begin(FmPlainScan *plain, Relation relation, TableScanDesc scan,
								const AttrNumber *columns, int num_columns);

/* The next row, valid until the next call; false at the end. */
extern bool fm_plain_scan_next(FmPlainScan *plain, Datum *values, bool *nulls);

/* The xmin of that row, which must be of a heap, even where it has been frozen since. */
extern TransactionId fm_plain_scan_xmin(const FmPlainScan *plain);

/*
 * The same of many rows at once where all columns are integers: up to `max` of them, into an array a column,
 * without those that have a NULL in any. Returns how many; 0 at the end only. With `xmins`, which want a heap, theirs,
 * too.
 */
extern int fm_plain_scan_integers(FmPlainScan *plain, int max, int64 *const *columns,
								  TransactionId *xmins);

/* The integer that a Datum of a column of so many bytes is. */
static inline int64
fm_plain_integer(Datum value, int16 length)
{
	return length == 4	 ? DatumGetInt32(value)
		   : length == 2 ? DatumGetInt16(value)
						 : DatumGetInt64(value);
}

/* Ends the table scan too. */
extern void fm_plain_scan_end(FmPlainScan *plain);

#endif
