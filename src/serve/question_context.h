/*
 * Context columns in questions.
 */
#ifndef FMTOPX_QUESTION_CONTEXT_H
#define FMTOPX_QUESTION_CONTEXT_H

#include "pg/compat.h"

#include "serve/user.h"
#include "utils/jsonb.h"

/*
 * A context as it adds to users: for each of its levels that the model knows, w and then v, in the
 * order in which they are added. All zero: no context.
 */
typedef struct FmContext
{
	int32 count;
	float *levels; /* × (num_factors + 1) */
} FmContext;

/* Check that an argument `context` is NULL or a JSON object; an error otherwise. */
extern void fm_check_context(FunctionCallInfo fcinfo, int argument);

/*
 * Read the levels that a context (or NULL) names, in the current context; an error for a column
 * that the model lacks. A level that the model does not know adds nothing.
 */
extern FmContext fm_read_context(const FmServing *serving, Jsonb *context);

/* Add a context to a user. */
extern void fm_context_add(const FmLoaded *loaded, const FmContext *context, FmUserVector *user);

/* Add the levels in an argument `context` to a user. */
extern void fm_add_context(const FmServing *serving, FunctionCallInfo fcinfo, int argument,
						   FmUserVector *user);

/*
 * Add one level of a context column, a text or NULL, to a user; a level that the model does not
 * know adds nothing. False if it does not know the column.
 */
extern bool fm_add_context_level(const FmServing *serving, const char *column, const char *level,
								 FmUserVector *user);

#endif
