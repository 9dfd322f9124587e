/*
 * The order of items in a loaded matrix.
 */
#ifndef FMTOPX_CORE_SCAN_ORDER_H
#define FMTOPX_CORE_SCAN_ORDER_H

#include <stdint.h>

/* An item, as ordering sees it. */
typedef struct FmScanPlace
{
	float bias;
	float norm;
	int32_t item;
} FmScanPlace;

/* Order places so that every FM_SCAN_TILE_ITEMS of them, one tile, have similar bias and norm. */
extern void fm_scan_order(FmScanPlace *places, int32_t count);

#endif
