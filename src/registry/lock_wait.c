/*
 * Waiting for a lock on a model, and saying so.
 *
 * A client without autocommit can leave a training uncommitted for hours. A session that waits for
 * it must learn that, and which session to look at. Everybody is shown the process ID, as in
 * pg_locks; only those to whom pg_stat_activity shows the state of the session are told about it.
 * Locking: none but the lock itself. Memory: the current context.
 */
#include "registry/lock_wait.h"

#include "registry/progress.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/timestamp.h"

/* Find the process that holds the lock: 0 is a prepared transaction. Return false if none does. */
static bool
find_holder(const LOCKTAG *tag, int *pid)
{
	LockData *locks = GetLockStatusData();

	for (int i = 0; i < locks->nelements; i++)
	{
		const LockInstanceData *lock = &locks->locks[i];

		if (memcmp(&lock->locktag, tag, sizeof(LOCKTAG)) == 0 &&
			(lock->holdMask & LOCKBIT_ON(ExclusiveLock)) != 0)
		{
			*pid = lock->pid;
			return true;
		}
	}
	return false;
}

static const PgBackendStatus *
find_backend(int pid)
{
	int num_backends = pgstat_fetch_stat_numbackends();

	for (int i = 1; i <= num_backends; i++)
	{
		const PgBackendStatus *entry = &fm_local_backend_entry(i)->backendStatus;

		if (entry->st_procpid == pid)
			return entry;
	}
	return NULL;
}

static char *
timestamp_text(TimestampTz timestamp)
{
	return DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(timestamp)));
}

/* Return a sentence about the transaction of a backend, or NULL if there is nothing to be told. */
static char *
describe_transaction(int pid)
{
	const PgBackendStatus *entry = find_backend(pid);

	if (entry == NULL || !fm_may_see_backend(entry))
		return NULL;
	if (entry->st_state == STATE_IDLEINTRANSACTION ||
		entry->st_state == STATE_IDLEINTRANSACTION_ABORTED)
		return psprintf("It has been idle in transaction since %s.",
						timestamp_text(entry->st_state_start_timestamp));
	if (entry->st_xact_start_timestamp == 0)
		return NULL;
	return psprintf("Its transaction began at %s.", timestamp_text(entry->st_xact_start_timestamp));
}

char *
fm_lock_holder(const LOCKTAG *tag, int *pid, char **detail)
{
	*pid = 0;
	*detail = NULL;
	if (!find_holder(tag, pid))
		return "";
	if (*pid == 0)
	{
		*detail = "It has been prepared for a two-phase commit; see pg_prepared_xacts.";
		return " by a prepared transaction";
	}
	*detail = describe_transaction(*pid);
	return psprintf(" by process %d", *pid);
}

int
fm_report_wait(const LOCKTAG *tag, const char *model, const char *action)
{
	int pid;
	char *detail;
	char *holder = fm_lock_holder(tag, &pid, &detail);

	ereport(NOTICE,
			(errmsg("model \"%s\" is being %s%s: waiting for that to end", model, action, holder),
			 detail != NULL ? errdetail_internal("%s", detail) : 0,
			 errhint("What it holds is released when its transaction ends. Set lock_timeout to "
					 "limit the wait.")));
	return pid;
}

void
fm_lock_or_wait(const LOCKTAG *tag, bool for_session, const char *model, const char *action)
{
	if (LockAcquire(tag, ExclusiveLock, for_session, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		fm_progress_waiting(model, fm_report_wait(tag, model, action));
		(void) LockAcquire(tag, ExclusiveLock, for_session, false);
		fm_progress_end();
	}
	AcceptInvalidationMessages();
}
