/*
 * Arguments that several SQL functions have.
 */
#ifndef FMTOPX_ARGUMENTS_H
#define FMTOPX_ARGUMENTS_H

#include "pg/compat.h"

#include "fmgr.h"

/* An error unless the argument is there; `name` is what the message calls it. */
extern void fm_require_argument(FunctionCallInfo fcinfo, int argument, const char *name);

/* How many rows are wanted: at least 0. */
extern int32 fm_x_argument(FunctionCallInfo fcinfo, int argument);

/* The name of a model that is to be altered or made, which has no default. */
extern char *fm_model_name_argument(FunctionCallInfo fcinfo, int argument);

#endif
