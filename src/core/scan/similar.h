/*
 * Similar items of a matrix.
 */
#ifndef FMTOPX_CORE_SIMILAR_H
#define FMTOPX_CORE_SIMILAR_H

#include "core/host.h"
#include "core/scan/best.h"
#include "core/scan/scan_matrix.h"

/*
 * Write to hits (room for min(x, num_items)) the x items whose vectors (without the biases) have
 * the largest cosine with the vector of an item, best first, ties by index; return how many. The
 * item itself is not among them. A vector of zeros has cosine 0 with every other.
 */
extern int32_t fm_similar(const FmScanMatrix *matrix, int32_t item, int32_t x, const FmHost *host,
						  FmHit *hits);

#endif
