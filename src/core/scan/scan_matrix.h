/*
 * A loaded matrix of augmented item vectors: building it, and reading items back.
 *
 * An item's vector is (ψ, bias), with num_factors + 1 entries. The layout of a matrix is in
 * core/scan/scan_layout.h, for the files of the scan alone.
 */
#ifndef FMTOPX_CORE_SCAN_MATRIX_H
#define FMTOPX_CORE_SCAN_MATRIX_H

#include <stddef.h>
#include <stdint.h>

/*
 * The most factors of a matrix; a multiple of the 8 that codes are padded to. Sums of products of
 * 8-bit codes then fit 32 bits.
 */
#define FM_SCAN_MAX_FACTORS 2056

/*
 * A loaded matrix. It is flat and position-independent (offsets, no pointers), so it may be in
 * shared memory.
 */
typedef struct FmScanMatrix FmScanMatrix;

/*
 * Return the bytes that fm_scan_matrix_init needs, some 1.3 times those of the floats; 0 if they do
 * not fit a size_t or there are too many factors. num_items may be 0.
 */
extern size_t fm_scan_matrix_size(int32_t num_items, int num_factors);

/*
 * Prepare memory of that size, aligned to FM_ALIGNMENT. Then set every item once, in any order, and
 * finish.
 */
extern FmScanMatrix *fm_scan_matrix_init(void *memory, int32_t num_items, int num_factors);
extern void fm_scan_matrix_set(FmScanMatrix *matrix, int32_t item, const float *v, float bias);
extern void fm_scan_matrix_finish(FmScanMatrix *matrix);

extern int32_t fm_scan_matrix_items(const FmScanMatrix *matrix);
extern int fm_scan_matrix_factors(const FmScanMatrix *matrix);

/* Return all items as they were set: num_items × (num_factors + 1), row-major. */
extern const float *fm_scan_rows(const FmScanMatrix *matrix);

/* Copy one item's vector (num_factors entries) and bias, bit for bit as they were set. */
extern void fm_scan_get(const FmScanMatrix *matrix, int32_t item, float *v, float *bias);

/* Return a pointer to one item's vector, num_factors entries followed by its bias. */
extern const float *fm_scan_vector(const FmScanMatrix *matrix, int32_t item);

#endif
