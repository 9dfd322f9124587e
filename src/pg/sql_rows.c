/*
 * The rows of a query, read by enum. Memory: results belong to SPI until fm_rows_end or SPI_finish;
 * a row's values by reference point into the result.
 */
#include "pg/sql_rows.h"

void
fm_append_select_list(StringInfo sql, const FmColumn *columns, int num_columns)
{
	for (int i = 0; i < num_columns; i++)
	{
		if (i > 0)
			appendStringInfoString(sql, ", ");
		appendStringInfoString(sql, columns[i].sql);
	}
}

char *
fm_select_list(const FmColumn *columns, int num_columns)
{
	StringInfoData sql;

	initStringInfo(&sql);
	fm_append_select_list(&sql, columns, num_columns);
	return sql.data;
}

static void
check_type(TupleDesc desc, int column, Oid type)
{
	Oid found = SPI_gettypeid(desc, column + 1);

	if (found != type)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" that fmtopx reads is of type %s, not %s any more",
							   NameStr(TupleDescAttr(desc, column)->attname), format_type_be(found),
							   format_type_be(type)),
						errhint("Give it back its type, or drop the model and train it again.")));
}

void
fm_check_columns(TupleDesc desc, const FmColumn *columns, int num_columns)
{
	Assert(desc->natts == num_columns);
	for (int i = 0; i < num_columns; i++)
		check_type(desc, i, columns[i].type);
}

void
fm_rows_begin(FmRows *rows, const FmColumn *columns, int num_columns)
{
	bool few = num_columns <= FM_FEW_COLUMNS;

	rows->table = SPI_tuptable;
	rows->count = SPI_processed;
	rows->next = 0;
	rows->values = few ? rows->few_values : palloc(num_columns * sizeof(Datum));
	rows->nulls = few ? rows->few_nulls : palloc(num_columns * sizeof(bool));
	rows->row = (FmRow){rows->values, rows->nulls, columns};
	fm_check_columns(rows->table->tupdesc, columns, num_columns);
}

void
fm_rows_end(FmRows *rows)
{
	SPI_freetuptable(rows->table);
	rows->table = NULL;
	if (rows->values != rows->few_values && rows->values != NULL)
	{
		pfree(rows->values);
		pfree(rows->nulls);
	}
	rows->values = NULL;
	rows->nulls = NULL;
}

pg_noreturn static void
unexpected_null(const char *column)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("unexpected NULL in column \"%s\" of a table of fmtopx", column),
					errhint("Train the model again.")));
}

void
fm_row_unexpected_null(const FmRow *row, int column)
{
	unexpected_null(row->columns[column].sql);
}

Datum
fm_sql_value(Oid type)
{
	TupleDesc desc = SPI_tuptable->tupdesc;
	bool isnull;
	Datum value;

	check_type(desc, 0, type);
	value = SPI_getbinval(SPI_tuptable->vals[0], desc, 1, &isnull);
	if (isnull)
		unexpected_null(NameStr(TupleDescAttr(desc, 0)->attname));
	return value;
}

char *
fm_sql_text(void)
{
	return SPI_processed == 0 ? NULL
							  : SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}
