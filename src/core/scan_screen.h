/*
 * The query's side of the screen: a query in 8 bits, and what may be concluded from 8 bits.
 *
 * A screen may let an item through that is no hit, and never the other way round; scan.c rescores
 * what comes through by the one definition of a score. All that is rigorous about it is here and in
 * the survivors of scan_kernel.h. Nothing here allocates.
 */
#ifndef FMTOPX_CORE_SCAN_SCREEN_H
#define FMTOPX_CORE_SCAN_SCREEN_H

#include "core/scan_matrix.h"

/* The most queries that a kernel screens at once. */
#define FM_SCREEN_MAX_WIDTH 8

typedef struct FmScreenQuery
{
	const float *query; /* num_factors + 1 entries */
	int8_t codes[FM_SCAN_MAX_FACTORS];
	int32_t offset;	   /* takes back what FM_SCAN_CODE_ZERO adds to a sum of products of codes */
	float unit;		   /* t: a code's worth; 0 or a normal number */
	float bias_weight; /* the last entry of the query */
	float threshold;   /* only items that may score at least this are wanted */
	double norm;	   /* at least ‖φ‖ */
	float rest_factor; /* these four make the error of a tile */
	float norm_factor;
	float bias_factor;
	float absolute;
} FmScreenQuery;

/* Code a query with integers in -code_max .. code_max; the threshold begins at -infinity. */
extern void fm_screen_prepare(FmScreenQuery *screen, const float *query, int num_factors,
							  int code_max);
extern void fm_screen_set_threshold(FmScreenQuery *screen, double threshold);

/* How far a screened score of the tile may be below the exact one; infinite when that is unknown. */
extern float fm_screen_error(const FmScreenQuery *screen, const FmScanTile *tile);

/* No exact score in the tile is higher (or it is NaN, and nothing is known). */
extern double fm_screen_reach(const FmScreenQuery *screen, const FmScanTile *tile);

#endif
