/*
 * Arguments that several SQL functions share.
 */
#ifndef FMTOPX_ARGUMENTS_H
#define FMTOPX_ARGUMENTS_H

#include "pg/compat.h"

#include "fmgr.h"

/* Raise an error if the argument is NULL. The message calls it `name`. */
extern void fm_require_argument(FunctionCallInfo fcinfo, int argument, const char *name);

/*
 * Return the number of rows wanted, a bigint; an error if it is NULL or negative. More than a model
 * can have of users or items means all of them.
 */
extern int32 fm_x_argument(FunctionCallInfo fcinfo, int argument);

/* Return the name of a model to alter or create, which has no default. */
extern char *fm_model_name_argument(FunctionCallInfo fcinfo, int argument);

/*
 * Return the schema that an argument names, or InvalidOid for NULL. It is an error if there is no
 * such schema.
 */
extern Oid fm_schema_argument(FunctionCallInfo fcinfo, int argument);

#endif
