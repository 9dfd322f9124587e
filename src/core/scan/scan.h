/*
 * Exact top-x by inner product over a matrix of augmented item vectors.
 *
 * An item's vector is (ψ, bias) with num_factors + 1 entries; a query is (φ, 1), or any vector of
 * that length. The score of an item is its inner product with the query in double precision, summed
 * in index order: Σ_f (double) q[f] · (double) a[f]. Results are ordered by score, best first, then by
 * ascending item index, and are exactly those of a brute-force scan whatever kernel is used: the SIMD
 * kernels only screen, with a rigorous bound on their own rounding error, and what survives is rescored
 * by the one definition above.
 */
#ifndef FMTOPX_CORE_SCAN_H
#define FMTOPX_CORE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host.h"
#include "core/scan/best.h"
#include "core/scan/scan_matrix.h"

/* The exact score of one item. query has num_factors + 1 entries. */
extern double fm_scan_score(const FmScanMatrix *matrix, const float *query, int32_t item);

/*
 * The best x items, best first, into hits (room for min(x, num_items)); returns how many. `excluded`,
 * when not NULL, is a set (core/bitset.h) of the items that are not eligible.
 */
extern int32_t fm_scan_top_x(const FmScanMatrix *matrix, const float *query, int32_t x,
							 const uint64_t *excluded, const FmHost *host, FmHit *hits);

/*
 * The same for a batch: queries (num_queries × (num_factors + 1), row-major), each with its own set of
 * excluded items (excluded, or any of its elements, may be NULL). The hits of query q begin at
 * hits[q × min(x, num_items)]; counts[q] says how many they are. `seeds`, when not NULL, has as many
 * items for each query, or -1: guesses that make no difference to the hits, but to the time if they
 * are good. Scratch comes from the host and is released.
 */
extern void fm_scan_batch_top_x(const FmScanMatrix *matrix, const float *queries,
								int32_t num_queries, int32_t x, const uint64_t *const *excluded,
								const int32_t *seeds, const FmHost *host, FmHit *hits,
								int32_t *counts);

/* The same over a list of distinct items only, without touching the rest of the matrix. */
extern int32_t fm_scan_list_top_x(const FmScanMatrix *matrix, const float *query, int32_t x,
								  const int32_t *items, int32_t num_list, FmHit *hits);

/*
 * Whether a list of so many items is better asked by fm_scan_list_top_x; otherwise by fm_scan_top_x
 * with all other items excluded.
 */
extern bool fm_scan_list_pays(const FmScanMatrix *matrix, int32_t num_list);

#endif
