/*
 * Alternating least squares.
 */
#ifndef FMTOPX_CORE_ALS_H
#define FMTOPX_CORE_ALS_H

#include "core/train/gibbs.h"

/* Train, and give the sink one sample: the result. */
extern void fm_als(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx);

#endif
