/*
 * The scan kernels for x86-64.
 */
#ifndef FMTOPX_CORE_SCAN_KERNELS_X86_H
#define FMTOPX_CORE_SCAN_KERNELS_X86_H

#include "core/scan/scan_kernel.h"

#if defined(__x86_64__)
extern const FmScanKernel fm_scan_kernel_avx512vnni;
extern const FmScanKernel fm_scan_kernel_avx512;
extern const FmScanKernel fm_scan_kernel_avx2;
#endif

#endif
