/*
 * Approximate inverses of the matrices of a side's normal equations, shared by entities of about
 * the same weight.
 */
#ifndef FMTOPX_CORE_PRECONDITION_H
#define FMTOPX_CORE_PRECONDITION_H

#include "core/train/problem.h"

typedef struct FmPreconditioner FmPreconditioner;

/*
 * Create a preconditioner of dim parameters, for both sides one after the other. Its matrices are
 * stride × stride. Every member of a team creates one, in the same order, and then sets the
 * problem.
 */
extern FmPreconditioner *fm_precondition_create(const FmProblem *problem, int dim, int stride);
extern void fm_precondition_set_problem(FmPreconditioner *preconditioner, const FmProblem *problem);
extern void fm_precondition_release(FmPreconditioner *preconditioner);

/* Return the bytes at most that a team shares for it, alignment included. */
extern size_t fm_precondition_shared_size(int stride);

/*
 * Make the inverses for a half-step's side, from its base and prior, and from the mean of z zᵀ over
 * all ratings (`rated`: the Gram matrix of the other side's rows, each as often as it has ratings,
 * divided by the number of ratings). Both matrices are symmetric. All members call this, and wait
 * for each other.
 */
extern void fm_precondition_update(FmPreconditioner *preconditioner, const FmHalfStep *step,
								   int side, const float *rated);

/*
 * Return the inverse for an entity of the side with this total weight: stride × stride, zero beyond
 * dim.
 */
extern const float *fm_precondition_for(const FmPreconditioner *preconditioner, double weight);

#endif
