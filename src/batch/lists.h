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
	float rating; /* NaN: none */
} FmListItem;

/* The columns of lists. */
enum
{
	LIST_USER,
	LIST_RANK,
	LIST_ITEM,
	LIST_SCORE,
	LIST_RATING,
	FM_LIST_COLUMNS
};

typedef struct FmLists
{
	MemoryContext context;
	FmIdType user_type;
	FmIdType item_type;
	const FmLoaded *loaded;
	TupleDesc desc; /* of fm_lists_desc; ids have the model's types */
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
extern FmLists *fm_lists_compute(const FmServing *serving, const FmListRules *rules,
								 FmSeenCheck *check);

/* Move all rows to the tuplestore unless they are there already. */
extern void fm_lists_spill(FmLists *lists);

/* Return the type of rows of lists: user_id, rank, item_id, score and rating. */
extern TupleDesc fm_lists_desc(const FmIdType *user_type, const FmIdType *item_type);

/* Set a row of lists from an item. */
extern void fm_lists_set_row(Datum user_id, int32 rank, Datum item_id, const FmListItem *item,
							 Datum values[FM_LIST_COLUMNS], bool nulls[FM_LIST_COLUMNS]);

/* Set a row of a list in memory. The ids belong to the lists. */
extern void fm_lists_row(const FmLists *lists, int32 user, int32 rank,
						 Datum values[FM_LIST_COLUMNS], bool nulls[FM_LIST_COLUMNS]);

/* Return a hit of the scan as an item of a user's list. */
extern FmListItem fm_list_item_of(const FmLoaded *loaded, const FmUserVector *user,
								  const FmHit *hit);

/* Return the length of a user's list in memory. */
extern int32 fm_lists_length(const FmLists *lists, int32 user);

extern void fm_lists_free(FmLists *lists);

#endif
