/*
 * Rows of ranked lists, as set-returning functions return them.
 */
#ifndef FMTOPX_RANKED_H
#define FMTOPX_RANKED_H

#include "pg/compat.h"

#include <math.h>

#include "nodes/execnodes.h"

/*
 * One row: rank, id and score; with `owner`, it has another column before these. If the function
 * returns a column more, that is the rating.
 */
typedef struct FmRankedRow
{
	const Datum *owner; /* whose list it is; or NULL */
	int32 rank;			/* from 1 */
	Datum id;
	float score;
	float rating; /* NaN: NULL */
} FmRankedRow;

/* Add a row to the tuplestore of a function that fm_init_materialized_srf has prepared. */
static inline void
fm_put_ranked(ReturnSetInfo *result, FmRankedRow row)
{
	Datum values[] = {row.owner == NULL ? (Datum) 0 : *row.owner, Int32GetDatum(row.rank), row.id,
					  Float4GetDatum(row.score), Float4GetDatum(row.rating)};
	bool nulls[5] = {false, false, false, false, isnan(row.rating)};
	int first = row.owner == NULL ? 1 : 0;

	tuplestore_putvalues(result->setResult, result->setDesc, values + first, nulls + first);
}

#endif
