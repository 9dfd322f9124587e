/*
 * Lists, kept until they are written to a table.
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

/* The columns of lists: an owner's id, and an entry, which is an item. */
enum
{
	LIST_OWNER,
	LIST_RANK,
	LIST_ITEM,
	LIST_SCORE,
	LIST_RATING,
	FM_LIST_COLUMNS
};

/* What depends on the kind of lists. */
typedef struct FmListKind
{
	const char *owner; /* the columns' names */
	const char *item;
	int num_columns;		  /* how many columns lists have, from the first on */
	const char *column_names; /* those */
	const char *writer;		  /* the function that writes such lists */
} FmListKind;

extern const FmListKind *fm_list_kind(FmTargetKind kind);

/* Return the type of the owners' ids in a model. */
extern const FmIdType *fm_list_owner_type(FmTargetKind kind, const FmLoaded *loaded);

typedef struct FmLists
{
	MemoryContext context;
	const FmListKind *kind;
	FmIdType owner_type;
	FmIdType item_type;
	const FmLoaded *loaded;
	TupleDesc desc; /* of fm_lists_desc; ids have the model's types */
	int64 num_rows;

	/* in memory: the list of number o of `owners` is items[start[o]] to items[start[o + 1] - 1] */
	FmIdMap *owners;
	int64 *start;
	int64 start_capacity;
	FmListItem *items;
	int64 item_capacity;

	Tuplestorestate *store; /* all rows instead, when they have become too large for memory */
} FmLists;

/*
 * Begin without lists, in a context below the current one. The receiver takes them from a batch;
 * the model must stay pinned.
 */
extern FmLists *fm_lists_create(const FmLoaded *loaded, FmTargetKind kind);
extern FmListReceiver fm_lists_receiver(FmLists *lists, FmSeenCheck *check);

/* Move all rows to the tuplestore unless they are there already. */
extern void fm_lists_spill(FmLists *lists);

/* Return the type of rows of lists. */
extern TupleDesc fm_lists_desc(const FmListKind *kind, const FmIdType *owner_type,
							   const FmIdType *item_type);

/* Set a row of lists from an item. */
extern void fm_lists_set_row(Datum owner_id, int32 rank, Datum item_id, const FmListItem *item,
							 Datum values[FM_LIST_COLUMNS], bool nulls[FM_LIST_COLUMNS]);

/* Set a row of a list in memory. The ids belong to the lists. */
extern void fm_lists_row(const FmLists *lists, int32 owner, int32 rank,
						 Datum values[FM_LIST_COLUMNS], bool nulls[FM_LIST_COLUMNS]);

/* Return a hit of the scan as an item of the owner's list. */
extern FmListItem fm_list_item_of(const FmLoaded *loaded, const FmBatchUser *owner,
								  const FmHit *hit);

/* Return the length of an owner's list in memory. */
extern int32 fm_lists_length(const FmLists *lists, int32 owner);

extern void fm_lists_free(FmLists *lists);

#endif
