/*
 * A model's tables: made once, filled a version at a time.
 *
 *   fm_<model>_version  one row a version: b, the range of the ratings, the variance of the scores; and, for those
 *                       who have the tables but not the registry, how many users and items belong to it, its
 *                       stamp, and when it was activated: the largest number is the version being served
 *   fm_<model>_user     w and v of each user
 *   fm_<model>_item     w and v of each item
 *   fm_<model>_level    w and v of each level of the features, once there are any
 *   fm_<model>_matrix   the augmented item matrix in blocks of items, as fm_matrix
 *
 * `idx` numbers the users and the items of a version from 0 in the order of their ids (id_map.h); the
 * ids inside an fm_matrix are the items' idx.
 */
#ifndef FMTOPX_VERSION_ROWS_H
#define FMTOPX_VERSION_ROWS_H

#include "core/model/fold.h"
#include "core/train/solver.h"
#include "source/load_ratings.h"
#include "registry/model.h"
#include "storage/block.h"

/* Errors unless the name is one that tables can be named after. */
extern void fm_check_model_name(const char *name);

/* Create the tables in a schema, as the current user; sets the four OIDs in *model. As everything
 * below, needs SPI connected. */
extern void fm_store_create_tables(FmModel *model, Oid namespace, Oid extension_schema,
								   const FmIdType *user_type, const FmIdType *item_type);

/* Errors if the ids now read have another type than the tables were made for. */
extern void fm_store_check_id_types(const FmModel *model, const FmIdType *user_type,
									const FmIdType *item_type);

/* A solver's result with the maps from its canonical indices back to the ids. */
typedef struct FmResult
{
	const FmParameters *parameters;
	const FmLoad *load;
	const int32 *user_canonical; /* idx → canonical index; NULL: they are the same */
	const int32 *item_canonical;
	const int64 *digest[2];		/* by idx: of the ratings, see fm_digest_ratings */
	const FmFeatures *features; /* of both sides, or NULL */
	double rating_mean;
	double noise_variance; /* of a rating around its score; so for the next two, for folding in */
	FmPrior user_prior;
	FmPrior item_prior;
	FmAllPairs item_pairs; /* of a ranking; gram NULL: it is none */
} FmResult;

/*
 * Insert the users, items and levels of one version, as the current user. SPI connected. Creates the table of levels,
 * and sets its OID in *model, if there are levels and it is not there yet.
 */
extern void fm_store_version(FmModel *model, Oid extension_schema, int version,
							 const FmResult *result);

/* Insert the levels of another version as those of this one; returns how many they are. */
extern int64 fm_store_copy_levels(const FmModel *model, int version, int from_version);

/* Insert its row into the version table, as the one activated last. The model's pointer must be locked. */
extern void fm_store_version_row(const FmModel *model, int version, int64 stamp,
								 const FmResult *result);

/* Activate another version, under a new stamp. The model's pointer must be locked. */
extern void fm_store_activate(const FmModel *model, int version, int64 stamp);

/* Set which version the version table says is served under the active snapshot, to 0 if none; needs no SPI. */
extern void fm_store_read_pointer(FmModel *model);

/*
 * Keep so many versions, these two first, then the latest: the others' rows in the version table are
 * deleted, which makes them unknown. The rest of them is left to the two functions below.
 */
extern void fm_store_keep(const FmModel *model, int version, int previous_version,
						  int keep_versions);

/* Delete all rows of versions that are not in the version table. */
extern void fm_store_prune(const FmModel *model);

/* The same in steps: false when all is done. The position is all zero to begin with. */
typedef struct FmPruning
{
	int table;
	BlockNumber block;
	BlockNumber num_blocks; /* of the table, when its first block was looked at */
} FmPruning;

extern bool fm_store_prune_step(const FmModel *model, FmPruning *position);

/* Whether a version is in the version table. */
extern bool fm_store_has_version(const FmModel *model, int version);

/* Drop the tables that are left, as the current user. */
extern void fm_store_drop_tables(const FmModel *model);

#endif
