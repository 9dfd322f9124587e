/*
 * The table of levels: what each level of a feature or context adds to w and v of its users or
 * items.
 */
#ifndef FMTOPX_LEVELS_H
#define FMTOPX_LEVELS_H

#include "registry/model.h"
#include "store/result.h"

/*
 * Insert the levels of a version, if it has any. Creates the table when the model has none yet, and
 * sets its OID in *model.
 */
extern void fm_store_levels(FmModel *model, const FmResult *result);

/* Insert copies of the levels of another version, and return how many there are. */
extern int64 fm_store_copy_levels(const FmModel *model, int version, int from_version);

#endif
