/*
 * The users of a model, read from its user table.
 */
#ifndef FMTOPX_USERS_H
#define FMTOPX_USERS_H

#include "pg/compat.h"

#include "serve/user.h"

/* One user of the model, as a walk meets them. */
typedef struct FmBatchUser
{
	int32 idx;
	Datum id;
	FmUserVector vector;
	const float *query; /* what a list was made with (receiver.h); else NULL */
	TransactionId xmin; /* of the user's row of the user table, if the walk was asked for it */
} FmBatchUser;

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

extern const FmBatchUser *fm_users_next(FmUserWalk *walk); /* NULL at the end */
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
