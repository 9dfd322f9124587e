/*
 * Rows of ranked lists, as set-returning functions return them.
 *
 * Memory: the function's tuplestore, which spills to disk.
 */
#include "pg/ranked.h"

void
fm_put_ranked(ReturnSetInfo *result, FmRankedRow row)
{
	Datum values[] = {row.owner == NULL ? (Datum) 0 : *row.owner, Int32GetDatum(row.rank), row.id,
					  Float4GetDatum(row.score)};
	bool nulls[] = {false, false, row.id_is_null, false};
	int first = row.owner == NULL ? 1 : 0;

	tuplestore_putvalues(result->setResult, result->setDesc, values + first, nulls + first);
}
