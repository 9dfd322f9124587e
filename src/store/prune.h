/*
 * Deleting old versions from a model's tables.
 */
#ifndef FMTOPX_PRUNE_H
#define FMTOPX_PRUNE_H

#include "registry/model.h"
#include "storage/block.h"

/*
 * Keep this many versions: the two given, then the latest. Deletes the rows of the others from the
 * version table, so that these versions are unknown. Their rows in the other tables are left to
 * fm_store_prune.
 */
extern void fm_store_keep(const FmModel *model, int version, int previous_version,
						  int keep_versions);

/* Delete all rows of versions that are not in the version table. */
extern void fm_store_prune(const FmModel *model);

/* How far a pruning in steps has come. Starts as {0}. */
typedef struct FmPruning
{
	int table;
	BlockNumber block;
	BlockNumber num_blocks; /* of the table, counted before its first block */
} FmPruning;

/* Prune some blocks of one table; returns false when everything is done. */
extern bool fm_store_prune_step(const FmModel *model, FmPruning *position);

#endif
