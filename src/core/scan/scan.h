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
#include <stddef.h>
#include <stdint.h>

#include "core/host.h"

typedef struct FmHit
{
	int32_t item; /* index */
	double score;
} FmHit;

/* The most factors of a matrix. Sums of their products in 8 bits fit 32 bits. */
#define FM_SCAN_MAX_FACTORS 1024

/* A loaded matrix: flat and position-independent (offsets, no pointers), so it may stand in shared memory. */
typedef struct FmScanMatrix FmScanMatrix;

/*
 * Bytes that fm_scan_matrix_init needs, some 1.3 times those of the floats; 0 when they do not fit a
 * size_t or the factors are too many. num_items may be 0.
 */
extern size_t fm_scan_matrix_size(int32_t num_items, int num_factors);

/* Prepare 64-byte aligned memory of that size. Then set every item once, in any order, then finish. */
extern FmScanMatrix *fm_scan_matrix_init(void *memory, int32_t num_items, int num_factors);
extern void fm_scan_matrix_set(FmScanMatrix *matrix, int32_t item, const float *v, float bias);
extern void fm_scan_matrix_finish(FmScanMatrix *matrix);

extern int32_t fm_scan_matrix_items(const FmScanMatrix *matrix);
extern int fm_scan_matrix_factors(const FmScanMatrix *matrix);

/* The exact score of one item. query has num_factors + 1 entries. */
extern double fm_scan_score(const FmScanMatrix *matrix, const float *query, int32_t item);

/* All items as they were set: num_items × (num_factors + 1), row-major. */
extern const float *fm_scan_rows(const FmScanMatrix *matrix);

/* Copy one item's vector (num_factors entries) and bias back out, bit for bit as they were set. */
extern void fm_scan_get(const FmScanMatrix *matrix, int32_t item, float *v, float *bias);

/* One item's vector, num_factors entries, and after it its bias, where they stand. */
extern const float *fm_scan_vector(const FmScanMatrix *matrix, int32_t item);

/*
 * The best x items, best first, into hits (room for min(x, num_items)); returns how many. `excluded`,
 * when not NULL, has one bit per item (bit i & 63 of word i / 64): set means not eligible.
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

/* Kernels by name: "avx512vnni", "avx512", "avx2", "neondot", "neon", "c". */
extern const char *const *
fm_scan_kernel_names(void);						  /* those this CPU runs, best first, NULL-ended */
extern bool fm_scan_use_kernel(const char *name); /* "auto" or a name; false: not on this CPU */
extern const char *fm_scan_kernel_in_use(void);

#endif
