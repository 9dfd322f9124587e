/*
 * The table of the scan kernels, and the choice among them.
 *
 * Owns the process-wide choice of kernel and nothing else; allocates nothing. What the results of a
 * kernel mean, and how they may be rounded, is in scan_screen.c.
 *
 * The codes of items are bytes from 0 to 255, those of a query are signed. Instruction sets differ
 * in how they multiply these: see four_max.
 *
 * Exact scores come from the kernels, too, for several rows side by side. The product of two floats
 * is exact in a double, so it makes no difference whether an instruction set fuses it with the
 * addition, and each row is summed in the same order.
 */
#include "core/scan/scan_kernels.h"

#include <stddef.h>
#include <string.h>

#include "core/scan/scan_kernels_arm.h"
#include "core/scan/scan_kernels_c.h"
#include "core/scan/scan_kernels_x86.h"

/* Best first. */
static const FmScanKernel *const kernels[] = {
#if defined(__x86_64__)
	&fm_scan_kernel_avx512vnni,
	&fm_scan_kernel_avx512,
	&fm_scan_kernel_avx2,
#elif defined(__aarch64__)
#ifdef FM_SCAN_HAVE_NEONDOT
	&fm_scan_kernel_neondot,
#endif
	&fm_scan_kernel_neon,
#endif
	&fm_scan_kernel_c,
};

#define NUM_KERNELS (sizeof(kernels) / sizeof(kernels[0]))

/* NULL until the first use or choice. */
static const FmScanKernel *kernel_in_use = NULL;

static const FmScanKernel *
best_kernel(void)
{
	const FmScanKernel *const *kernel = kernels;

	while (!(*kernel)->runs_here())
		kernel++; /* the last one always does */
	return *kernel;
}

const FmScanKernel *
fm_scan_kernel(void)
{
	if (kernel_in_use == NULL)
		kernel_in_use = best_kernel();
	return kernel_in_use;
}

const char *const *
fm_scan_kernel_names(void)
{
	static const char *names[NUM_KERNELS + 1];
	size_t count = 0;

	for (size_t i = 0; i < NUM_KERNELS; i++)
		if (kernels[i]->runs_here())
			names[count++] = kernels[i]->name;
	names[count] = NULL;
	return names;
}

bool
fm_scan_use_kernel(const char *name)
{
	if (strcmp(name, "auto") == 0)
	{
		kernel_in_use = best_kernel();
		return true;
	}
	for (size_t i = 0; i < NUM_KERNELS; i++)
		if (strcmp(name, kernels[i]->name) == 0 && kernels[i]->runs_here())
		{
			kernel_in_use = kernels[i];
			return true;
		}
	return false;
}

const char *
fm_scan_kernel_in_use(void)
{
	return fm_scan_kernel()->name;
}
