/*
 * Filters: relations that say whom lists are for, and what may be in them.
 */
#ifndef FMTOPX_FILTER_H
#define FMTOPX_FILTER_H

#include "pg/compat.h"

#include "serve/serving.h"

/* Items of the model, by idx in ascending order. */
typedef struct FmItemFilter
{
	int32 count;
	int32 *items;
} FmItemFilter;

/*
 * Read the distinct ids of a relation's user column, which has the name of the model's. NULLs are
 * left out. It is read as the role that began the serving; what is wrong with it is an error.
 */
extern FmIdMap *fm_read_user_filter(const FmServing *serving, Oid relation);

/* Read the items of a relation's item column in the same way. Those unknown are left out. */
extern FmItemFilter *fm_read_item_filter(const FmServing *serving, Oid relation);

#endif
