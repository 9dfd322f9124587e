/*
 * The inside of a loaded matrix, for the files of the scan alone: where everything is, and what
 * each number promises. All other files see core/scan/scan_matrix.h.
 *
 *     FmScanMatrix | rows | codes | biases | items | scales | per_scale | tiles
 *
 * `rows` are the floats as they were set, one item after the other; exact scores read them. All the
 * rest is for the screen. There the items have another order, that of their places: FM_SCAN_LANES
 * places make a block, and FM_SCAN_TILE_BLOCKS blocks a tile. items[place] is the item's index. The
 * places after the last item are padding, with zero vectors.
 *
 * Codes. Each entry of an item's vector ψ (without its bias) is coded in 8 bits, in units of the
 * block's scale s: ψ = s·ψ̂ + r, where ψ̂ has integers in -127 .. 127 and a byte holds ψ̂ + 128.
 * Four consecutive entries of one item are adjacent, and the groups of the LANES items of a block
 * are side by side. So one 512-bit instruction multiplies four entries of 16 items, and no sum ever
 * crosses lanes.
 *
 * Tiles. Items of similar bias and similar norm ‖ψ‖ share a tile (scan_order.c), because a query is
 * done with a whole tile if even its largest bias and largest norm together cannot reach the x-th
 * best score (Cauchy-Schwarz). On a model trained from 4 million ratings of 200,000 items (64
 * factors, the default solver, lists of 20) a query screens 6 percent of the tiles. Even if the
 * final threshold were known from the start, an order by norm would leave 38 percent, and an order
 * by norm plus bias 58. On MovieLens 100k, with 1,682 items, it is 60 percent. Gaussian vectors
 * leave all tiles; there the test takes some 2 percent of the time of a batch.
 */
#ifndef FMTOPX_CORE_SCAN_LAYOUT_H
#define FMTOPX_CORE_SCAN_LAYOUT_H

#include "core/scan/scan_matrix.h"

#define FM_SCAN_LANES 16
#define FM_SCAN_GROUP 4 /* entries of an item that are adjacent */
#define FM_SCAN_GROUP_BYTES (FM_SCAN_GROUP * FM_SCAN_LANES)
#define FM_SCAN_TILE_BLOCKS 16
#define FM_SCAN_TILE_ITEMS (FM_SCAN_TILE_BLOCKS * FM_SCAN_LANES)
#define FM_SCAN_MAX_GROUPS (FM_SCAN_MAX_FACTORS / FM_SCAN_GROUP)

_Static_assert(FM_SCAN_MAX_FACTORS % (2 * FM_SCAN_GROUP) == 0,
			   "codes are padded to pairs of groups");

#define FM_SCAN_CODE_MAX 127
#define FM_SCAN_CODE_ZERO 128 /* the byte that stands for 0 */

/* May be in shared memory: a change of the layout needs another FM_IMAGE_LAYOUT (image.h). */
struct FmScanMatrix
{
	int32_t num_items;
	int32_t num_factors;
	int32_t num_blocks;
	int32_t num_tiles;
	int32_t num_groups;		 /* of FM_SCAN_GROUP entries; an even number, padded with zeros */
	size_t rows_offset;		 /* from the start of this struct, multiples of 64, as are all below */
	size_t codes_offset;	 /* block × num_groups × FM_SCAN_GROUP_BYTES bytes */
	size_t biases_offset;	 /* a float for each place */
	size_t items_offset;	 /* an int32_t for each place */
	size_t scales_offset;	 /* a float for each block: 0 or a normal number */
	size_t per_scale_offset; /* a double for each block of full tiles: 1 / scale, or 0 */
	size_t tiles_offset;
};

/* Bounds on the items of a tile; norm and rest are rounded up and may be infinite. */
typedef struct FmScanTile
{
	float norm; /* of any ‖ψ‖ */
	float rest; /* of any ‖r‖ */
	float bias_min;
	float bias_max;
} FmScanTile;

static inline float *
fm_scan_row(const FmScanMatrix *matrix, int32_t item)
{
	return (float *) ((char *) matrix + matrix->rows_offset) +
		   (size_t) item * (matrix->num_factors + 1);
}

static inline uint8_t *
fm_scan_codes(const FmScanMatrix *matrix)
{
	return (uint8_t *) matrix + matrix->codes_offset;
}

static inline float *
fm_scan_biases(const FmScanMatrix *matrix)
{
	return (float *) ((char *) matrix + matrix->biases_offset);
}

static inline int32_t *
fm_scan_items(const FmScanMatrix *matrix)
{
	return (int32_t *) ((char *) matrix + matrix->items_offset);
}

static inline float *
fm_scan_scales(const FmScanMatrix *matrix)
{
	return (float *) ((char *) matrix + matrix->scales_offset);
}

static inline double *
fm_scan_per_scale(const FmScanMatrix *matrix)
{
	return (double *) ((char *) matrix + matrix->per_scale_offset);
}

static inline FmScanTile *
fm_scan_tiles(const FmScanMatrix *matrix)
{
	return (FmScanTile *) ((char *) matrix + matrix->tiles_offset);
}

#endif
