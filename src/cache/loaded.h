/*
 * Model versions in memory, ready to serve.
 */
#ifndef FMTOPX_LOADED_H
#define FMTOPX_LOADED_H

#include "pg/compat.h"

#include "cache/image.h"
#include "cache/shared_cache.h"
#include "core/scan/scan_matrix.h"
#include "pg/id_map.h"
#include "pg/sql.h"
#include "registry/model.h"

typedef struct FmLoaded
{
	MemoryContext context;
	Oid matrix_table; /* with the stamp, this identifies the version */
	int64 stamp;
	FmShared shared;  /* where the image is; none: in the entry's context */
	bool uncommitted; /* the version was, when it was loaded */
	int pins;		  /* calls that are using it */
	uint64 hits;
	uint64 last_used;
	TimestampTz loaded_at;
	TimestampTz transaction; /* start of the last transaction that used it */

	FmIdType user_type;
	FmIdType item_type;
	const FmImage *image;

	/* of the image; what is by reference points into it */
	FmVersion version;
	FmListShape shape; /* of the vectors in the matrix, and of queries */
	FmPrior user_prior;
	FmPrior interest_prior;		/* of the users, in the interest head */
	FmAllPairs item_pairs;		/* of a ranking or an interest head */
	const FmScanMatrix *matrix; /* by idx */

	FmPlan user_plan; /* (user_id, version) → w, v */
	FmPlan item_plan; /* (item_id, version) → idx */
	FmPlan seen_plan; /* of serve/seen.c; the same holds for the next */
	FmPlan own_plan;
	FmPlan context_plan; /* of serve/question_context.c */
} FmLoaded;

/*
 * Return the version that *model points at, loaded if it was not yet. It is pinned until the memory
 * context `user` is reset or deleted. Must run as the model's owner, with SPI connected.
 */
extern FmLoaded *fm_loaded_get(const FmModel *model, bool read_only, MemoryContext user);

/*
 * Set *loaded to what an image alone says: no types of ids, and no plans. For parallel workers,
 * which map the image of their leader.
 */
extern void fm_loaded_of_image(const FmImage *image, FmLoaded *loaded);

/* Return an idx that was read from a table; raise an error unless the version has it. */
extern int32 fm_loaded_check_idx(const FmLoaded *loaded, int32 idx);

/* Return the id of an item, as the source types it. It lasts as long as the pin. */
extern Datum fm_loaded_item_id(const FmLoaded *loaded, int32 item);

#endif
