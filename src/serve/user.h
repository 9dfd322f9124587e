/*
 * Users' vectors, for questions: stored ones, and those of users who are folded in.
 */
#ifndef FMTOPX_USER_H
#define FMTOPX_USER_H

#include "pg/compat.h"

#include "serve/seen.h"

typedef struct FmUserVector
{
	float *query; /* (φ, 1): num_factors + 1 numbers */
	double base;  /* b + w_u */
} FmUserVector;

/*
 * Return a user's vector. A user without ratings in the training (unknown to the model, or known
 * by features alone) is folded in from what the ratings relation now holds for them. If it holds
 * nothing, the vector is what their features say, or (0, 1) and b without features. It is (0, 1)
 * and b, too, unless the id is `possible` (see fm_serve_id_in).
 */
extern FmUserVector fm_serve_user(const FmServing *serving, bool possible, Datum user_id);

/*
 * Fold in a user none of whose ratings the model was trained on, without their ratings of the items
 * in the set `ignored` (or NULL). `expected` is their vector by their features, or NULL.
 */
extern FmUserVector fm_serve_new_user(const FmServing *serving, const FmUserVector *expected,
									  Datum user_id, const uint64 *ignored);

/*
 * Fold in a user with these ratings, in the units that the model was trained on, less
 * fm_version_center. Sorts the ratings;
 * their order does not affect the result.
 */
extern FmUserVector fm_serve_fold(const FmServing *serving, const FmUserVector *expected,
								  FmOwnRating *ratings, int64 count);

#endif
