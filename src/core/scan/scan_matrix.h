/*
 * A loaded matrix of augmented item vectors: building it, and reading items back.
 *
 * An item's vector is (ψ, bias) with num_factors + 1 entries. What a matrix looks like inside is in
 * core/scan/scan_layout.h, for the files of the scan alone.
 */
#ifndef FMTOPX_CORE_SCAN_MATRIX_H
#define FMTOPX_CORE_SCAN_MATRIX_H

#include <stddef.h>
#include <stdint.h>

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

/* All items as they were set: num_items × (num_factors + 1), row-major. */
extern const float *fm_scan_rows(const FmScanMatrix *matrix);

/* Copy one item's vector (num_factors entries) and bias back out, bit for bit as they were set. */
extern void fm_scan_get(const FmScanMatrix *matrix, int32_t item, float *v, float *bias);

/* One item's vector, num_factors entries, and after it its bias, where they stand. */
extern const float *fm_scan_vector(const FmScanMatrix *matrix, int32_t item);

#endif
