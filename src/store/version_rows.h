/*
 * The rows of one version in a model's tables.
 *
 * A new version is invisible to readers until the registry points at it. SPI must be connected.
 */
#ifndef FMTOPX_VERSION_ROWS_H
#define FMTOPX_VERSION_ROWS_H

#include "registry/model.h"
#include "store/result.h"

/*
 * Insert the users, items, levels and matrix blocks of one version, as the current user. Creates
 * the table of levels, and sets its OID in *model, if there are levels and the model has no such
 * table yet.
 */
extern void fm_store_version(FmModel *model, Oid extension_schema, int version,
							 const FmResult *result);

/*
 * Insert the version's row into the version table, as the version activated last. The caller has
 * locked the model's pointer.
 */
extern void fm_store_version_row(const FmModel *model, int version, int64 stamp,
								 const FmResult *result);

/* Activate another version, under a new stamp. The caller has locked the model's pointer. */
extern void fm_store_activate(const FmModel *model, int version, int64 stamp);

/* Return whether a version is in the version table. */
extern bool fm_store_has_version(const FmModel *model, int version);

#endif
