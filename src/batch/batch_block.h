/*
 * A block of users on its way through the scan.
 */
#ifndef FMTOPX_BATCH_BLOCK_H
#define FMTOPX_BATCH_BLOCK_H

#include "pg/compat.h"

#include "core/scan/best.h"

#include "batch/seen_all.h"
#include "serve/serving.h"

/* What all blocks of a batch have in common. */
typedef struct FmBlockShape
{
	int32 max_users;
	int32 length; /* of the lists */
	int32 num_factors;
	int32 num_items;
} FmBlockShape;

/* Users, then their hits; flat arrays, in memory that may be shared. */
typedef struct FmBlock
{
	int32 *count;	/* of users */
	int32 *idx;		/* an entry a user */
	float *queries; /* num_factors + 1 entries a user */
	int32 *seeds;	/* `length` items a user that are likely to be hits, or -1 */
	FmHit *hits;	/* `length` entries a user */
	int32 *counts;	/* of hits, an entry a user */
} FmBlock;

/* As many users as fit, with all that they need, into some megabytes. */
extern FmBlockShape fm_block_shape(const FmLoaded *loaded, int32 x);

extern Size fm_block_size(const FmBlockShape *shape);

/* A block in memory of that size, aligned to 64; nothing is written. */
extern FmBlock fm_block_at(const FmBlockShape *shape, char *memory);

/* A process's means to scan one block after the other. */
typedef struct FmBlockScanner FmBlockScanner;

/* `seen`, unless it is NULL, tells what is excluded. */
extern FmBlockScanner *fm_scanner_create(const FmBlockShape *shape, const FmScanMatrix *matrix,
										 FmSeenStream *seen, MemoryContext context);
extern void fm_scanner_run(FmBlockScanner *scanner, const FmBlock *block);

#endif
