/*
 * Tables that hold every user's list.
 */
#ifndef FMTOPX_TARGET_H
#define FMTOPX_TARGET_H

#include "compat.h"

/*
 * Rewrite an existing target with the active version's lists, in the name of its owner, who must be
 * able to read the model. Returns the number of rows it now holds.
 */
extern int64 fm_rewrite_target(FunctionCallInfo fcinfo, const char *model, Oid target, int32 x,
							   bool exclude_seen);

#endif
