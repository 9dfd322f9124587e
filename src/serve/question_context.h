/*
 * Context columns in questions.
 */
#ifndef FMTOPX_QUESTION_CONTEXT_H
#define FMTOPX_QUESTION_CONTEXT_H

#include "pg/compat.h"

#include "serve/user.h"

/* Check that an argument `context` is NULL or a JSON object; an error otherwise. */
extern void fm_check_context(FunctionCallInfo fcinfo, int argument);

/* Add the levels in an argument `context` to a user; an error for a column that the model lacks. */
extern void fm_add_context(const FmServing *serving, FunctionCallInfo fcinfo, int argument,
						   FmUserVector *user);

/*
 * Add one level of a context column, a text or NULL, to a user; a level that the model does not
 * know adds nothing. False if it does not know the column.
 */
extern bool fm_add_context_level(const FmServing *serving, const char *column, const char *level,
								 FmUserVector *user);

#endif
