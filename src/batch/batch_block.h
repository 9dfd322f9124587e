/*
 * A block of users on its way through the scan.
 */
#ifndef FMTOPX_BATCH_BLOCK_H
#define FMTOPX_BATCH_BLOCK_H

#include "pg/compat.h"

#include "core/scan/best.h"

#include "batch/receiver.h"
#include "batch/seen_all.h"
#include "serve/serving.h"

/* What all blocks of a batch have in common. Lists have `length` rows at most. */
typedef struct FmBlockShape
{
	int32 max_users;
	int32 length;
	int32 query_length;
	int32 num_items;
	double novelty;
} FmBlockShape;

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
} FmBlock;

/* Return a shape with as many users as fit, with all they need, into a few megabytes. */
extern FmBlockShape fm_block_shape(const FmLoaded *loaded, const FmListRules *rules);

extern Size fm_block_size(const FmBlockShape *shape);

/* Return the block in memory of that size, aligned to 64 bytes. Writes nothing. */
extern FmBlock fm_block_at(const FmBlockShape *shape, char *memory);

/* What a process needs to scan blocks, one after the other. */
typedef struct FmBlockScanner FmBlockScanner;

/* Create a scanner. It excludes the items of `seen`, unless that is NULL. */
extern FmBlockScanner *fm_scanner_create(const FmBlockShape *shape, const FmScanMatrix *matrix,
										 FmSeenStream *seen, MemoryContext context);
extern void fm_scanner_run(FmBlockScanner *scanner, const FmBlock *block);

#endif
