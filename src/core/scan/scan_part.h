/*
 * A part of a matrix: some of its items, as a matrix of their own.
 */
#ifndef FMTOPX_CORE_SCAN_PART_H
#define FMTOPX_CORE_SCAN_PART_H

#include <stddef.h>
#include <stdint.h>

#include "core/scan/scan_matrix.h"

/* Flat and position-independent, as a matrix is. */
typedef struct FmScanPart FmScanPart;

/* Return the bytes that fm_scan_part_init needs; 0 if they do not fit a size_t. */
extern size_t fm_scan_part_size(const FmScanMatrix *whole, int32_t count);

/* Copy `count` items, in ascending order, to memory of that size, aligned to FM_ALIGNMENT. */
extern FmScanPart *fm_scan_part_init(void *memory, const FmScanMatrix *whole, const int32_t *items,
									 int32_t count);

/*
 * Return the matrix of the part. Its item p has the same scores as item fm_scan_part_items()[p] of
 * the whole, and comes in the same order among equal ones.
 */
extern const FmScanMatrix *fm_scan_part_matrix(const FmScanPart *part);
extern const int32_t *fm_scan_part_items(const FmScanPart *part);

/* Return where an item of the whole is in the part, or -1. */
extern int32_t fm_scan_part_find(const FmScanPart *part, int32_t item);

#endif
