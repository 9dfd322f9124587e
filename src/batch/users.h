/*
 * The users that lists are for: those of a model, and those who are new to it.
 */
#ifndef FMTOPX_USERS_H
#define FMTOPX_USERS_H

#include "pg/compat.h"

#include "serve/many_ratings.h"
#include "serve/question_context.h"

/*
 * One user, as a walk meets them. In lists of similar items, those who have lists are items: idx
 * and id are an item's, and the vector's v is NULL.
 */
typedef struct FmBatchUser
{
	int32 idx; /* beyond those of the model if the model does not know the user */
	Datum id;
	FmUserVector vector;
	const float *query; /* what a list was made with (receiver.h); else NULL */
	TransactionId xmin; /* of the user's row of the user table, if the walk was asked for it */

	/*
	 * The vector is that of somebody without ratings, and these ratings, if any, are to be folded
	 * in. `expected`: it says what the user's features say.
	 */
	bool folds;
	bool expected;
	FmOwnRating *ratings;
	int64 num_ratings;
} FmBatchUser;

/* The users of a walk: which, and those of them who are folded in, in the order of the walk. */
typedef struct FmUserChoice
{
	FmIdMap *wanted; /* NULL: all users of the model */
	int32 num_folded;
	int32 num_known; /* the first of the folded: the model knows them, but no ratings of them */
	int32 *idx;		 /* of the first num_known */
	Datum *ids;		 /* of all folded */
} FmUserChoice;

/*
 * Find those users who are folded in: of the wanted (NULL: of the model's), all whose ratings the
 * model was not trained on. In the current context.
 */
extern FmUserChoice *fm_users_choose(const FmServing *serving, FmIdMap *wanted);

/*
 * A walk over the users in ascending order of idx. Its memory does not grow with the number of
 * users. It needs a serving that has begun (serving.h). A user is valid until the next call. With
 * `xmins` the user table must be a heap.
 */
typedef struct FmUserWalk FmUserWalk;

extern FmUserWalk *fm_users_open(const FmServing *serving, bool xmins);

/*
 * Open a walk over some users: those for whom a condition in SQL holds, which begins with AND and
 * calls a user u. $1 is the version; the others are the condition's own.
 */
extern FmUserWalk *fm_users_open_where(const FmServing *serving, bool xmins, const char *condition,
									   const FmSqlParameters *parameters);

/*
 * Open a walk over chosen users: first those whom the model knows, then the others. `ratings` are
 * those of the folded. A context is added to the users who are not folded in.
 */
extern FmUserWalk *fm_users_open_chosen(const FmServing *serving, bool xmins,
										const FmUserChoice *choice, const FmContext *context,
										FmManyRatings *ratings);
extern const FmBatchUser *fm_users_next(FmUserWalk *walk); /* NULL at the end */

/* Let the next call return the same user again. */
extern void fm_users_again(FmUserWalk *walk);

/* Return how many users the walk has met. */
extern int32 fm_users_met(const FmUserWalk *walk);
extern void fm_users_close(FmUserWalk *walk);

/* The columns that a reader of fm_users_scan gets. */
enum
{
	USER_IDX,
	USER_ID
};

/* Call the reader for each user, in ascending order of idx. */
extern void fm_users_scan(const FmServing *serving, FmRowReader reader, void *state);

/* Report that a user occurs twice; that the users' idx do not run from 0 without gaps. */
pg_noreturn extern void fm_users_repeated(const FmServing *serving);
pg_noreturn extern void fm_users_damaged(const FmServing *serving);

#endif
