/*
 * The scan kernels for AArch64.
 */
#ifndef FMTOPX_CORE_SCAN_KERNELS_ARM_H
#define FMTOPX_CORE_SCAN_KERNELS_ARM_H

#include "core/scan/scan_kernel.h"

#if defined(__aarch64__)
/* clang before 16 declares the instruction only if the whole file is compiled for it. */
#if defined(__linux__) && (!defined(__clang__) || __clang_major__ >= 16)
#define FM_SCAN_HAVE_NEONDOT
extern const FmScanKernel fm_scan_kernel_neondot;
#endif
extern const FmScanKernel fm_scan_kernel_neon;
#endif

#endif
