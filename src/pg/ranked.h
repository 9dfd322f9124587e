/*
 * Rows of ranked lists, as set-returning functions return them.
 */
#ifndef FMTOPX_RANKED_H
#define FMTOPX_RANKED_H

#include "pg/compat.h"

#include "nodes/execnodes.h"

/* One row: rank, id and score; with `owner`, it has another column before these. */
typedef struct FmRankedRow
{
	const Datum *owner; /* whose list it is; or NULL */
	int32 rank;			/* from 1 */
	Datum id;
	bool id_is_null;
	float score;
} FmRankedRow;

/* Add a row to the tuplestore of a function that fm_init_materialized_srf has prepared. */
extern void fm_put_ranked(ReturnSetInfo *result, FmRankedRow row);

#endif
