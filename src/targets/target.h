/*
 * Tables of lists.
 */
#ifndef FMTOPX_TARGET_H
#define FMTOPX_TARGET_H

#include "pg/compat.h"

#include "fmgr.h"
#include "registry/registry_targets.h"

/*
 * Rewrite an existing table of lists with the lists of the active version, acting as the table's
 * owner, who must be able to read the model. Return the number of rows that the table then holds.
 */
extern int64 fm_rewrite_target(FunctionCallInfo fcinfo, const char *model, const FmTarget *target);

#endif
