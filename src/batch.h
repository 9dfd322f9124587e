/*
 * The best x items for every user of a model.
 */
#ifndef FMTOPX_BATCH_H
#define FMTOPX_BATCH_H

#include "compat.h"

#include "serve.h"

/* One user of the model, as a walk over all of them meets him. */
typedef struct FmBatchUser
{
	int32 idx;
	Datum id;
	FmUserVector vector;
} FmBatchUser;

/*
 * A walk over the users in the order of their idx. Memory does not grow with their number. While
 * serving, as everything in serve.h.
 */
typedef struct FmUserWalk FmUserWalk;

extern FmUserWalk *fm_users_open(const FmServing *serving);
extern const FmBatchUser *fm_users_next(FmUserWalk *walk); /* NULL at the end */
extern void fm_users_close(FmUserWalk *walk);

/* Called with each user's list, best first; the memory context is reset after each user. */
typedef void (*FmListCallback)(void *state, const FmBatchUser *user, const FmHit *hits,
							   int32 count);

extern void fm_batch_top_x(const FmServing *serving, int32 x, bool exclude_seen,
						   FmListCallback callback, void *state);

#endif
