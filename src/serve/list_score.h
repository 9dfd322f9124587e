/*
 * What a list shows of an item: its score, which orders the list, and its rating.
 */
#ifndef FMTOPX_LIST_SCORE_H
#define FMTOPX_LIST_SCORE_H

#include "pg/compat.h"

#include "serve/user.h"

#define FM_MAX_NOVELTY 1000.0

/*
 * Set *novelty to an argument and return true; false if it is NULL. An error unless it is between
 * -FM_MAX_NOVELTY and FM_MAX_NOVELTY.
 */
extern bool fm_novelty_argument(FunctionCallInfo fcinfo, int argument, double *novelty);

/*
 * Return the novelty of lists: what was asked for, or else (NULL) the version's own. An error if
 * the version does not know how popular items are, unless 0 was asked for.
 */
extern double fm_serve_novelty(const FmServing *serving, const double *asked);

/* Return the length of queries and of vectors of the matrix: the factors, and one for the bias. */
static inline int
fm_query_length(const FmLoaded *loaded)
{
	return fm_list_factors(&loaded->shape) + 1;
}

/* Set the query that orders items for a user, fm_query_length numbers. */
extern void fm_set_query(const FmLoaded *loaded, const FmUserVector *user, double novelty,
						 float *query);

/* Return it in the current context. */
extern float *fm_make_query(const FmLoaded *loaded, const FmUserVector *user, double novelty);

/*
 * Return the sum that orders a list, given the inner product of a query and an item. With an
 * interest head it is
 *
 *   interest + β' (rating - mean) - τ m popularity
 *
 * where mean is that of the ratings, or 0 in a classification; else the rating less the last term.
 */
extern double fm_list_sum(const FmLoaded *loaded, const FmUserVector *user, double product);

/*
 * Return the sum as the column score shows it. That is the sum itself; in a classification without
 * an interest head Φ of it, which without novelty is the probability of a yes. Monotonic, so it
 * keeps the order. An error unless the sum is finite as a real.
 */
extern double fm_listed_score(const FmLoaded *loaded, double sum);

/*
 * Return what fm_predict says of an item: the rating, clipped to the range of the training; in a
 * classification the probability of a yes; in a ranking the preference. An item of -1 is one that
 * the model does not know.
 */
extern double fm_prediction(const FmLoaded *loaded, const FmUserVector *user, int32 item);

/* Return the same as the column rating shows it: NaN, for NULL, in a ranking. */
extern float fm_listed_rating(const FmLoaded *loaded, const FmUserVector *user, int32 item);

#endif
