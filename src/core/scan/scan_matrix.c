/*
 * Building a loaded matrix, and reading items back: the phase before any scan.
 *
 * Setting an item copies its floats. Finishing measures all items, orders them, codes them in
 * blocks and summarises the tiles; its scratch memory is the place of the codes before they are
 * written. The memory is the caller's; nothing is allocated here. A finished matrix is only read,
 * by any number of processes at once.
 */
#include "core/scan/scan_matrix.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/layout.h"
#include "core/math/rounding.h"
#include "core/scan/scan_layout.h"
#include "core/scan/scan_order.h"

#define LANES FM_SCAN_LANES

/* Fill in the header; return the size of the whole, 0 if it does not fit a size_t. */
static size_t
lay_out(FmScanMatrix *matrix, int32_t num_items, int num_factors)
{
	FmLayout layout = {0};
	size_t blocks = ((size_t) num_items + LANES - 1) / LANES;
	size_t tiles = (blocks + FM_SCAN_TILE_BLOCKS - 1) / FM_SCAN_TILE_BLOCKS;
	size_t pairs = ((size_t) num_factors + 2 * FM_SCAN_GROUP - 1) / (2 * FM_SCAN_GROUP);
	size_t groups = 2 * pairs;
	size_t code_bytes = groups * FM_SCAN_GROUP_BYTES;

	if (code_bytes < LANES * sizeof(FmScanPlace))
		code_bytes = LANES * sizeof(FmScanPlace); /* scratch memory of finishing */
	matrix->num_items = num_items;
	matrix->num_factors = num_factors;
	matrix->num_blocks = (int32_t) blocks;
	matrix->num_tiles = (int32_t) tiles;
	matrix->num_groups = (int32_t) groups;
	(void) fm_layout_add(&layout, 1, sizeof(FmScanMatrix));
	matrix->rows_offset = fm_layout_add(&layout, num_items,
										((size_t) num_factors + 1) * sizeof(float));
	matrix->codes_offset = fm_layout_add(&layout, blocks, code_bytes);
	matrix->biases_offset = fm_layout_add(&layout, blocks, LANES * sizeof(float));
	matrix->items_offset = fm_layout_add(&layout, blocks, LANES * sizeof(int32_t));
	matrix->scales_offset = fm_layout_add(&layout, blocks, sizeof(float));
	matrix->per_scale_offset = fm_layout_add(&layout, tiles, FM_SCAN_TILE_BLOCKS * sizeof(double));
	matrix->tiles_offset = fm_layout_add(&layout, tiles, sizeof(FmScanTile));
	return layout.overflows ? 0 : layout.bytes;
}

size_t
fm_scan_matrix_size(int32_t num_items, int num_factors)
{
	FmScanMatrix header;

	if (num_items < 0 || num_factors < 0 || num_factors > FM_SCAN_MAX_FACTORS)
		return 0;
	return lay_out(&header, num_items, num_factors);
}

FmScanMatrix *
fm_scan_matrix_init(void *memory, int32_t num_items, int num_factors)
{
	FmScanMatrix *matrix = memory;

	lay_out(matrix, num_items, num_factors);
	return matrix;
}

void
fm_scan_matrix_set(FmScanMatrix *matrix, int32_t item, const float *v, float bias)
{
	float *row = fm_scan_row(matrix, item);

	memcpy(row, v, matrix->num_factors * sizeof(float));
	row[matrix->num_factors] = bias;
}

/* Four sums, because one would wait for the latency of every addition. */
static double
norm_of(const float *v, int count)
{
	double squares[4] = {0};
	int f = 0;

	for (; f + 4 <= count; f += 4)
		for (int i = 0; i < 4; i++)
			squares[i] += (double) v[f + i] * (double) v[f + i];
	for (; f < count; f++)
		squares[0] += (double) v[f] * (double) v[f];
	return sqrt(squares[0] + squares[1] + squares[2] + squares[3]);
}

static void
measure_items(const FmScanMatrix *matrix, FmScanPlace *places)
{
	for (int32_t item = 0; item < matrix->num_items; item++)
	{
		const float *row = fm_scan_row(matrix, item);

		places[item].bias = row[matrix->num_factors];
		places[item].norm = fm_round_up(norm_of(row, matrix->num_factors));
		places[item].item = item;
	}
}

/* Copy what the places hold to where it stays, before the codes overwrite the places. */
static void
settle_places(FmScanMatrix *matrix, const FmScanPlace *places)
{
	float *biases = fm_scan_biases(matrix);
	int32_t *items = fm_scan_items(matrix);
	FmScanTile *tiles = fm_scan_tiles(matrix);

	for (int32_t t = 0; t < matrix->num_tiles; t++)
		tiles[t] = (FmScanTile){0, 0, INFINITY, -INFINITY};
	for (int32_t p = 0; p < matrix->num_items; p++)
	{
		FmScanTile *tile = &tiles[p / FM_SCAN_TILE_ITEMS];

		biases[p] = places[p].bias;
		items[p] = places[p].item;
		tile->norm = fmaxf(tile->norm, places[p].norm);
		tile->bias_min = fminf(tile->bias_min, places[p].bias);
		tile->bias_max = fmaxf(tile->bias_max, places[p].bias);
	}
	for (size_t p = matrix->num_items; p < (size_t) matrix->num_blocks * LANES; p++)
	{
		biases[p] = 0;
		items[p] = -1;
	}
}

