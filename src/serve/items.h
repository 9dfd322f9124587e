/*
 * Items in questions: their ids, and sets of them.
 *
 * A set of items is a bitset (core/bitset.h) of their idx.
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

/*
 * Add to a set the known items of an array of ids, given in the form of the call. Returns the items
 * that were not in the set before, in the order given.
 */
extern int32 *fm_add_given_items(const FmServing *serving, ArrayType *given, uint64 *set,
								 int32 *count);

/* Make a set contain all items but these. */
extern void fm_set_all_but(const FmLoaded *loaded, uint64 *set, const int32 *items, int32 count);

#endif
