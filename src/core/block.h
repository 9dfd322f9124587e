/*
 * The block update that all solvers share: one entity's θ = (v, w) given the other side.
 *
 * A side's entities are kept as rows (v_0 .. v_{k-1}, 1, -w, 0 ...) of `stride` floats. Seen from
 * the other side, the first k + 1 numbers are the row z of the linear model, and the next is what
 * the entity takes off the target; one gather fetches all of it.
 */
#ifndef FMTOPX_CORE_BLOCK_H
#define FMTOPX_CORE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/host.h"
#include "core/rng.h"

/* Entities are solved in batches, one to a SIMD lane. */
#define FM_BLOCK_LANES FM_RANDOM_LANES

/* One implementation of the hot loops; block.c says what each must do. */
typedef struct FmBlockKernel
{
	const char *name;
	int tile; /* strides are multiples of it */
	void (*pack)(const float *rows, const int32_t *index, const float *value, int count, int stride,
				 int column, double value_mean, double value_scale, float *panel);
	void (*accumulate)(const float *panel, int count, int stride, float *gram);
	void (*load)(const float *gram, size_t gram_size, int stride, int dim, float factor,
				 const float *prior, const float *prior_linear, const float *prior_factor,
				 float *matrix);
	void (*solve)(int dim, float *matrix, const float *noise, float *mean, float *draw,
				  float *norm2, int32_t *sound);
} FmBlockKernel;

/* The kernels this CPU runs, best first, NULL-ended. */
extern const FmBlockKernel *const *fm_block_kernels(void);

/* One side's ratings. */
typedef struct FmSide
{
	int32_t count;
	const int64_t *start; /* count + 1 */
	const int32_t *other; /* index on the other side */
	const float *value;
} FmSide;

/* What a half-step reads and writes. Everything but the outputs is shared by all workers. */
typedef struct FmHalfStep
{
	const FmHost *host;
	const FmBlockKernel *kernel;
	int rank;
	const FmSide *side;
	double value_mean; /* targets are (value - value_mean) * value_scale */
	double value_scale;
	const float *other_rows;
	double noise_precision;
	const float *prior_precision; /* rank + 1: of v, then of w */
	const float *prior_mean;      /* rank + 1 */
	bool prior_per_rating;        /* multiply the prior precision by the number of ratings */
	const FmRandomKey *noise;     /* NULL: no noise, draw and mean are the same */

	float *draw_rows; /* out when not NULL: a draw from the conditional */
	float *mean_rows; /* out when not NULL: its mean */
	double *error;    /* out: the sum of squared residuals after the update, by entity */
} FmHalfStep;

/* One worker's memory for half-steps of a given rank. */
typedef struct FmBlockWork FmBlockWork;

extern int fm_block_stride(const FmBlockKernel *kernel, int rank);
extern FmBlockWork *fm_block_work(const FmHost *host, const FmBlockKernel *kernel, int rank);
extern void fm_block_work_release(const FmHost *host, FmBlockWork *work);

/*
 * Update the entities [begin, end). The output of an entity depends only on the step, not on how
 * the range was cut. Entities without ratings are left alone, their error 0.
 */
extern void fm_block_half_step(const FmHalfStep *step, FmBlockWork *work, int32_t begin,
							   int32_t end);

#endif
