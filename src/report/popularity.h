/*
 * How popular items are, and lists with them.
 */
#ifndef FMTOPX_POPULARITY_H
#define FMTOPX_POPULARITY_H

#include "pg/compat.h"

#include "cache/loaded.h"

/* Return how many ratings an item had in the training; 0 if the version does not know. */
extern int64 fm_item_ratings(const FmLoaded *loaded, int32 item);

#endif
