/*
 * The receiver of a batch: callbacks that take every user's list.
 *
 * A batch calls them all in the process that started it, in this order:
 *
 *   begin     once, before anything else; it may refuse the batch
 *   current   for each user who is not folded in, in ascending order of idx, to skip lists that are
 *             right already
 *   seeds     for each user that `current` did not skip
 *   put       for each of these users, in the same order, with the list
 *
 * `current` and `seeds` run ahead of `put` by a few blocks of users. Only `put` is required; the
 * others may be NULL.
 */
#ifndef FMTOPX_RECEIVER_H
#define FMTOPX_RECEIVER_H

#include "pg/compat.h"

#include "core/scan/best.h"

#include "batch/users.h"
#include "registry/registry_targets.h"
#include "serve/filter.h"

/* Whom lists are for, and what may be in them. */
typedef struct FmListFilter
{
	FmIdMap *users;			   /* NULL: all users of the model */
	const FmItemFilter *items; /* NULL: all items */
	FmContext context;
} FmListFilter;

/*
 * What lists are wanted. With a filter, users whose ratings the model was not trained on are folded
 * in, as fm_top_x does; without one (NULL), they have the lists that their features say.
 */
typedef struct FmListRules
{
	int32 x;
	bool exclude_seen;
	double novelty;
	const FmListFilter *filter;
	FmTargetKind kind;
} FmListRules;

/*
 * Take a user's list, best first. user->query is what it was made with; interest_v is not there.
 * The current memory context is reset after the call.
 */
typedef void (*FmListCallback)(void *state, const FmBatchUser *user, const FmHit *hits,
							   int32 count);

/*
 * Prepare to receive. Return false to refuse: the batch then ends without a list.
 *
 * In a batch with workers the workers are reading the ratings by now, so reading something large
 * here costs little time. The process may be in parallel mode: do nothing that could run
 * user-defined code or write to the database. A batch that has to start again without workers calls
 * this a second time.
 */
typedef bool (*FmBeginCallback)(void *state);

/*
 * Return whether the receiver knows that the list it already has of this user, who is not folded
 * in, is right. The batch then computes none and does not call `seeds` and `put` for the user.
 * user->xmin is set, so the user table must be a heap, unless the receiver is without_xmin.
 */
typedef bool (*FmCurrentCallback)(void *state, const FmBatchUser *user);

/*
 * Return *count items that are likely to be in the user's list. They only make the scan faster:
 * the list is right whatever they are. The array must stay valid until the next call; negative
 * entries are ignored.
 */
typedef const int32 *(*FmSeedCallback)(void *state, const FmBatchUser *user, int32 *count);

/* No more users than this are returned as `recent`. */
#define FM_SEEN_MAX_RECENT 16384

/*
 * A question about the ratings: which users have rated since a given moment? A receiver may ask it
 * of a batch that excludes what users have rated. The batch sets `counted` and the fields after it
 * before it first calls `current`, but only if it reads the ratings by fm_seen_scan_run; otherwise
 * `counted` stays false.
 *
 * A row is old if its xmin precedes `old_before`, and recent if its xmin does not precede
 * `new_before`.
 */
typedef struct FmSeenCheck
{
	TransactionId old_before; /* invalid: no row is old */
	TransactionId new_before; /* becomes old_before of the next check */
	bool counted;			  /* the following fields are set */
	int64 old_rows;			  /* number of old rows */
	int64 new_rows;			  /* number of rows that are not recent */
	int32 num_users;		  /* length of `changed` */
	const bool *changed; /* by idx: the user has a row that is not old; valid during the batch */
	int32 *recent;	  /* the first FM_SEEN_MAX_RECENT idx, ascending, of users with recent rows */
	int32 num_recent; /* number of users with recent rows: may exceed FM_SEEN_MAX_RECENT */
} FmSeenCheck;

typedef struct FmListReceiver
{
	void *state; /* passed to each callback */
	FmListCallback put;
	FmSeedCallback seeds;
	FmBeginCallback begin;
	FmCurrentCallback current;
	bool without_xmin; /* `current` does not look at user->xmin, so it may be invalid */
	FmSeenCheck *check;
} FmListReceiver;

static inline bool
fm_receiver_needs_xmin(const FmListReceiver *receiver)
{
	return receiver->current != NULL && !receiver->without_xmin;
}

/* Return whether the receiver wants the lists. */
static inline bool
fm_receiver_begin(const FmListReceiver *receiver)
{
	return receiver->begin == NULL || receiver->begin(receiver->state);
}

#endif
