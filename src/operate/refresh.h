/*
 * What fm_refresh shares with what schedules it.
 */
#ifndef FMTOPX_REFRESH_H
#define FMTOPX_REFRESH_H

#include "pg/compat.h"

#include "fmgr.h"

/* What a refresh does when the model is being trained already. */
typedef enum FmOnConflict
{
	FM_CONFLICT_SKIP,
	FM_CONFLICT_WAIT,
	FM_CONFLICT_ERROR
} FmOnConflict;

/* Return the argument on_conflict; an error if it is none of the three. */
extern FmOnConflict fm_conflict_argument(FunctionCallInfo fcinfo, int argument);

#endif
