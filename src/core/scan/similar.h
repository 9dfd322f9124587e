/*
 * Which items of a matrix are alike.
 */
#ifndef FMTOPX_CORE_SIMILAR_H
#define FMTOPX_CORE_SIMILAR_H

#include "core/host.h"
#include "core/scan/best.h"
#include "core/scan/scan_matrix.h"

/*
 * The x items whose vectors (without the biases) have the largest cosine with that of an item, which is not
 * among them, best first, ties by index, into hits (room for min(x, num_items)); returns how many. A vector of
 * zeros has cosine 0 with everything.
 */
extern int32_t fm_similar(const FmScanMatrix *matrix, int32_t item, int32_t x, const FmHost *host,
						  FmHit *hits);

#endif
