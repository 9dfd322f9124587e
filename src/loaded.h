/*
 * A model version in memory, ready to serve.
 */
#ifndef FMTOPX_LOADED_H
#define FMTOPX_LOADED_H

#include "compat.h"

#include "core/scan.h"
#include "executor/spi.h"
#include "idmap.h"
#include "model.h"

typedef struct FmLoaded
{
	MemoryContext context;
	Oid matrix_table; /* with stamp: which version of which model */
	int64 stamp;
	int pins; /* calls that are using it */
	uint64 last_used;

	int version;
	int num_factors;
	double b;
	float rating_min;
	float rating_max;
	double rating_mean;

	FmIdType user_type;
	FmIdType item_type;
	int32 num_items;
	Datum *item_ids;	/* by idx */
	int64 *item_keys;	/* the same as integers, ascending; NULL for other types */
	FmScanMatrix *matrix; /* by idx */

	SPIPlanPtr user_plan; /* (user_id, version) → w, v */
	SPIPlanPtr item_plan; /* (item_id[], version) → idx */
	SPIPlanPtr seen_plan; /* see seen.c; NULL until it is first needed */
	char *plan_names;	  /* of the relations in the plans, which are parsed by name */
} FmLoaded;

/*
 * The loaded form of the model's active version, pinned until `user` (a memory context) is reset or
 * deleted. Must run as the model's owner, with SPI connected.
 */
extern FmLoaded *fm_loaded_get(const FmModel *model, bool read_only, MemoryContext user);

/* The idx of an item id given as an integer, or -1. The item type must be an integer. */
extern int32 fm_loaded_find_item(const FmLoaded *loaded, int64 item_id);

/* The idx given, read from the item table just now; an error if the loaded version has no such item. */
extern int32 fm_loaded_check_item(const FmLoaded *loaded, int32 item);

#endif
