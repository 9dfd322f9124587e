/*
 * The regression of a side's θ on what is known of its entities: features and history.
 */
#ifndef FMTOPX_CORE_REGRESSION_H
#define FMTOPX_CORE_REGRESSION_H

#include "core/train/problem.h"

typedef struct FmRegression FmRegression;

/* Return whether a side has features or history. */
extern bool fm_regression_is_needed(const FmProblem *problem, int side);

/*
 * Return the bytes at most, alignment included, that a team shares for a side's regression; 0 if it
 * has none.
 */
extern double fm_regression_shared_size(const FmProblem *problem, int side, int rank);

/*
 * Create the regression of a side that needs one. Every member of a team creates one, in the same
 * order.
 *
 * With strength 0, effects are drawn, and so are their ratios to λ (ρ, κ). With any other strength,
 * effects are set to their conditional means; the λ of an entity is multiplied by the square root
 * of the total weight of its ratings, as with FM_PRIOR_BY_ROOT in block.h, or of their mean in a
 * ranking, where α₀ N is most of what λ grows with (ials.c); and the ρ of a level is the strength
 * times the mean of Σ x² (if above 1) times the square root of the level's weight (the sum over its
 * entities of their weight times x²).
 */
extern FmRegression *fm_regression_create(const FmProblem *problem, int side, int rank,
										  double strength);
extern void fm_regression_release(FmRegression *regression);

/* What an update reads besides the regression's own state. */
typedef struct FmRegressionStep
{
	const float *rows; /* of the side (block.h), of any scale */
	/* λ, of θ around its prior mean: rank + 1 numbers, as the next two */
	const float *precision;
	const float *mean;		/* μ */
	const float *slope;		/* β, of the covariate; read only with one */
	const float *covariate; /* g, by entity, or NULL */
	int iteration;			/* keys random numbers */
} FmRegressionStep;

/* Update the effects of all levels, given the θ of the side's rated entities. */
extern void fm_regression_update(FmRegression *regression, const FmRegressionStep *step);

/* Return Σ_j x_ej B_j: a row for each entity, v then w, of fm_block_stride(rank) floats. */
extern const float *fm_regression_offset(const FmRegression *regression);

/*
 * Return the effects B of the features' levels (not of history) in the same form, a row for each
 * level; NULL if the side has no features.
 */
extern const float *fm_regression_effects(const FmRegression *regression);

/*
 * Return the effects of history in the same form, a row for each entity of the other side, and the
 * x that they have in each entity; NULL if there is no history.
 */
extern const float *fm_regression_history(const FmRegression *regression, const float **scale);

#endif
