/*
 * The items of a model in the plane, for a map.
 */
#ifndef FMTOPX_ITEM_MAP_H
#define FMTOPX_ITEM_MAP_H

#include "pg/compat.h"

#include "serve/serving.h"

typedef struct FmMapItem
{
	char *id; /* as text */
	const char *title;
	int64 ratings; /* in the training; 0 if the version does not know */
	double x;
	double y;
} FmMapItem;

/* How much of what the vectors differ by the two axes show. */
typedef struct FmItemMap
{
	FmMapItem *items; /* most ratings first */
	int count;		  /* 0: there are too few items or factors for a map */
	double shown;
} FmItemMap;

/* Place the `most` items with the most ratings, in the current memory context. */
extern FmItemMap fm_item_map(const FmServing *serving, int most);

#endif
