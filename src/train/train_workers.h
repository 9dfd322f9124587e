/*
 * The team of a training: this backend and parallel workers, with the memory they share.
 */
#ifndef FMTOPX_TRAIN_WORKERS_H
#define FMTOPX_TRAIN_WORKERS_H

#include "pg/compat.h"

#include "core/data/ratings.h"
#include "core/train/solver.h"

/*
 * Build both orders of the triples, and copy the features (of both sides) and contexts. Frees the
 * arrays of the triples. If `workers` is above 0 and the system has room, the result is in shared
 * memory for workers to attach to, else in the current context.
 */
typedef struct FmSharedRatings FmSharedRatings;

extern FmSharedRatings *fm_share_ratings(FmTriples *triples, int32 num_users, int32 num_items,
										 const FmFeatures *features, const FmContexts *contexts,
										 int workers, const FmHost *host);
extern FmRatings *fm_shared_ratings(FmSharedRatings *shared);

/* Run fm_solve with up to `workers` workers: with as many as are available, or none. */
extern void fm_solve_in_parallel(FmSharedRatings *shared, const FmSolverOptions *options,
								 int workers, const FmHost *host, FmParameters *result);

extern void fm_release_ratings(FmSharedRatings *shared);

#endif
