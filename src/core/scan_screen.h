/*
 * The query's side of the screen: a query in 8 bits, and what may be concluded from 8 bits.
 *
 * A screen may let an item through that is no hit, and never the other way round; scan.c rescores
 * what comes through by the one definition of a score. All that is rigorous about it is here and in
 * the survivors of scan_kernel.h. Nothing here allocates.
 */
#ifndef FMTOPX_CORE_SCAN_SCREEN_H
#define FMTOPX_CORE_SCAN_SCREEN_H

#include <float.h>
#include <math.h>

#include "core/scan_matrix.h"

#define FM_UNIT_ROUNDOFF (FLT_EPSILON / 2)

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

/*
 * Code a query; the threshold begins at -infinity. In every eight entries the magnitudes of the
 * codes 0, 1, 4 and 5 sum up to at most four_max, and so do the others; 0 means no such limit.
 */
extern void fm_screen_prepare(FmScreenQuery *screen, const float *query, int num_factors,
							  int four_max);
extern void fm_screen_raise_threshold(FmScreenQuery *screen, double threshold);

/* The exact score of an item is at least this, unless it is NaN or infinite. */
extern double fm_screen_lower(float upper, float error);

static inline float
fm_largest_bias(const FmScanTile *tile)
{
	return -tile->bias_min > tile->bias_max ? -tile->bias_min : tile->bias_max;
}

/* How far a screened score of the tile may be below the exact one; infinite when that is unknown. */
static inline float
fm_screen_error(const FmScreenQuery *screen, const FmScanTile *tile)
{
	float error = screen->rest_factor * tile->rest + screen->norm_factor * tile->norm +
				  screen->bias_factor * fm_largest_bias(tile) + screen->absolute;

	return error < FLT_MAX * (float) FM_UNIT_ROUNDOFF ? error : INFINITY;
}

/* No exact score in the tile is higher (or it is NaN, and nothing is known). */
static inline double
fm_screen_reach(const FmScreenQuery *screen, const FmScanTile *tile)
{
	double beta = screen->bias_weight;
	double best_bias = beta * (beta < 0 ? tile->bias_min : tile->bias_max);
	double slack = screen->bias_factor * (double) fm_largest_bias(tile) + screen->absolute;

	return screen->norm * tile->norm + best_bias + slack;
}

#endif
