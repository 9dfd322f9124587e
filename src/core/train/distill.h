/*
 * From many samples of V, w, b to the one V, w, b whose ŷ is nearest to the mean of theirs.
 */
#ifndef FMTOPX_CORE_DISTILL_H
#define FMTOPX_CORE_DISTILL_H

#include "core/train/gibbs.h"
#include "core/train/problem.h"

typedef struct FmDistiller FmDistiller;

/* Bytes at most that a distiller's team shares, and, about, with what the leader needs besides. */
extern double fm_distill_shared_size(const FmProblem *problem, int sample_rank, int num_factors);
extern double fm_distill_size(const FmProblem *problem, int sample_rank, int num_factors);

/*
 * For samples of sample_rank, to become a model of num_factors. Every member of a team makes one, adds
 * every sample to it and finishes it.
 */
extern FmDistiller *fm_distill_create(const FmProblem *problem, int sample_rank, int num_factors);

/* Take in one sample. An FmSampleSink. */
extern void fm_distill_add(void *distiller, const FmSample *sample);

/* Write the model in the units of the ratings (unless result is NULL), and release the distiller. */
extern void fm_distill_finish(FmDistiller *distiller, FmParameters *result);

#endif
