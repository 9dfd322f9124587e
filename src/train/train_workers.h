/*
 * A training's team: this backend and parallel workers, with the memory they share.
 */
#ifndef FMTOPX_TRAIN_WORKERS_H
#define FMTOPX_TRAIN_WORKERS_H

#include "pg/compat.h"

#include "core/data/ratings.h"
#include "core/train/solver.h"

/*
 * Build both orders of the triples (whose arrays are freed), and copy the features (of both sides)
 * and contexts, in memory that workers can attach to, when `workers` is above 0 and the system has
 * room for it, else in the current context.
 */
typedef struct FmSharedRatings FmSharedRatings;

extern FmSharedRatings *fm_share_ratings(FmTriples *triples, int32 num_users, int32 num_items,
										 const FmFeatures *features, const FmContexts *contexts,
										 int workers, const FmHost *host);
extern FmRatings *fm_shared_ratings(FmSharedRatings *shared);

/* fm_solve with as many of the workers as there are to be had, none included. */
extern void fm_solve_in_parallel(FmSharedRatings *shared, const FmSolverOptions *options,
								 int workers, const FmHost *host, FmParameters *result);

extern void fm_release_ratings(FmSharedRatings *shared);

#endif
