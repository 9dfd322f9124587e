/*
 * The lists of all users, kept until they are written to a table.
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
	TupleDesc desc; /* user_id, rank, item_id, score; ids have the model's types */
	int64 num_rows;

	/* in memory: the list of user u of `users` is items[start[u]] up to items[start[u + 1] - 1] */
	FmIdMap *users;
	int64 *start;
	int64 start_capacity;
	FmListItem *items;
	int64 item_capacity;

	Tuplestorestate *store; /* all rows instead, when they have become too large for memory */
} FmLists;

/*
 * Compute all lists, in a context below the current one. While serving; the model must stay pinned.
 */
extern FmLists *fm_lists_compute(const FmServing *serving, int32 x, bool exclude_seen,
								 FmSeenCheck *check);

/* Move all rows to the tuplestore unless they are there already. */
extern void fm_lists_spill(FmLists *lists);

/* Return the type of rows of lists. */
extern TupleDesc fm_lists_desc(const FmIdType *user_type, const FmIdType *item_type);

/* Return a row of a list in memory. The ids belong to the lists. */
extern void fm_lists_row(const FmLists *lists, int32 user, int32 rank, Datum values[4]);

/* Return the length of a user's list in memory. */
extern int32 fm_lists_length(const FmLists *lists, int32 user);

extern void fm_lists_free(FmLists *lists);

#endif
