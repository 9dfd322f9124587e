/*
 * Items in questions: their ids, and sets of them.
 *
 * A set of items is a bitmap over their idx.
 */
#ifndef FMTOPX_ITEMS_H
#define FMTOPX_ITEMS_H

#include "pg/compat.h"

#include "serve/serving.h"
#include "utils/array.h"

/* Return an item's id in the form of the call, in the call's memory context. */
extern Datum fm_serve_item_out(const FmServing *serving, int32 item);

/* Return the idx of the item with this id, given in the form of the call, or -1. */
extern int32 fm_serve_item(const FmServing *serving, Datum given);

/* Return an empty set. */
extern uint64 *fm_new_item_set(const FmLoaded *loaded);

static inline bool
fm_item_is_in(const uint64 *set, int32 item)
{
	return (set[item / 64] >> (item % 64)) & 1;
}

static inline void
fm_add_items(uint64 *set, const int32 *items, int32 count)
{
	for (int32 i = 0; i < count; i++)
		set[items[i] / 64] |= UINT64CONST(1) << (items[i] % 64);
}

/*
 * Add to a set the known items of an array of ids, given in the form of the call. Returns the items
 * that were not in the set before, in the order given.
 */
extern int32 *fm_add_given_items(const FmServing *serving, ArrayType *given, uint64 *set,
								 int32 *count);

/* Make a set contain all items but these. */
extern void fm_set_all_but(const FmLoaded *loaded, uint64 *set, const int32 *items, int32 count);

#endif
