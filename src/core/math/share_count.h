/*
 * How much alike the noise of a side's entities is: the posterior of ν on a grid.
 */
#ifndef FMTOPX_CORE_SHARE_COUNT_H
#define FMTOPX_CORE_SHARE_COUNT_H

#include "core/math/rng.h"

#define FM_SHARE_COUNTS 5

/* Sums over the entities of a side. */
typedef struct FmShareCounts
{
	double entities;
	double log_likelihood[FM_SHARE_COUNTS];
} FmShareCounts;

/*
 * Add an entity whose n residuals have the weighted sum of squares `error`, in units of the noise
 * variance that all entities have in common.
 */
extern void fm_share_counts_add(FmShareCounts *counts, double n, double error);

/* Draw ν given the entities: infinity if they are all alike. */
extern double fm_share_counts_draw(const FmShareCounts *counts, FmRandomSequence *random);

#endif
