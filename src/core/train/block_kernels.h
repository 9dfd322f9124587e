/*
 * The hot loops of training, with one implementation for each instruction set, and the choice among
 * them.
 */
#ifndef FMTOPX_CORE_BLOCK_KERNELS_H
#define FMTOPX_CORE_BLOCK_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "core/math/rng.h"
#include "core/train/probit.h"

/* Entities are solved in batches, one in each SIMD lane. */
#define FM_BLOCK_LANES FM_RANDOM_LANES

/* One implementation of the hot loops; block_kernel_body.h says what each function does. */
typedef struct FmBlockKernel
{
	const char *name;
	int tile; /* strides are multiples of this */
	void (*pack)(const float *rows, const int32_t *index, int ahead, const float *value, int count,
				 int stride, int column, double value_mean, double value_scale, float *panel);
	void (*gather)(const float *rows, const int32_t *index, int ahead, int count, int stride,
				   int columns, float *panel);
	void (*accumulate)(const float *panel, int count, int stride, float *gram);
	void (*add_rows)(const float *panel, int count, int stride, const float *coefficient,
					 float *sum);
	float (*multiply_gram)(const float *panel, int count, int stride, const float *x,
						   const float *target, float *sum);
	void (*load)(const float *gram, size_t gram_size, int stride, int dim, const float *precision,
				 const float *prior, const float *prior_factor, const float *prior_linear,
				 float *matrix);
	void (*solve)(int dim, float *matrix, const float *noise, float *mean, float *draw,
				  float *norm2, int32_t *sound);
	FmLatentKernel draw_latent;
	void (*normals)(const FmRandomKey *key, const uint32_t *entity, int dims, float *out);
} FmBlockKernel;

/* Return the kernels that this CPU runs, best first, NULL-ended. */
extern const FmBlockKernel *const *fm_block_kernels(void);

/*
 * Choose the kernel of later trainings: "auto" (the default) for the best, or the name of a scan
 * kernel (core/scan/scan_kernels.h). If no kernel here has that one's instruction set, plain C is
 * used.
 */
extern void fm_block_use_kernel(const char *name);
extern const FmBlockKernel *fm_block_kernel(void);

#endif
