/*
 * The block kernels for each instruction set, and the choice among those that this CPU runs.
 *
 * The build carries no -march flag: each kernel is compiled for its own target by a function
 * attribute, and chosen once, at run time. All kernels give the same results up to rounding in
 * single precision. On one CPU the choice is always the same, so results are reproducible there to
 * the bit.
 *
 * Owns the process-wide choice of kernel and nothing else; allocates nothing.
 */
#include "core/train/block_kernels.h"

#include <string.h>

#include "core/layout.h"
#include "core/math/rng_lanes.h"

#define FM_PACKED_ROW(i) ((size_t) (i) * ((size_t) (i) + 1) / 2 * FM_BLOCK_LANES)

/* A pivot that loses more than this to cancellation is left to double precision. */
#define FM_PIVOT_TOLERANCE 2e-6f

/* For probit_kernel_body.h: no p is less, so that 1 - p differs from 1. */
#define FM_PROBIT_P_MIN 1e-9f
#define FM_PROBIT_DENSITY_0 0.398942280401433f /* 1 / √2π */

#define VEC(pointer) (*(Vec *) (pointer))
#define CONST_VEC(pointer) (*(const Vec *) (pointer))

/* Pick elements by number from two vectors, one after the other. */
#if defined(__clang__) || __GNUC__ >= 12
#define FM_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FM_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (IntVec){__VA_ARGS__})
#endif

#if defined(__x86_64__)

#define KERNEL(name) avx512_##name
#define KERNEL_NAME "avx512"
#define KERNEL_TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")))
#define KERNEL_WIDTH 16
#define KERNEL_TILE 8
#define KERNEL_NARROW 8
#define KERNEL_EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define KERNEL_ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#include "core/train/block_kernel_body.h"

#define KERNEL(name) avx2_##name
#define KERNEL_NAME "avx2"
#define KERNEL_TARGET __attribute__((target("avx2,fma")))
#define KERNEL_WIDTH 8
#define KERNEL_TILE 8
#define KERNEL_NARROW 8
#define KERNEL_EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define KERNEL_ODD 1, 3, 5, 7, 9, 11, 13, 15
#include "core/train/block_kernel_body.h"

#endif

/* Four lanes: SSE2 (x86-64) and NEON (AArch64), which every CPU of theirs has. */
#define KERNEL(name) base_##name
#define KERNEL_NAME "c"
#define KERNEL_TARGET
#define KERNEL_WIDTH 4
#define KERNEL_TILE 8
#define KERNEL_NARROW 4
#define KERNEL_EVEN 0, 2, 4, 6
#define KERNEL_ODD 1, 3, 5, 7
#include "core/train/block_kernel_body.h"

const FmBlockKernel *const *
fm_block_kernels(void)
{
	static const FmBlockKernel *usable[4];
	int count = 0;

#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
		__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
		usable[count++] = &avx512_kernel;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		usable[count++] = &avx2_kernel;
#endif
	usable[count] = &base_kernel;
	return usable;
}

static const FmBlockKernel *kernel_in_use = NULL;

void
fm_block_use_kernel(const char *name)
{
	const FmBlockKernel *const *kernel = fm_block_kernels();

	/* plain C, the last one, takes all other names */
	while (strcmp(name, "auto") != 0 && kernel[1] != NULL &&
		   strncmp(name, kernel[0]->name, strlen(kernel[0]->name)) != 0)
		kernel++;
	kernel_in_use = kernel[0];
}

const FmBlockKernel *
fm_block_kernel(void)
{
	if (kernel_in_use == NULL)
		fm_block_use_kernel("auto");
	return kernel_in_use;
}
