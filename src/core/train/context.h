/*
 * Contexts: what the circumstances of a rating add to its user.
 */
#ifndef FMTOPX_CORE_CONTEXT_H
#define FMTOPX_CORE_CONTEXT_H

#include "core/train/problem.h"

typedef struct FmContextEffects FmContextEffects;

/* Bytes at most, alignment included, that a team shares for contexts; 0 where ratings have none. */
extern double fm_context_shared_size(const FmProblem *problem, int rank);

/*
 * NULL where ratings have no context. Every member of a team makes one. `draws`: effects are drawn, and their ratios
 * to λ with them; else they are set to their conditional means, as in a half-step of least squares.
 */
extern FmContextEffects *fm_context_create(const FmProblem *problem, int rank, bool draws);
extern void fm_context_release(FmContextEffects *context);

/* Add the term of the contexts to a half-step of users or items. */
extern void fm_context_add_term(const FmContextEffects *context, int side, FmHalfStep *step);

/* Update the effects of all levels, column by column, given both sides' rows. */
typedef struct FmContextStep
{
	const float *rows[2];	/* of the sides, scaled (block.h) */
	const float *precision; /* λ: rank + 1 */
	double noise_precision;
	int iteration;
	FmBlockWork *work;
} FmContextStep;

extern void fm_context_update(FmContextEffects *context, const FmContextStep *step);

/* Rows of the levels (block.h); one that no rating has is all 0. */
extern const float *fm_context_rows(const FmContextEffects *context);

#endif