static float
largest_magnitude(const float *v, int count)
{
	float largest = 0;

	for (int f = 0; f < count; f++)
		largest = fabsf(v[f]) > largest ? fabsf(v[f]) : largest;
	return largest;
}

/*
 * Code a vector of `padded` entries in units of `scale`; return ‖r‖. Whatever the rounding makes of
 * an entry, r is computed from the code that was stored.
 */
static double
encode(const float *v, int padded, float scale, uint8_t *codes)
{
	float per_unit = scale > 0 ? 1 / scale : 0;
	double squares[4] = {0};

	for (int f = 0; f < padded; f += 4)
		for (int i = 0; i < 4; i++)
		{
			double rest;

			codes[f + i] = (uint8_t) (fm_nearest_integer(v[f + i] * per_unit) + FM_SCAN_CODE_ZERO);
			rest = (double) v[f + i] - (double) scale * (double) (codes[f + i] - FM_SCAN_CODE_ZERO);
			squares[i] += rest * rest;
		}
	return sqrt(squares[0] + squares[1] + squares[2] + squares[3]);
}

/* Code one block; return a bound of ‖r‖ for its items. */
static float
encode_block(FmScanMatrix *matrix, int32_t block)
{
	const int32_t *items = fm_scan_items(matrix) + (size_t) block * LANES;
	const int num_factors = matrix->num_factors;
	const int padded = matrix->num_groups * FM_SCAN_GROUP;
	uint8_t *out = fm_scan_codes(matrix) +
				   (size_t) block * matrix->num_groups * FM_SCAN_GROUP_BYTES;
	float largest = 0;
	double rest = 0;
	float scale;

	for (int lane = 0; lane < LANES && items[lane] >= 0; lane++)
		largest = fmaxf(largest, largest_magnitude(fm_scan_row(matrix, items[lane]), num_factors));
	scale = largest / FM_SCAN_CODE_MAX;
	if (scale < FLT_MIN)
		/* a denormal scale might be read as zero later, and then all is rest anyway */
		scale = 0;
	fm_scan_scales(matrix)[block] = scale;
	fm_scan_per_scale(matrix)[block] = scale > 0 ? 1 / (double) scale : 0;
	for (int lane = 0; lane < LANES; lane++)
	{
		float v[FM_SCAN_MAX_FACTORS] = {0};
		uint8_t codes[FM_SCAN_MAX_FACTORS];

		if (items[lane] >= 0)
			memcpy(v, fm_scan_row(matrix, items[lane]), num_factors * sizeof(float));
		rest = fmax(rest, encode(v, padded, scale, codes));
		for (int group = 0; group < matrix->num_groups; group++)
			memcpy(out + (group * LANES + lane) * FM_SCAN_GROUP, codes + group * FM_SCAN_GROUP,
				   FM_SCAN_GROUP);
	}
	return fm_round_up(rest);
}

void
fm_scan_matrix_finish(FmScanMatrix *matrix)
{
	FmScanPlace *places = (FmScanPlace *) fm_scan_codes(matrix);
	FmScanTile *tiles = fm_scan_tiles(matrix);

	measure_items(matrix, places);
	fm_scan_order(places, matrix->num_items);
	settle_places(matrix, places);
	for (int32_t block = 0; block < matrix->num_blocks; block++)
	{
		FmScanTile *tile = &tiles[block / FM_SCAN_TILE_BLOCKS];

		tile->rest = fmaxf(tile->rest, encode_block(matrix, block));
	}
	for (int32_t block = matrix->num_blocks; block % FM_SCAN_TILE_BLOCKS != 0; block++)
		fm_scan_per_scale(matrix)[block] = 0;
}

int32_t
fm_scan_matrix_items(const FmScanMatrix *matrix)
{
	return matrix->num_items;
}

int
fm_scan_matrix_factors(const FmScanMatrix *matrix)
{
	return matrix->num_factors;
}

const float *
fm_scan_vector(const FmScanMatrix *matrix, int32_t item)
{
	return fm_scan_row(matrix, item);
}

const float *
fm_scan_rows(const FmScanMatrix *matrix)
{
	return fm_scan_row(matrix, 0);
}

void
fm_scan_get(const FmScanMatrix *matrix, int32_t item, float *v, float *bias)
{
	const float *row = fm_scan_row(matrix, item);

	memcpy(v, row, matrix->num_factors * sizeof(float));
	*bias = row[matrix->num_factors];
}
