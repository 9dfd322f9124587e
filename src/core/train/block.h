/*
 * The half-step that all solvers share: update every entity of one side as one block, given the
 * other side.
 *
 * Terms. A side is the users or the items; an entity is one of them. Its block is θ = (v, w), with
 * rank + 1 numbers. A half-step is the update of all entities of one side while the other side
 * stays as it is.
 *
 * Promises. Given the other side, the entities of a side do not depend on each other. So
 * fm_block_half_step() can be called for any ranges, by any number of workers and in any order, and
 * each entity gets the same bits. Entities without ratings keep their rows.
 *
 * Rows. A side is stored as one row of `stride` floats for each entity:
 *
 *   s · (v_0 .. v_{k-1}, 1, -w, 0 ...)
 *
 * Seen from the other side, the first k + 1 numbers are the row z of the linear model, and the next
 * one is what the entity subtracts from the target. One gather fetches both. The scale s is the
 * square root of the entity's weight in the other side's sums; it is 1 unless the solver sets it.
 */
#ifndef FMTOPX_CORE_BLOCK_H
#define FMTOPX_CORE_BLOCK_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/host.h"
#include "core/math/rng.h"
#include "core/model/prior.h"
#include "core/train/block_kernels.h"
#include "core/train/probit.h"

/* Entities that a member of a team takes at a time: whole batches. */
#define FM_BLOCK_CHUNK (2 * FM_BLOCK_LANES)

/* One side's ratings. */
typedef struct FmSide
{
	int32_t count;
	const int64_t *start; /* count + 1: entity e has the ratings start[e] .. start[e + 1] - 1 */
	const int32_t *other; /* index on the other side */
	const float *value;
	const float *weight; /* of each rating in all sums; NULL: 1 */
} FmSide;

/* Return whether an entity has ratings. */
static inline bool
fm_side_is_rated(const FmSide *side, int32_t entity)
{
	return side->start[entity] < side->start[entity + 1];
}

/* Return the number of an entity's ratings. */
static inline int64_t
fm_side_count(const FmSide *side, int32_t entity)
{
	return side->start[entity + 1] - side->start[entity];
}

/* Return the total weight of an entity's ratings: their number if ratings have no weights. */
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
 * A term that the score of a rating has besides those of its two entities, such as its context: the
 * product of the other side's v with the v of a third row, plus the w of that row.
 */
typedef struct FmBlockTerm
{
	const float *rows;	  /* s · (v, 1, -w), as the rows of a side */
	const int32_t *index; /* by rating, in the order of the side: its row; NULL: the entity's own */
	float sign;			  /* 1; or -1 if another term has counted this one already */
	bool joins;			  /* it belongs to the other side: its v is multiplied with the entity's */
	bool weighs;		  /* its s, the root of a weight, scales the sums; otherwise s is 1 */
} FmBlockTerm;

#define FM_BLOCK_TERMS 3

/* How the precision of an entity's prior grows with n, the total weight of its ratings. */
typedef enum FmPriorGrowth
{
	FM_PRIOR_FIXED,
	FM_PRIOR_BY_ROOT, /* √n */
	FM_PRIOR_BY_COUNT /* n */
} FmPriorGrowth;

/*
 * Other weights in place of a side's: w becomes factor w / (base + slope w). The number of rows
 * that a pair's weight stands for is such a function of it, and so is the weight that they have
 * with another correlation (repeats.h).
 */
typedef struct FmReweighing
{
	float factor;
	float base;
	float slope;
} FmReweighing;

/* The inputs and outputs of a half-step. All workers share everything but the outputs. */
typedef struct FmHalfStep
{
	const FmHost *host;
	const FmBlockKernel *kernel;
	int rank;
	const FmSide *side;
	const FmReweighing *reweighing; /* NULL: the side's weights as they are */
	double value_mean;				/* targets are (value - value_mean) * value_scale */
	double value_scale;
	const FmProbit *probit; /* NULL, or: values above 0 are yes, and targets are drawn */
	const float *other_rows;
	int num_terms;
	FmBlockTerm terms[FM_BLOCK_TERMS];
	/*
	 * What each entity's Gram matrix starts from, stride × stride; NULL: zeros. It is multiplied by
	 * fm_all_pairs_share() of the number of the entity's ratings if base_by_count is set.
	 */
	const float *base;
	bool base_by_count;

	/*
	 * The noise precision of an entity's ratings is noise_precision, times its share if there are
	 * shares.
	 */
	double noise_precision;
	const float *noise_share; /* by entity, or NULL */

	/*
	 * The prior of an entity's θ: independent normals. Arrays of rank + 1 numbers: v first, then w.
	 */
	const float *prior_precision;
	const float *prior_mean;
	const float *prior_slope;  /* of the mean with the covariate; read only with a covariate */
	const float *covariate;	   /* by entity, or NULL */
	const float *prior_offset; /* a row for each entity, v then w, added to the mean; or NULL */

	/* What the precision is multiplied by: a function of n + prior_count_base. */
	FmPriorGrowth prior_growth;
	double prior_count_base;

	const FmRandomKey *noise; /* NULL: no noise, so the draw is the mean */

	/* Outputs. Rows get the scale 1. */
	float *draw_rows; /* draws from the conditional distribution; or NULL, unless with probit */
	float *mean_rows; /* means of the conditional distribution, or NULL */

	/*
	 * By entity: the weighted sum of the draw's squared residuals; with probit, of -ln P(value) for
	 * the θ before the draw.
	 */
	double *error;
} FmHalfStep;

/* Return what the prior precision of an entity of this total weight is multiplied by. */
static inline double
fm_half_step_prior_factor(const FmHalfStep *step, double weight)
{
	double n = weight + step->prior_count_base;

	return step->prior_growth == FM_PRIOR_FIXED		? 1
		   : step->prior_growth == FM_PRIOR_BY_ROOT ? sqrt(n)
													: n;
}

/* Return what the base of an entity of this many ratings is multiplied by. */
static inline double
fm_half_step_base_factor(const FmHalfStep *step, double count)
{
	return step->base_by_count ? fm_all_pairs_share(count) : 1;
}

/* One worker's memory for half-steps of a given rank. */
typedef struct FmBlockWork FmBlockWork;

/* Return the stride of rows of a given rank. */
extern int fm_block_stride(const FmBlockKernel *kernel, int rank);
extern FmBlockWork *fm_block_work(const FmHost *host, const FmBlockKernel *kernel, int rank);
extern void fm_block_work_release(const FmHost *host, FmBlockWork *work);

/*
 * Update the entities [begin, end). What an entity becomes depends only on the step, not on how
 * ranges are cut. Entities without ratings are left alone, and so is their error.
 */
extern void fm_block_half_step(const FmHalfStep *step, FmBlockWork *work, int32_t begin,
							   int32_t end);

/*
 * Multiply packed rows by the square roots of their weights, so that each row counts in every sum
 * as if it occurred `weight` times.
 */
extern void fm_block_weigh_rows(const float *weight, int count, int stride, float *panel);

#endif
