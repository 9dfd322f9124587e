/*
 * Procedures that work in steps, with commits in between where they were called at the top level.
 */
#ifndef FMTOPX_STEPS_H
#define FMTOPX_STEPS_H

#include "pg/compat.h"

#include "fmgr.h"
#include "pg/sql.h"

/*
 * Connect to SPI; whether the procedure may commit. What is to outlive a commit must be in a
 * context below fm_steps_parent().
 */
extern bool fm_steps_begin(FunctionCallInfo fcinfo);
extern MemoryContext fm_steps_parent(bool commits);

/* Commit if it may, and go on with a snapshot. */
extern void fm_steps_commit(bool commits);

/* The same, but without a snapshot, and with none that would stay once it has been taken. */
extern void fm_steps_commit_to_compute(bool commits);

typedef void (*FmStep)(void *state, const void *argument);

/*
 * Run a step in a subtransaction. On failure it is undone and the error returned, in `context`,
 * else NULL.
 */
extern ErrorData *fm_attempt(FmStep step, void *state, const void *argument, MemoryContext context);

/*
 * Return whether the server raised this error because the statement was cancelled or ran into a
 * timeout. The SQLSTATE alone does not tell: a trigger may raise any. Only the server raises one in
 * ProcessInterrupts, and neither RAISE nor a worker's message can claim that in its place.
 */
extern bool fm_is_cancel(const ErrorData *error);

#endif
