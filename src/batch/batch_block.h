/*
 * A block of users on its way through the scan.
 */
#ifndef FMTOPX_BATCH_BLOCK_H
#define FMTOPX_BATCH_BLOCK_H

#include "pg/compat.h"

#include "core/scan/best.h"
#include "core/scan/scan_part.h"

#include "batch/receiver.h"
#include "batch/seen_all.h"
#include "serve/serving.h"

/* What all blocks of a batch have in common. Lists have `length` rows at most. */
typedef struct FmBlockShape
{
	int32 max_users;
	int32 length;
	int32 query_length;
	int32 num_items; /* of the model */
	int num_factors;
	int interest_factors;
	double novelty;
	bool exclude_seen;
	Size room; /* bytes for the ratings of users who are folded in; 0: there are none */
} FmBlockShape;

/* What the scanner of a block does for a user. */
typedef enum FmBlockUse
{
	FM_USE_QUERY,	 /* the query is there, and the seen items are in the stream */
	FM_USE_SET,		 /* the query is there; the block's ratings are the set of seen items instead */
	FM_USE_RATINGS,	 /* fold in the ratings */
	FM_USE_EXPECTED, /* the same, around what features say */
} FmBlockUse;

/*
 * Arrays with entries for each user: first what the scan reads, then what it writes. They are in
 * memory that may be shared.
 */
typedef struct FmBlock
{
	int32 *count;	/* of users */
	int32 *idx;		/* ascending */
	float *queries; /* × query_length */
	int32 *seeds;	/* × length: items that are likely to be hits, or -1 */
	FmHit *hits;	/* × length */
	int32 *counts;	/* of hits */

	/* if some users are folded in; vectors are of these alone */
	int32 *uses;
	int32 *start; /* of the user's ratings; one more entry marks the end */
	FmOwnRating *ratings;
	double *bases; /* × 2: of the rating head, and of the interest head */
	float *v;	   /* × num_factors */
	float *interest_v;
} FmBlock;

/*
 * Return a shape with as many users as fit, with all they need, into a few megabytes. `num_items`
 * is how many may be in lists.
 */
extern FmBlockShape fm_block_shape(const FmLoaded *loaded, const FmListRules *rules,
								   int32 num_items, bool folds);

extern Size fm_block_size(const FmBlockShape *shape);

/* Return the block in memory of that size, aligned to 64 bytes. Writes nothing. */
extern FmBlock fm_block_at(const FmBlockShape *shape, char *memory);

/* Return the vector of a user who is folded in. It points into the block. */
extern FmUserVector fm_block_vector(const FmBlockShape *shape, const FmBlock *block, int32 user);

/* What a process needs to scan blocks, one after the other. */
typedef struct FmBlockScanner FmBlockScanner;

/* What a scanner works with. Of `loaded` it uses what fm_loaded_of_image sets. */
typedef struct FmScanSource
{
	const FmLoaded *loaded;
	const FmScanPart *part; /* of the matrix, if only some items may be in lists, or NULL */
	FmContext context;
	FmSeenStream *seen; /* to exclude, or NULL */
	int32 num_users;	/* of the batch, for the leader's progress */
} FmScanSource;

extern FmBlockScanner *fm_scanner_create(const FmBlockShape *shape, const FmScanSource *source,
										 MemoryContext context);
extern void fm_scanner_run(FmBlockScanner *scanner, const FmBlock *block);

#endif
