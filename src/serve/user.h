/*
 * Users' vectors, for questions: stored ones, and those of users who are folded in.
 */
#ifndef FMTOPX_USER_H
#define FMTOPX_USER_H

#include "pg/compat.h"

#include "serve/seen.h"

/* A user in each head of a version (core/model/list_vector.h). Contexts act on the rating head. */
typedef struct FmUserVector
{
	/* the rating head; in a ranking, the only one */
	float *v;	 /* num_factors numbers */
	double base; /* b + w */

	/* the interest head; NULL and 0: there is none */
	float *interest_v; /* interest_factors numbers */
	double interest_base;
} FmUserVector;

/* Return what is known of a user of whom nothing is known: v of zeros and no w. */
extern FmUserVector fm_empty_user(const FmLoaded *loaded);

/* The columns of the user table that make a vector; the last two only with an interest head. */
enum
{
	VECTOR_W,
	VECTOR_V,
	VECTOR_INTEREST_W,
	VECTOR_INTEREST_V,
	FM_MAX_VECTOR_COLUMNS
};

/* Set these columns; return how many there are. */
extern int fm_vector_columns(const FmLoaded *loaded, FmColumn *columns);

/* Read them into a vector that has room for v; the first is the row's column `first`. */
extern void fm_read_vector(const FmLoaded *loaded, const FmRow *row, int first, FmUserVector *user);

/*
 * Return a user's vector. A user without ratings in the training (unknown to the model, or known
 * by features alone) is folded in from what the ratings relation now holds for them. If it holds
 * nothing, the vector is what their features say, or that of fm_empty_user without features. It is
 * the latter, too, unless the id is `possible` (see fm_serve_id_in).
 */
extern FmUserVector fm_serve_user(const FmServing *serving, bool possible, Datum user_id);

/*
 * Fold in a user none of whose ratings the model was trained on, without their ratings of the items
 * in the set `ignored` (or NULL). `expected` is their vector by their features, or NULL.
 */
extern FmUserVector fm_serve_new_user(const FmServing *serving, const FmUserVector *expected,
									  Datum user_id, const uint64 *ignored);

/*
 * What folding in makes of items, kept for the next users: worth it where there are many. Memory:
 * at most `room` bytes.
 */
typedef struct FmFoldCache FmFoldCache;

extern FmFoldCache *fm_fold_cache_create(const FmLoaded *loaded, Size room, MemoryContext context);

/*
 * Fold in a user with these ratings. `cache` may be NULL. Sorts the ratings; their order does not
 * affect the result.
 */
extern FmUserVector fm_serve_fold(const FmLoaded *loaded, FmFoldCache *cache,
								  const FmUserVector *expected, FmOwnRating *ratings, int64 count);

#endif
