/*
 * The regression of a side's θ on what is known of its entities: their features and their history.
 */
#ifndef FMTOPX_CORE_REGRESSION_H
#define FMTOPX_CORE_REGRESSION_H

#include "core/train/problem.h"

typedef struct FmRegression FmRegression;

/* Whether anything is known of a side. */
extern bool fm_regression_is_needed(const FmProblem *problem, int side);

/* Bytes at most, alignment included, that a team shares for a side's regression; 0 where there is none. */
extern double fm_regression_shared_size(const FmProblem *problem, int side, int rank);

/*
 * For a side that needs one. Every member of a team makes one, in the same order. With strength 0 effects are drawn,
 * and their ratios to λ (ρ) with them. Else they are set to their conditional means, the λ of an entity is multiplied
 * by the root of its ratings' total weight, as with prior_by_count in block.h, and ρ is the root of that of a
 * level (an entity's weight times x²) times the strength.
 */
extern FmRegression *fm_regression_create(const FmProblem *problem, int side, int rank,
										  double strength);
extern void fm_regression_release(FmRegression *regression);

/* What an update reads beside the regression's own state. */
typedef struct FmRegressionStep
{
	const float *rows;		/* of the side (block.h), of any scale */
	const float *precision; /* λ, of θ around its prior mean: rank + 1, as are the next two */
	const float *mean;		/* μ */
	const float *slope;		/* β, of the covariate; not read without one */
	const float *covariate; /* g, by entity, or NULL */
	int iteration;			/* keys random numbers */
} FmRegressionStep;

/* Update the effects of all levels, given the θ of the side's rated entities. */
extern void fm_regression_update(FmRegression *regression, const FmRegressionStep *step);

/* Σ_j x_ej B_j as rows by entity, of v and then of w, fm_block_stride(rank) floats each. */
extern const float *fm_regression_offset(const FmRegression *regression);

/* B of the features' levels (not of history) as such rows by level; NULL where the side has no features. */
extern const float *fm_regression_effects(const FmRegression *regression);

#endif
