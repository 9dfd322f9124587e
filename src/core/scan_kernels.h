/*
 * The screens of the scan: given one query, walk blocks of items and stop at the first block that
 * may hold a hit.
 *
 * A screen may let an item through that is no hit, and never the other way round; scan.c rescores
 * what comes through by the one definition of a score. So this file is the whole of what another
 * screen (in 8 bits, say) has to replace: FmScreen with fm_screen_prepare, and the kernels behind
 * FmScreenKernel.
 *
 * Nothing here allocates.
 */
#ifndef FMTOPX_CORE_SCAN_KERNELS_H
#define FMTOPX_CORE_SCAN_KERNELS_H

#include <stdint.h>

/* Items per block: one 512-bit register of floats, one entry each, so sums stay in their lane. */
#define FM_SCAN_LANES 16

/*
 * One query against one matrix. An item of norm ‖a‖ is let through unless
 *
 *     float sum + (norm_factor · ‖a‖ + absolute) ≤ threshold   and   ‖a‖ ≤ norm_limit
 */
typedef struct FmScreen
{
	const float *query;	  /* length entries */
	const float *vectors; /* blocks of length × FM_SCAN_LANES, 64-byte aligned */
	const float *norms;	  /* one per item, rounded up */
	int length;
	float norm_factor;
	float absolute;
	float norm_limit; /* above it the float sum might overflow */
	float threshold;  /* only scores above it are wanted */
} FmScreen;

/*
 * The first block in [from, to) with items to rescore, and which (bit per lane); `to` when there is
 * none. Lanes past the last item are the caller's to mask.
 */
typedef int32_t (*FmScreenKernel)(const FmScreen *screen, int32_t from, int32_t to,
								  uint32_t *survivors);

extern void fm_screen_prepare(FmScreen *screen, const float *query, const float *vectors,
							  const float *norms, int length);
extern void fm_screen_set_threshold(FmScreen *screen, double threshold);
extern FmScreenKernel fm_screen_kernel(void);

/* A float certain to be at or above a value ≥ 0 that is itself rounded to double. */
extern float fm_round_up(double value);

#endif
