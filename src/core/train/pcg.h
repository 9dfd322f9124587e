/*
 * The half-step of block.h over all pairs, approximately: a few steps of conjugate gradients from where an entity is.
 */
#ifndef FMTOPX_CORE_PCG_H
#define FMTOPX_CORE_PCG_H

#include "core/train/block.h"
#include "core/train/precondition.h"

/* One worker's memory for half-steps of a given rank. */
typedef struct FmPcgWork FmPcgWork;

/* Whether it takes less time than the exact half-step. */
extern bool fm_pcg_pays(int rank);

/* What there is to solve for: v, and w unless biases are none. */
extern int fm_pcg_dim(int rank, bool has_biases);

/* How many of the columns of rows are read; matrices are so large. */
extern int fm_pcg_columns(const FmBlockKernel *kernel, int rank, bool has_biases);

extern FmPcgWork *fm_pcg_work(const FmHost *host, const FmBlockKernel *kernel, int rank,
							  bool has_biases);
extern void fm_pcg_work_release(const FmHost *host, FmPcgWork *work);

/*
 * As fm_block_half_step, for a step with a noise precision of 1, a prior by count, mean_rows and error, and without
 * noise, terms or probit. Its base is symmetric, and of fm_pcg_columns. It starts from mean_rows and never raises
 * what the step minimises.
 */
extern void fm_pcg_half_step(const FmHalfStep *step, const FmPreconditioner *preconditioner,
							 FmPcgWork *work, int32_t begin, int32_t end);

#endif
