/*
 * Every user's list, on its way from the scan to a table.
 */
#ifndef FMTOPX_LISTS_H
#define FMTOPX_LISTS_H

#include "pg/compat.h"

#include "batch/receiver.h"
#include "serve/serving.h"

typedef struct FmListItem
{
	int32 item;
	float score;
} FmListItem;

typedef struct FmLists
{
	MemoryContext context;
	FmIdType user_type;
	FmIdType item_type;
	const FmLoaded *loaded;
	TupleDesc desc; /* user_id, rank, item_id, score, typed as the model's ids are */
	int64 num_rows;

	/* in memory: the list of the users' index u is items[start[u]] up to items[start[u + 1]] */
	FmIdMap *users;
	int64 *start;
	int64 start_capacity;
	FmListItem *items;
	int64 item_capacity;

	Tuplestorestate *store; /* all rows, best first, once they are too large for that; else NULL */
} FmLists;

/*
 * Every user's list, in a context below the current one. While serving; its model must stay
 * pinned.
 */
extern FmLists *fm_lists_compute(const FmServing *serving, int32 x, bool exclude_seen,
								 FmSeenCheck *check);

/* Move all rows to the tuplestore, if they are not there. */
extern void fm_lists_spill(FmLists *lists);

/* How rows of lists are typed. */
extern TupleDesc fm_lists_desc(const FmIdType *user_type, const FmIdType *item_type);

/* A row of a list; the ids are those of the lists. */
extern void fm_lists_row(const FmLists *lists, int32 user, int32 rank, Datum values[4]);

/* How long a user's list is. */
extern int32 fm_lists_length(const FmLists *lists, int32 user);

extern void fm_lists_free(FmLists *lists);

#endif
