/*
 * Exact top-x by inner product over a matrix of augmented item vectors.
 *
 * An item's vector is (ψ, bias), with num_factors + 1 entries. A query is (φ, 1), or any vector of
 * that length. The score of an item is its inner product with the query in double precision, summed
 * in index order: Σ_f (double) q[f] · (double) a[f].
 *
 * Results are ordered by score, best first, then by ascending item index. They are exactly those of
 * a brute-force scan, whatever kernel is used: the SIMD kernels only screen items, with a rigorous
 * bound on their own rounding error, and the items that pass are scored again by the definition
 * above.
 */
#ifndef FMTOPX_CORE_SCAN_H
#define FMTOPX_CORE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host.h"
#include "core/scan/best.h"
#include "core/scan/scan_matrix.h"

/* Return the exact score of one item. The query has num_factors + 1 entries. */
extern double fm_scan_score(const FmScanMatrix *matrix, const float *query, int32_t item);

/*
 * Write the best x items, best first, to hits (room for min(x, num_items)); return how many.
 * `excluded`, if not NULL, is the set (core/bitset.h) of items that are not eligible.
 */
extern int32_t fm_scan_top_x(const FmScanMatrix *matrix, const float *query, int32_t x,
							 const uint64_t *excluded, const FmHost *host, FmHit *hits);

/*
 * Do the same for a batch: queries (num_queries × (num_factors + 1), row-major), each with its own
 * set of excluded items (excluded, or any of its elements, may be NULL). The hits of query q begin
 * at hits[q × min(x, num_items)]; counts[q] says how many there are.
 *
 * `seeds`, if not NULL, has min(x, num_items) items for each query, or -1 in place of an item. They
 * are guesses of the best items: they never change the hits, but good ones make the scan faster.
 * Scratch memory comes from the host and is released.
 */
extern void fm_scan_batch_top_x(const FmScanMatrix *matrix, const float *queries,
								int32_t num_queries, int32_t x, const uint64_t *const *excluded,
								const int32_t *seeds, const FmHost *host, FmHit *hits,
								int32_t *counts);

/*
 * Find the x items with the largest cosine with each of some items, the item itself not among them,
 * by the definition in core/scan/cosine.h. The matrix is not an ordinary one: it has been finished
 * with directions (vectors of length 1, rounded to float), and after that its rows have been set to
 * the vectors themselves, whose norms are given; biases are 0. `directions` are those of the items
 * asked for, row-major. The rest is as above.
 */
extern void fm_scan_batch_cosines(const FmScanMatrix *matrix, const double *norms,
								  const float *directions, const int32_t *items, int32_t num_items,
								  int32_t x, const int32_t *seeds, const FmHost *host, FmHit *hits,
								  int32_t *counts);

/*
 * Do what fm_scan_top_x does over a list of distinct items only, without reading the rest of the
 * matrix.
 */
extern int32_t fm_scan_list_top_x(const FmScanMatrix *matrix, const float *query, int32_t x,
								  const int32_t *items, int32_t num_list, FmHit *hits);

/*
 * Return whether fm_scan_list_top_x is faster for a list of this length. If not, use fm_scan_top_x
 * with all other items excluded.
 */
extern bool fm_scan_list_pays(const FmScanMatrix *matrix, int32_t num_list);

#endif
