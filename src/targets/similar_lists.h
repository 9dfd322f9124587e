/*
 * The lists of similar items of all items.
 */
#ifndef FMTOPX_SIMILAR_LISTS_H
#define FMTOPX_SIMILAR_LISTS_H

#include "pg/compat.h"

#include "batch/receiver.h"
#include "serve/filter.h"
#include "serve/serving.h"

/*
 * Compute what fm_similar_items returns for each of the filter's items (NULL: all items), and of
 * these alone. Hand each list to the receiver, whose users are the items. Return false if the
 * receiver refused.
 */
extern bool fm_similar_lists(const FmServing *serving, const FmItemFilter *filter, int32 x,
							 const FmListReceiver *receiver);

#endif
