/*
 * From many samples of V, w, b to the one V, w, b whose ŷ is nearest to their mean.
 */
#ifndef FMTOPX_CORE_DISTILL_H
#define FMTOPX_CORE_DISTILL_H

#include "core/train/gibbs.h"
#include "core/train/problem.h"

typedef struct FmDistiller FmDistiller;

/*
 * Return the bytes that a distiller's team shares at most, and about what it takes with what the
 * leader needs in addition.
 */
extern double fm_distill_shared_size(const FmProblem *problem, int sample_rank, int num_factors);
extern double fm_distill_size(const FmProblem *problem, int sample_rank, int num_factors);

/*
 * Create a distiller of samples of sample_rank into a model of num_factors. Every member of a team
 * creates one, adds every sample to it and finishes it.
 */
extern FmDistiller *fm_distill_create(const FmProblem *problem, int sample_rank, int num_factors);

/* Add one sample. This is an FmSampleSink. */
extern void fm_distill_add(void *distiller, const FmSample *sample);

/* Write the model in the units of the ratings, unless result is NULL, and release the distiller. */
extern void fm_distill_finish(FmDistiller *distiller, FmParameters *result);

#endif
