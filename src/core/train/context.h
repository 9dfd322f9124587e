/*
 * Contexts: what the context of a rating adds to its user.
 */
#ifndef FMTOPX_CORE_CONTEXT_H
#define FMTOPX_CORE_CONTEXT_H

#include "core/train/problem.h"

typedef struct FmContextEffects FmContextEffects;

/*
 * Return the bytes at most, alignment included, that a team shares for contexts; 0 if ratings have
 * none.
 */
extern double fm_context_shared_size(const FmProblem *problem, int rank);

/*
 * Create the effects of contexts; NULL if ratings have no context. Every member of a team creates
 * them. With `draws`, effects are drawn, and so are their ratios to λ; otherwise effects are set to
 * their conditional means, as in a half-step of least squares.
 */
extern FmContextEffects *fm_context_create(const FmProblem *problem, int rank, bool draws);
extern void fm_context_release(FmContextEffects *context);

/* Add the term of the contexts to a half-step of users or items. */
extern void fm_context_add_term(const FmContextEffects *context, int side, FmHalfStep *step);

/* What an update of the effects reads besides their own state. */
typedef struct FmContextStep
{
	const float *rows[2];	/* of the sides, scaled (block.h) */
	const float *precision; /* λ: rank + 1 numbers */
	double noise_precision;
	int iteration;
	FmBlockWork *work;
} FmContextStep;

/* Update the effects of all levels, column by column, given the rows of both sides. */
extern void fm_context_update(FmContextEffects *context, const FmContextStep *step);

/* Return the rows of the levels (block.h). A level that no rating has is all 0. */
extern const float *fm_context_rows(const FmContextEffects *context);

#endif
