/*
 * Some items of a matrix, prepared to find the similar items of all of them.
 */
#ifndef FMTOPX_CORE_SCAN_DIRECTIONS_H
#define FMTOPX_CORE_SCAN_DIRECTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "core/host.h"
#include "core/scan/similar.h"

/* Flat and position-independent, as FmScanMatrix is. Items have numbers here, from 0, in order. */
typedef struct FmDirections FmDirections;

/* Return the bytes that fm_directions_init needs; 0 if they do not fit a size_t. */
extern size_t fm_directions_size(int32_t num_items, int num_factors);

/*
 * Prepare memory of that size, aligned to FM_ALIGNMENT, with the factors in the range of these
 * items of a matrix, in ascending order; NULL stands for all items. Scratch memory comes from the
 * host and is released.
 */
extern FmDirections *fm_directions_init(void *memory, const FmScanMatrix *matrix,
										FmFactorRange range, const int32_t *items,
										int32_t num_items, const FmHost *host);

/*
 * For the items with these numbers find what fm_similar finds among all that have numbers. If
 * these are n, the hits of number q begin at hits[q × min(x, n)]; counts[q] says how many there
 * are.
 *
 * `seeds`, if not NULL, has min(x, n) items for each number, or -1 in place of an item: guesses
 * that make it faster. Scratch memory comes from the host and is released.
 */
extern void fm_similar_batch(const FmDirections *directions, const int32_t *numbers, int32_t count,
							 int32_t x, const int32_t *seeds, const FmHost *host, FmHit *hits,
							 int32_t *counts);

#endif
