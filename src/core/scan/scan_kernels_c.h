/*
 * The scan kernels for any CPU, in plain C.
 */
#ifndef FMTOPX_CORE_SCAN_KERNELS_C_H
#define FMTOPX_CORE_SCAN_KERNELS_C_H

#include "core/scan/scan_kernel.h"

extern const FmScanKernel fm_scan_kernel_c;

/* An FmScoreRows for any CPU. */
extern void fm_scan_score_rows(const float *const *rows, const float *query, int length,
							   double *scores);

#endif
