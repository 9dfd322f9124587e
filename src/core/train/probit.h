/*
 * Classification: P(y = 1) = Φ(η), where η is the score of the factorization machine.
 */
#ifndef FMTOPX_CORE_PROBIT_H
#define FMTOPX_CORE_PROBIT_H

#include <stdint.h>

#include "core/layout.h"
#include "core/math/rng.h"

/* How the latent targets of one half-step are drawn. */
typedef struct FmProbit
{
	FmRandomKey key;
	float offset; /* what η has besides the biases of the two sides */
} FmProbit;

/* Rows of a panel that are drawn at a time. */
#define FM_PROBIT_ROWS (4 * FM_RANDOM_LANES)

/* The latent variables of some rows, y* = η + noise. */
typedef struct FmLatentRows
{
	uint32_t word[FM_PROBIT_ROWS]; /* random */
	float sign[FM_PROBIT_ROWS];	   /* in: 1 for y = 1, -1 for y = 0 */
	float spread[FM_PROBIT_ROWS];  /* in: 1/√weight */
	float score[FM_PROBIT_ROWS];   /* η without the offset */
	float noise[FM_PROBIT_ROWS];   /* y* - η */
	float loss[FM_PROBIT_ROWS];	   /* -ln P(y) */
} __attribute__((aligned(FM_ALIGNMENT))) FmLatentRows;

/*
 * One implementation of the hot part (block_kernels.c): draw random words for an entity from a
 * position on, compute the scores of the panel's rows, and from these noise and loss.
 */
typedef void (*FmLatentKernel)(const FmProbit *probit, uint32_t entity, uint32_t position,
							   const float *panel, const float *theta, int count, int stride,
							   FmLatentRows *rows);

/*
 * Draw the latent targets of an entity's ratings, beginning with rating number `first` (a multiple
 * of FM_PROBIT_ROWS).
 *
 * The panel holds packed rows (block.h) without the values of the ratings: (z, -w_other) of scale
 * 1. The targets are added to `column`. theta is (v, w, -1, 0 ...) of the entity as it was drawn
 * last, `stride` floats. Weights may be NULL. Return the weighted sum of -ln P(y).
 */
extern double fm_probit_draw(const FmProbit *probit, FmLatentKernel kernel, int32_t entity,
							 int64_t first, const float *theta, const float *value,
							 const float *weight, int count, int stride, int column, float *panel);

#endif
