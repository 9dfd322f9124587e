/*
 * The kernels of the 8-bit screen that this CPU runs, and the one in use.
 */
#ifndef FMTOPX_CORE_SCAN_KERNELS_H
#define FMTOPX_CORE_SCAN_KERNELS_H

#include <stdbool.h>

#include "core/scan/scan_kernel.h"

/* Return the kernel in use: the best one until another is chosen. */
extern const FmScanKernel *fm_scan_kernel(void);

/*
 * Return the names of the kernels that this CPU runs, best first, NULL-ended: of "avx512vnni",
 * "avx512", "avx2", "neondot", "neon" and "c".
 */
extern const char *const *fm_scan_kernel_names(void);

/* Use the kernel of a name, or the best one for "auto"; return false if this CPU cannot run it. */
extern bool fm_scan_use_kernel(const char *name);

extern const char *fm_scan_kernel_in_use(void);

#endif
