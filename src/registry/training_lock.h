/*
 * The training lock of a model. Its holder trains, drops or replaces the model; readers do not take
 * it.
 */
#ifndef FMTOPX_TRAINING_LOCK_H
#define FMTOPX_TRAINING_LOCK_H

#include "registry/model.h"

/*
 * Take the lock until the end of the transaction, or of the session. The session's outlives
 * commits, but not an error. A wait is reported (lock_wait.h).
 */
extern void fm_training_lock(const FmModel *model, bool for_session);

/* The same; but return false if another session holds the lock. */
extern bool fm_training_lock_at_once(const FmModel *model, bool for_session);

/* Return what is known of the process that holds the lock, in sentences, or NULL if none does. */
extern char *fm_training_lock_holder(const FmModel *model);

extern void fm_training_unlock(Oid version_table, bool for_session);

/*
 * Find a model by name and take its training lock until the end of the transaction; false if there
 * is none. An error unless the current user owns it. *model is as it is after the wait for the
 * lock.
 */
extern bool fm_model_lock(Oid schema, const char *name, MemoryContext context, FmModel *model);

#endif
