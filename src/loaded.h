/*
 * A model version in memory, ready to serve.
 */
#ifndef FMTOPX_LOADED_H
#define FMTOPX_LOADED_H

#include "compat.h"

#include "core/scan.h"
#include "idmap.h"
#include "model.h"
#include "sql.h"

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
	Datum *item_ids;	  /* by idx */
	int64 *item_keys;	  /* the same as integers, ascending; NULL for other types */
	FmScanMatrix *matrix; /* by idx */

	FmPlan user_plan; /* (user_id, version) → w, v */
	FmPlan item_plan; /* (item_id, version) → idx */
	FmPlan seen_plan; /* see seen.c */
} FmLoaded;

/*
 * The loaded form of the model's active version, pinned until `user` (a memory context) is reset or
 * deleted. Must run as the model's owner, with SPI connected.
 */
extern FmLoaded *fm_loaded_get(const FmModel *model, bool read_only, MemoryContext user);

/* An idx read from a table, which its owner may have changed: an error unless the version has it. */
extern int32 fm_loaded_check_idx(const FmLoaded *loaded, int32 idx);

/* The idx of an item id given as an integer, or -1. The item type must be an integer. */
extern int32 fm_loaded_find_item(const FmLoaded *loaded, int64 item_id);

#endif
