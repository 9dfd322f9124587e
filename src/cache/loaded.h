/*
 * A model version in memory, ready to serve.
 */
#ifndef FMTOPX_LOADED_H
#define FMTOPX_LOADED_H

#include "pg/compat.h"

#include "core/scan/scan_matrix.h"
#include "pg/id_map.h"
#include "cache/image.h"
#include "registry/model.h"
#include "cache/shared_cache.h"
#include "pg/sql.h"

typedef struct FmLoaded
{
	MemoryContext context;
	Oid matrix_table; /* with stamp: which version of which model */
	int64 stamp;
	FmShared shared;  /* where the image is; none: in the context */
	bool uncommitted; /* the version was when it was loaded */
	int pins;		  /* calls that are using it */
	uint64 hits;
	uint64 last_used;
	TimestampTz loaded_at;
	TimestampTz transaction; /* start of the last one that used it */

	FmIdType user_type;
	FmIdType item_type;
	const FmImage *image;

	/* of the image; what is by reference points into it */
	FmVersion version;
	FmPrior user_prior;
	FmAllPairs item_pairs;		/* of a ranking */
	const FmScanMatrix *matrix; /* by idx */

	FmPlan user_plan; /* (user_id, version) → w, v */
	FmPlan item_plan; /* (item_id, version) → idx */
	FmPlan seen_plan; /* see seen.c; so for the next */
	FmPlan own_plan;
	FmPlan context_plan; /* see question_context.c */
} FmLoaded;

/*
 * The loaded form of the model's active version, pinned until `user` (a memory context) is reset or
 * deleted. Must run as the model's owner, with SPI connected.
 */
extern FmLoaded *fm_loaded_get(const FmModel *model, bool read_only, MemoryContext user);

/*
 * An idx read from a table, which its owner may have changed: an error unless the version has it.
 */
extern int32 fm_loaded_check_idx(const FmLoaded *loaded, int32 idx);

/* The id of an item, as the source types it; it lasts as long as the pin. */
extern Datum fm_loaded_item_id(const FmLoaded *loaded, int32 item);

#endif
