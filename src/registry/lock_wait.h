/*
 * Waiting for a lock on a model, and saying so.
 */
#ifndef FMTOPX_LOCK_WAIT_H
#define FMTOPX_LOCK_WAIT_H

#include "pg/compat.h"

#include "storage/lock.h"

/*
 * Take an ExclusiveLock. If another session holds it, raise a NOTICE that names the session and
 * what it does, show the wait in fm_progress, and wait, as long as lock_timeout allows. `action` is
 * what holders of this lock do with the model, for example "created".
 */
extern void fm_lock_or_wait(const LOCKTAG *tag, bool for_session, const char *model,
							const char *action);

/*
 * Raise that NOTICE for a lock that could not be taken at once. Return the process ID of the
 * holder, or 0.
 */
extern int fm_report_wait(const LOCKTAG *tag, const char *model, const char *action);

/*
 * Return " by process N", or "" if the session that holds the ExclusiveLock has gone. *detail
 * becomes a sentence about its transaction, or NULL if the current user may not see that. Both are
 * in the current context.
 */
extern char *fm_lock_holder(const LOCKTAG *tag, int *pid, char **detail);

#endif
