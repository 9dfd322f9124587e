/*
 * The half-step of block.h over all pairs, approximately: a few steps of conjugate gradients from
 * the previous solution of each entity.
 */
#ifndef FMTOPX_CORE_PCG_H
#define FMTOPX_CORE_PCG_H

#include "core/train/block.h"
#include "core/train/precondition.h"

/* One worker's memory for half-steps of a given rank. */
typedef struct FmPcgWork FmPcgWork;

/* Return whether this takes less time than the exact half-step. */
extern bool fm_pcg_pays(int rank);

/* Return the number of parameters of an entity: v, and w if there are biases. */
extern int fm_pcg_dim(int rank, bool has_biases);

/* Return how many columns of the rows are read. Matrices are square, of that size. */
extern int fm_pcg_columns(const FmBlockKernel *kernel, int rank, bool has_biases);

extern FmPcgWork *fm_pcg_work(const FmHost *host, const FmBlockKernel *kernel, int rank,
							  bool has_biases);
extern void fm_pcg_work_release(const FmHost *host, FmPcgWork *work);

/*
 * Do as fm_block_half_step does, for a step with a noise precision of 1, mean_rows and error, and
 * without noise, terms or probit. Its base is symmetric, of fm_pcg_columns. The half-step starts
 * from mean_rows, and never raises what it minimises.
 */
extern void fm_pcg_half_step(const FmHalfStep *step, const FmPreconditioner *preconditioner,
							 FmPcgWork *work, int32_t begin, int32_t end);

#endif
