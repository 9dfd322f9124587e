/*
 * The rows of one version in a model's tables, except for its row in the version table (version.h).
 */
#ifndef FMTOPX_VERSION_ROWS_H
#define FMTOPX_VERSION_ROWS_H

#include "registry/model.h"
#include "store/result.h"

/*
 * Insert the users, items, levels and matrix blocks of one version, as the current user. Creates
 * the table of levels, and sets its OID in *model, if there are levels and the model has no such
 * table yet. SPI must be connected.
 */
extern void fm_store_version_rows(FmModel *model, const FmResult *result);

#endif
