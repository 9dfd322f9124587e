/*
 * Procedures that work in steps and commit between them, if they may.
 *
 * A procedure may commit if it was called at the top level: not in a transaction block, in a
 * function or in a PL/pgSQL block with an exception clause. Otherwise all of its steps run in the
 * caller's transaction. The argument `commits` is what fm_steps_begin has returned.
 */
#ifndef FMTOPX_STEPS_H
#define FMTOPX_STEPS_H

#include "pg/compat.h"

#include "fmgr.h"
#include "pg/sql.h"

/* Connect to SPI. Return whether the procedure may commit. */
extern bool fm_steps_begin(FunctionCallInfo fcinfo);

/* Return the parent for memory contexts that must survive a commit. */
extern MemoryContext fm_steps_parent(bool commits);

/* If the procedure may commit, commit and begin a transaction with an active snapshot. */
extern void fm_steps_commit(bool commits);

/*
 * Do the same without an active snapshot, for a long computation. A snapshot taken in it does not
 * last: the transaction is READ COMMITTED, whatever the session's default.
 */
extern void fm_steps_commit_to_compute(bool commits);

typedef void (*FmStep)(void *state, const void *argument);

/*
 * Run a step in a subtransaction. Return NULL; or, if the step fails, roll it back and return the
 * error, in `context`.
 */
extern ErrorData *fm_attempt(FmStep step, void *state, const void *argument, MemoryContext context);

/*
 * Run a step in a subtransaction that waits for locks only for a moment. Return false if the step
 * fails; a cancel is raised. For what a view shows of the tables of others, who may have altered
 * or locked them. Not in parallel mode.
 */
extern bool fm_attempt_briefly(FmStep step, void *state);

/*
 * Return whether the server raised this error because the statement was cancelled or ran into a
 * timeout. The SQLSTATE alone does not tell: a trigger may raise any. Only the server raises one in
 * ProcessInterrupts, and neither RAISE nor a worker's message can claim that in its place.
 */
extern bool fm_is_cancel(const ErrorData *error);

#endif
