/*
 * Some items of a matrix, prepared to find the similar items of all of them.
 */
#ifndef FMTOPX_CORE_SCAN_DIRECTIONS_H
#define FMTOPX_CORE_SCAN_DIRECTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "core/host.h"
#include "core/scan/similar.h"

/* Flat and position-independent, as FmScanMatrix is. Items have numbers here, from 0. */
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

/* Return how many items there are; the item with a number; the number of an item, or -1. */
extern int32_t fm_directions_count(const FmDirections *directions);
extern int32_t fm_directions_item(const FmDirections *directions, int32_t number);
extern int32_t fm_directions_number(const FmDirections *directions, int32_t item);

/*
 * For each of some numbers find what fm_similar finds among these items. The hits of number q begin
 * at hits[q × min(x, count)]; counts[q] says how many there are.
 *
 * `seeds`, if not NULL, has min(x, count) items for each number, or -1 in place of an item: guesses
 * that make it faster. Scratch memory comes from the host and is released.
 */
extern void fm_similar_batch(const FmDirections *directions, const int32_t *numbers, int32_t count,
							 int32_t x, const int32_t *seeds, const FmHost *host, FmHit *hits,
							 int32_t *counts);

#endif
