/*
 * The rows of a query, read by enum.
 *
 * A query declares its columns once, as an array of FmColumn indexed by an enum:
 *
 *     enum { USER_IDX, USER_ID };
 *     const FmColumn columns[] = {[USER_IDX] = {"idx", INT4OID}, [USER_ID] = {"user_id", id_type}};
 *
 * The array makes the SELECT list, is checked against the result, and its enum reads the values.
 */
#ifndef FMTOPX_SQL_ROWS_H
#define FMTOPX_SQL_ROWS_H

#include "pg/compat.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

typedef struct FmColumn
{
	const char *sql; /* the expression in the SELECT list */
	Oid type;		 /* that it must have */
} FmColumn;

/* One row: arrays of values and of nulls, by column. */
typedef struct FmRow
{
	const Datum *values;
	const bool *nulls;
	const FmColumn *columns;
} FmRow;

#define FM_FEW_COLUMNS 32

/* The rows of a result of SPI, one after the other. Not to be copied: it points into itself. */
typedef struct FmRows
{
	SPITupleTable *table;
	uint64 count;
	uint64 next;
	FmRow row; /* the current one, after fm_rows_next; its values point into the table */
	Datum *values;
	bool *nulls;
	Datum few_values[FM_FEW_COLUMNS]; /* where the values are, unless there are more */
	bool few_nulls[FM_FEW_COLUMNS];
} FmRows;

/* "idx, user_id": the SELECT list, in the current context or appended. */
extern char *fm_select_list(const FmColumn *columns, int num_columns);
extern void fm_append_select_list(StringInfo sql, const FmColumn *columns, int num_columns);

/*
 * Raise an error unless a result has columns of these types. An owner can alter their tables, so
 * what was stored once must not be taken for granted.
 */
extern void fm_check_columns(TupleDesc desc, const FmColumn *columns, int num_columns);

/* Start to read the last result of SPI. `columns` must live as long as *rows. */
extern void fm_rows_begin(FmRows *rows, const FmColumn *columns, int num_columns);

/* Read the next row; false after the last. */
static inline bool
fm_rows_next(FmRows *rows)
{
	if (rows->next == rows->count)
		return false;
	heap_deform_tuple(rows->table->vals[rows->next++], rows->table->tupdesc, rows->values,
					  rows->nulls);
	return true;
}

/* Free the result. Does nothing if *rows is all zero. */
extern void fm_rows_end(FmRows *rows);

/*
 * The first value of the last result, which has a row; an error if it is of another type or NULL.
 */
extern Datum fm_sql_value(Oid type);

/* The same as text in the current context; NULL if it is NULL or the result has no row. */
extern char *fm_sql_text(void);

pg_noreturn extern void fm_row_unexpected_null(const FmRow *row, int column);

static inline bool
fm_row_is_null(const FmRow *row, int column)
{
	return row->nulls[column];
}

/* A value of any type; here and in the next functions NULL is an error. */
static inline Datum
fm_row_value(const FmRow *row, int column)
{
	if (row->nulls[column])
		fm_row_unexpected_null(row, column);
	return row->values[column];
}

static inline bool
fm_row_boolean(const FmRow *row, int column)
{
	return DatumGetBool(fm_row_value(row, column));
}

static inline int32
fm_row_integer(const FmRow *row, int column)
{
	return DatumGetInt32(fm_row_value(row, column));
}

static inline int64
fm_row_bigint(const FmRow *row, int column)
{
	return DatumGetInt64(fm_row_value(row, column));
}

static inline float
fm_row_real(const FmRow *row, int column)
{
	return DatumGetFloat4(fm_row_value(row, column));
}

static inline double
fm_row_double(const FmRow *row, int column)
{
	return DatumGetFloat8(fm_row_value(row, column));
}

static inline Oid
fm_row_relation(const FmRow *row, int column)
{
	return DatumGetObjectId(fm_row_value(row, column));
}

/* Of a column of type xid. */
static inline TransactionId
fm_row_xid(const FmRow *row, int column)
{
	return DatumGetTransactionId(fm_row_value(row, column));
}

/* A copy in the current context. */
static inline char *
fm_row_text(const FmRow *row, int column)
{
	return TextDatumGetCString(fm_row_value(row, column));
}

/* The same with a value for NULL. */
static inline bool
fm_row_boolean_or(const FmRow *row, int column, bool if_null)
{
	return row->nulls[column] ? if_null : DatumGetBool(row->values[column]);
}

static inline int32
fm_row_integer_or(const FmRow *row, int column, int32 if_null)
{
	return row->nulls[column] ? if_null : DatumGetInt32(row->values[column]);
}

static inline int64
fm_row_bigint_or(const FmRow *row, int column, int64 if_null)
{
	return row->nulls[column] ? if_null : DatumGetInt64(row->values[column]);
}

static inline float
fm_row_real_or(const FmRow *row, int column, float if_null)
{
	return row->nulls[column] ? if_null : DatumGetFloat4(row->values[column]);
}

static inline double
fm_row_double_or(const FmRow *row, int column, double if_null)
{
	return row->nulls[column] ? if_null : DatumGetFloat8(row->values[column]);
}

static inline Oid
fm_row_relation_or_invalid(const FmRow *row, int column)
{
	return row->nulls[column] ? InvalidOid : DatumGetObjectId(row->values[column]);
}

/* A copy of a name in the current context; NULL for NULL. */
static inline char *
fm_row_name_or_null(const FmRow *row, int column)
{
	return row->nulls[column] ? NULL : pstrdup(NameStr(*DatumGetName(row->values[column])));
}

#endif
