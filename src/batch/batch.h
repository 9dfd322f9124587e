/*
 * The best x items for every user of a model.
 */
#ifndef FMTOPX_BATCH_H
#define FMTOPX_BATCH_H

#include "pg/compat.h"

#include "batch/batch_block.h"
#include "serve/serving.h"

/* One user of the model, as a walk over all of them meets him. */
typedef struct FmBatchUser
{
	int32 idx;
	Datum id;
	FmUserVector vector;
	TransactionId xmin; /* of his row of the user table, where the walk was asked for it */
} FmBatchUser;

/*
 * A walk over the users in the order of their idx. Memory does not grow with their number. While
 * serving, as everything in serving.h. With `xmins` the user table must be a heap.
 */
typedef struct FmUserWalk FmUserWalk;

extern FmUserWalk *fm_users_open(const FmServing *serving, bool xmins);
extern const FmBatchUser *fm_users_next(FmUserWalk *walk); /* NULL at the end */
extern void fm_users_close(FmUserWalk *walk);

/* Called with each user's list, best first; the memory context is reset after each user. */
typedef void (*FmListCallback)(void *state, const FmBatchUser *user, const FmHit *hits,
							   int32 count);

/*
 * Called before the first user; false: the receiver cannot take any list, and the batch ends. While workers
 * are busy already, so that what it reads costs little, but nothing that runs code of users may be done. May
 * be called again where the batch begins again, as it does without workers.
 */
typedef bool (*FmBeginCallback)(void *state);

/* Items that are likely to be in a user's list, and how many; whatever they are, the list is right. */
typedef const int32 *(*FmSeedCallback)(void *state, const FmBatchUser *user, int32 *count);

/*
 * Whether the list that the receiver has of a user is right: then none is computed. Asked before `seeds`, with the
 * xmin of the user's row, so only of a user table that is a heap.
 */
typedef bool (*FmCurrentCallback)(void *state, const FmBatchUser *user);

/* Of more users than this it is not noted that they have rated lately. */
#define FM_SEEN_MAX_RECENT 16384

/*
 * Which users have rated since: what a receiver asks of a batch that excludes what has been rated. Rows of the ratings
 * are old whose xmin is before `old_before`. Answered, before any list is asked for, only where the
 * ratings are read by fm_seen_scan_run.
 */
typedef struct FmSeenCheck
{
	TransactionId old_before; /* or invalid: none is old */
	TransactionId new_before; /* for the next time */
	bool counted;			  /* the answers are there */
	int64 old_rows;
	int64 new_rows;		 /* whose xmin is before new_before */
	const bool *changed; /* by idx: the user has rows that are not old; while lists are asked for */
	int32 *recent;		 /* idx, in order, of users with rows not before new_before */
	int32 num_recent;	 /* of which FM_SEEN_MAX_RECENT have room there */
} FmSeenCheck;

typedef struct FmListReceiver
{
	void *state;
	FmListCallback put;
	FmSeedCallback seeds;	   /* or NULL; called for a user some time before `put` */
	FmBeginCallback begin;	   /* or NULL */
	FmCurrentCallback current; /* or NULL */
	FmSeenCheck *check;		   /* or NULL */
} FmListReceiver;

/* Who the users of a block are, for the process that reads them and hands over their lists. */
typedef struct FmBlockUsers
{
	const FmIdType *id_type;
	MemoryContext ids; /* of by-reference ids */
	FmBatchUser *users;
} FmBlockUsers;

extern FmBlockUsers *fm_block_users_create(const FmServing *serving, const FmBlockShape *shape,
										   MemoryContext context);

/* Take the next users; false if there are none left. */
extern bool fm_block_fill(const FmBlock *block, const FmBlockShape *shape, FmBlockUsers *users,
						  FmUserWalk *walk, const FmListReceiver *receiver);

extern void fm_block_hand_over(const FmBlock *block, const FmBlockShape *shape,
							   const FmBlockUsers *users, const FmListReceiver *receiver,
							   MemoryContext per_user);

/* Every user's list, in the order of their idx; false if the receiver did not begin. */
extern bool fm_batch_top_x(const FmServing *serving, int32 x, bool exclude_seen,
						   const FmListReceiver *receiver);

#endif
