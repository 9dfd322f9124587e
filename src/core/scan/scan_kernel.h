/*
 * What a kernel of the 8-bit screen is: one set of functions for each instruction set.
 *
 * A kernel multiplies the codes of one or several queries with the codes of a block of items, and
 * says which items may reach their query's threshold. It may let too many items pass, but never
 * drops one that reaches the threshold. The rest of the scan is the same for all kernels.
 */
#ifndef FMTOPX_CORE_SCAN_KERNEL_H
#define FMTOPX_CORE_SCAN_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h"
#include "core/scan/scan_screen.h"

/* The input: one query, or `width` of them, against the blocks of one tile. */
typedef struct FmScreen
{
	int num_groups;
	const uint8_t *codes; /* of all items, as the next three */
	const float *scales;
	const double *per_scale;
	const float *biases;
	/* the queries whose codes are in `groups` */
	const FmScreenQuery *loaded[FM_SCREEN_MAX_WIDTH];
	int32_t offset[FM_SCREEN_MAX_WIDTH]; /* of each query */
	float unit[FM_SCREEN_MAX_WIDTH];
	float bias_weight[FM_SCREEN_MAX_WIDTH];
	float error[FM_SCREEN_MAX_WIDTH]; /* for this tile */
	float threshold[FM_SCREEN_MAX_WIDTH];
	/* for this tile, to reach the threshold (fm_screen_needed) */
	double needed[FM_SCREEN_MAX_WIDTH];
	/*
	 * FM_SCAN_GROUP codes of each query, then the next ones of each, and so on: [group × width +
	 * query]
	 */
	int32_t groups[FM_SCAN_MAX_GROUPS * FM_SCREEN_MAX_WIDTH];
} FmScreen;

/* The output for one block, for each query. */
typedef struct FmSurvivors
{
	float upper[FM_SCREEN_MAX_WIDTH][FM_SCAN_LANES] __attribute__((aligned(FM_ALIGNMENT)));
	uint32_t
		/* a bit for each item that passed; padding may be among them */
		lanes[FM_SCREEN_MAX_WIDTH];
} FmSurvivors;

/*
 * Screen blocks [from, to), at most FM_SCAN_TILE_BLOCKS, into as many survivors. Bit i of the
 * result is set if something of block from + i passed. The survivors of other blocks must not be
 * read.
 */
typedef uint32_t (*FmScreenBlocks)(const FmScreen *screen, int32_t from, int32_t to,
								   FmSurvivors *survivors);

/*
 * Rows that are scored side by side, because one sum would wait for the latency of every addition.
 */
#define FM_SCORES_AT_ONCE 8

/*
 * Compute the scores of FM_SCORES_AT_ONCE rows of `length` floats, by the definition of a score
 * (scan.h), whatever the kernel.
 */
typedef void (*FmScoreRows)(const float *const *rows, const float *query, int length,
							double *scores);

typedef struct FmScanKernel
{
	const char *name;
	bool (*runs_here)(void);
	int four_max;  /* this and the next one are for fm_screen_prepare */
	int code_zero; /* 0 if it makes the codes of items signed, otherwise FM_SCAN_CODE_ZERO */
	int width;	   /* queries that `screen_many` takes */
	FmScreenBlocks screen_one;
	FmScreenBlocks screen_many;
	FmScoreRows score_rows;
} FmScanKernel;

/*
 * Define the kernel fm_scan_kernel_<name> from the functions that scan_kernel_body.h made for a
 * name.
 */
#define FM_SCAN_KERNEL(kernel, most_of_four, zero, at_once)                                        \
	const FmScanKernel fm_scan_kernel_##kernel = {                                                 \
		.name = #kernel,                                                                           \
		.runs_here = cpu_has_##kernel,                                                             \
		.four_max = most_of_four,                                                                  \
		.code_zero = zero,                                                                         \
		.width = at_once,                                                                          \
		.screen_one = kernel##_screen_one,                                                         \
		.screen_many = kernel##_screen_many,                                                       \
		.score_rows = kernel##_score_rows,                                                         \
	}

#endif
