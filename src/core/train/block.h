/*
 * The block update that all solvers share: one entity's θ = (v, w) given the other side.
 *
 * A side's entities are kept as rows s · (v_0 .. v_{k-1}, 1, -w, 0 ...) of `stride` floats. Seen
 * from the other side, the first k + 1 numbers are the row z of the linear model, and the next is
 * what the entity takes off the target; one gather fetches all of it. The scale s is the square
 * root of the entity's weight in the other side's sums, 1 unless the solver says otherwise.
 */
#ifndef FMTOPX_CORE_BLOCK_H
#define FMTOPX_CORE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/host.h"
#include "core/math/rng.h"
#include "core/train/block_kernels.h"
#include "core/train/probit.h"

/* What a member of a team takes at a time: whole batches. */
#define FM_BLOCK_CHUNK (2 * FM_BLOCK_LANES)

/* One side's ratings. */
typedef struct FmSide
{
	int32_t count;
	const int64_t *start; /* count + 1 */
	const int32_t *other; /* index on the other side */
	const float *value;
	const float *weight; /* of a rating in all sums, or NULL: 1 */
} FmSide;

/* Whether an entity has ratings. */
static inline bool
fm_side_is_rated(const FmSide *side, int32_t entity)
{
	return side->start[entity] < side->start[entity + 1];
}

/* The total weight of an entity's ratings: their number, where they have none. */
static inline double
fm_side_weight(const FmSide *side, int32_t entity)
{
	double sum = 0;

	if (side->weight == NULL)
		return (double) (side->start[entity + 1] - side->start[entity]);
	for (int64_t r = side->start[entity]; r < side->start[entity + 1]; r++)
		sum += side->weight[r];
	return sum;
}

/*
 * What the score of a rating has besides the two entities: the products of the other side's v with those of
 * something else, and its w. What that is, `index` says by rating in the order of the side, or it is
 * the entity itself.
 */
typedef struct FmBlockTerm
{
	const float *rows;	  /* s · (v, 1, -w), as a side's */
	const int32_t *index; /* NULL: the entity's own number */
	float sign;			  /* 1, or -1 where another term has counted it already */
	bool joins;			  /* it goes with the other side: its products are with the entity's v */
	bool weighs;		  /* s, the root of a weight, counts in the sums; else s is 1 */
} FmBlockTerm;

#define FM_BLOCK_TERMS 3

/* What a half-step reads and writes. Everything but the outputs is shared by all workers. */
typedef struct FmHalfStep
{
	const FmHost *host;
	const FmBlockKernel *kernel;
	int rank;
	const FmSide *side;
	double value_mean; /* targets are (value - value_mean) * value_scale */
	double value_scale;
	const FmProbit *probit; /* instead, values above 0 are yes and targets drawn; or NULL */
	const float *other_rows;
	int num_terms;
	FmBlockTerm terms[FM_BLOCK_TERMS];
	const float
		*base; /* what an entity's Gram matrix starts from, stride × stride, or NULL: zeros */

	/* The noise precision of an entity's ratings is noise_precision, times its own share if given.
	 */
	double noise_precision;
	const float *noise_share; /* by entity, or NULL */

	/* The prior of an entity's θ: independent normals. Arrays of rank + 1, for v and then for w. */
	const float *prior_precision;
	const float *prior_mean;
	const float *prior_slope;  /* of the mean with the covariate, if there is one */
	const float *covariate;	   /* by entity, or NULL */
	const float *prior_offset; /* rows by entity of v, then w, added to the mean; or NULL */
	bool prior_by_count;	   /* multiply the precision by the root of the ratings' total weight */
	double prior_count_base;   /* and this */

	const FmRandomKey *noise; /* NULL: no noise, draw and mean are the same */

	/* Outputs. Rows have scale 1. */
	float *
		draw_rows; /* a draw from the conditional, or NULL; with probit, read before it is written */
	float *mean_rows; /* its mean, or NULL */
	double *error; /* by entity: the weighted sum of squared residuals of the draw; with probit, of
					   * -ln P(value) before it */
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

/*
 * Multiply packed rows by the roots of their weights: a row counts in every sum as if it stood there `weight`
 * times.
 */
extern void fm_block_weigh_rows(const float *weight, int count, int stride, float *panel);

#endif
