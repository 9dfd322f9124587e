/*
 * Pairs held out of a ranking, inside its training: how well does a solution find them?
 */
#ifndef FMTOPX_CORE_HELD_OUT_H
#define FMTOPX_CORE_HELD_OUT_H

#include "core/train/problem.h"

typedef struct FmHeldOut FmHeldOut;

/*
 * Hold out a tenth of the pairs of a problem, chosen by a hash of seed, user and item. Every member
 * of a team calls this. Return NULL if too few are found by users that have others left.
 */
extern FmHeldOut *fm_held_out_create(const FmProblem *problem, int rank);
extern void fm_held_out_release(FmHeldOut *held);

/* Return the problem without what is held out. It has no features and no history. */
extern const FmProblem *fm_held_out_rest(const FmHeldOut *held);

/* Return the number of pairs held out that fm_held_out_score looks for. */
extern int64_t fm_held_out_pairs(const FmHeldOut *held);

/*
 * Return log(NDCG@20) + log(recall@20), means over some users, for rows of both sides (block.h).
 * All members call this, and get the same number.
 */
extern double fm_held_out_score(FmHeldOut *held, float *const rows[2], bool has_biases);

/*
 * Return the bytes that a team shares at most, alignment included, and what a member has besides.
 */
extern double fm_held_out_shared_size(int64_t num_ratings, int32_t num_users, int32_t num_items);
extern double fm_held_out_size(int32_t num_items, int rank);

#endif
