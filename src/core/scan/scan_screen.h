/*
 * The query's side of the screen: a query in 8 bits, and what may be concluded from 8 bits.
 *
 * A screen may let an item pass that is no hit, but it never drops a hit. scan.c scores the items
 * that pass again, by the definition of a score. Everything that this promise rests on is here and
 * in the survivors of scan_kernel_body.h. Nothing here allocates.
 */
#ifndef FMTOPX_CORE_SCAN_SCREEN_H
#define FMTOPX_CORE_SCAN_SCREEN_H

#include <float.h>
#include <math.h>

#include "core/scan/scan_layout.h"

#define FM_UNIT_ROUNDOFF (FLT_EPSILON / 2)

/* The most queries that a kernel screens at once. */
#define FM_SCREEN_MAX_WIDTH 8

/* The members that a scan reads for every tile come first, within a cache line. */
typedef struct FmScreenQuery
{
	const float *query; /* num_factors + 1 entries */
	double norm;		/* at least ‖φ‖ */
	double per_unit;	/* 1 / t, or 0 */
	float threshold;	/* only items whose score may reach this are wanted */
	float bias_weight;	/* the last entry of the query */
	float rest_factor;	/* these four make the error of a tile */
	float norm_factor;
	float bias_factor;
	float absolute;
	float unit;		/* t: the unit of the codes; 0 or a normal number */
	int32_t offset; /* undoes what code_zero adds to a sum of products of codes */
	int8_t codes[FM_SCAN_MAX_FACTORS];
} FmScreenQuery;

/*
 * Code a query; the threshold begins at -infinity.
 *
 * In every eight entries, the magnitudes of the codes 0, 1, 4 and 5 sum up to at most four_max, and
 * so do those of the others; 0 means no limit. code_zero is the byte that stands for 0 in the codes
 * of items as the kernel multiplies them.
 */
extern void fm_screen_prepare(FmScreenQuery *screen, const float *query, int num_factors,
							  int four_max, int code_zero);
extern void fm_screen_raise_threshold(FmScreenQuery *screen, double threshold);

static inline float
fm_largest_bias(const FmScanTile *tile)
{
	return -tile->bias_min > tile->bias_max ? -tile->bias_min : tile->bias_max;
}

/* Return how far a screened score of the tile may be below the exact one; infinite if unknown. */
static inline float
fm_screen_error(const FmScreenQuery *screen, const FmScanTile *tile)
{
	float error = screen->rest_factor * tile->rest + screen->norm_factor * tile->norm +
				  screen->bias_factor * fm_largest_bias(tile) + screen->absolute;

	return error < FLT_MAX * (float) FM_UNIT_ROUNDOFF ? error : INFINITY;
}

/*
 * Return a lower bound of an item's exact score, unless it is NaN or infinite: the error bounds the
 * screened score on either side.
 */
static inline float
fm_screen_lower(float upper, float error)
{
	return upper - 2 * error;
}

/* Return the most that the bias of any item of the tile adds to a score. */
static inline double
fm_best_bias(const FmScreenQuery *screen, const FmScanTile *tile)
{
	double least = (double) screen->bias_weight * tile->bias_min;
	double largest = (double) screen->bias_weight * tile->bias_max;

	return least > largest ? least : largest;
}

/* Return an upper bound of the exact scores in the tile; NaN if nothing is known. */
static inline double
fm_screen_reach(const FmScreenQuery *screen, const FmScanTile *tile)
{
	double slack = screen->bias_factor * (double) fm_largest_bias(tile) + screen->absolute;

	return screen->norm * tile->norm + fm_best_bias(screen, tile) + slack;
}

/*
 * Return what s·⟨φ̂, ψ̂⟩ must reach, where s is the scale of a block of the tile: if it is below,
 * no exact score reaches the threshold. `error` is that of the tile. NaN: nothing is known.
 */
static inline double
fm_screen_needed(const FmScreenQuery *screen, const FmScanTile *tile, float error)
{
	return ((double) screen->threshold - (double) error - fm_best_bias(screen, tile)) *
		   screen->per_unit;
}

/* Greater than any sum of products of codes. */
#define FM_SCREEN_CUT_MAX (1 << 26)

#endif
