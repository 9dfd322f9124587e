/*
 * Similar items of a matrix.
 */
#ifndef FMTOPX_CORE_SIMILAR_H
#define FMTOPX_CORE_SIMILAR_H

#include "core/host.h"
#include "core/scan/best.h"
#include "core/scan/scan_matrix.h"

/* A part of the vectors of a matrix. */
typedef struct FmFactorRange
{
	int first;
	int count;
} FmFactorRange;

/* The items that may be in a list. */
typedef struct FmEligible
{
	const int32_t *items;	  /* distinct; NULL: all items */
	int32_t count;			  /* of these */
	const uint64_t *excluded; /* a set (core/bitset.h) of others that may not be in it, or NULL */
} FmEligible;

/*
 * Write to hits (room for min(x, num_items)) the x eligible items whose vectors, as far as they are
 * in the range, have the largest cosine with that of an item, best first, ties by index; return how
 * many. The item itself is not among them. A vector of zeros has cosine 0 with every other.
 */
extern int32_t fm_similar(const FmScanMatrix *matrix, FmFactorRange range, int32_t item, int32_t x,
						  FmEligible eligible, const FmHost *host, FmHit *hits);

#endif
