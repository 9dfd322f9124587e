/*
 * Vacuuming tables before they are written to, so that the rows of this refresh can reuse the space
 * of those that the last one deleted, without waiting for autovacuum.
 *
 * VACUUM commits by itself, which is not possible in a procedure, so a background worker runs it.
 * The worker connects as the bootstrap superuser, as an autovacuum worker does, because the
 * tables' owner may be a role that cannot log in. The command itself acts as the owner of each
 * table, under a security-restricted operation. The worker cannot be made to do anything else: it
 * only gets OIDs of tables, from a backend that has checked them.
 *
 * Locking: ShareUpdateExclusiveLock on one table at a time, which does not conflict with readers
 * or writers. Autovacuum yields after deadlock_timeout; other holders of the lock may not yield,
 * and then the table is left to autovacuum. Empty pages at the end of a table are not truncated,
 * because that would lock out readers. Memory: the worker's own.
 */
#include "operate/vacuum.h"

#include "access/xact.h"
#include "commands/vacuum.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* How many tables fit into the worker's entry. */
#define TABLES_A_WORKER ((int) (BGW_EXTRALEN / sizeof(Oid)))

/* lock_timeout: longer than the default of deadlock_timeout, after which autovacuum yields. */
#define PATIENCE "2s"

bool fm_vacuum_enabled = true;

static void
terminate_worker(int code, Datum handle)
{
	TerminateBackgroundWorker((BackgroundWorkerHandle *) DatumGetPointer(handle));
}

/* Start a worker that vacuums some tables, and wait for its end; false if no worker is free. */
static bool
run_worker(const Oid *tables, int num_tables)
{
	BackgroundWorker worker = {.bgw_name = "fmtopx vacuum",
							   .bgw_type = "fmtopx vacuum",
							   .bgw_flags = BGWORKER_SHMEM_ACCESS |
											BGWORKER_BACKEND_DATABASE_CONNECTION,
							   .bgw_start_time = BgWorkerStart_RecoveryFinished,
							   .bgw_restart_time = BGW_NEVER_RESTART,
							   .bgw_library_name = "$libdir/fmtopx",
							   .bgw_function_name = "fm_vacuum_worker",
							   .bgw_main_arg = ObjectIdGetDatum(MyDatabaseId),
							   .bgw_notify_pid = MyProcPid};
	BackgroundWorkerHandle *handle;

	memcpy(worker.bgw_extra, tables, num_tables * sizeof(Oid));
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		return false;
	PG_ENSURE_ERROR_CLEANUP(terminate_worker, PointerGetDatum(handle));
	{
		(void) WaitForBackgroundWorkerShutdown(handle);
	}
	PG_END_ENSURE_ERROR_CLEANUP(terminate_worker, PointerGetDatum(handle));
	pfree(handle);
	return true;
}

void
fm_vacuum(const Oid *tables, int num_tables)
{
	if (!fm_vacuum_enabled)
		return;
	for (int first = 0; first < num_tables; first += TABLES_A_WORKER)
		if (!run_worker(tables + first, Min(num_tables - first, TABLES_A_WORKER)))
		{
			ereport(DEBUG1, (errmsg_internal(
								"no background worker is free to vacuum: left to autovacuum")));
			return;
		}
}

static DefElem *
option(const char *name, const char *value)
{
	return makeDefElem(pstrdup(name), (Node *) makeString(pstrdup(value)), -1);
}

/*
 * Vacuum a table. VACUUM ends the transaction that it is called in, and leaves a new one. A table
 * given by OID that does not exist is skipped silently. Without index_cleanup, VACUUM would keep
 * the index entries of a few dead rows, and the indexes would grow.
 */
static void
vacuum_table(Oid table)
{
	VacuumStmt *statement = makeNode(VacuumStmt);

	statement->is_vacuumcmd = true;
	statement->options = list_make3(option("truncate", "off"), option("index_cleanup", "on"),
									makeDefElem("parallel", (Node *) makeInteger(0), -1));
	statement->rels = list_make1(makeVacuumRelation(NULL, table, NIL));
	ExecVacuum(make_parsestate(NULL), statement, true);
}

/* Write the error with a table to the server's log, unless the table was locked. */
static void
log_failure(const char *name)
{
	ErrorData *error;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(PortalContext);
	error = CopyErrorData();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(PortalContext);
	RESUME_INTERRUPTS();
	error->elevel = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ? DEBUG1 : LOG;
	error->message = psprintf("table \"%s\" was not vacuumed: %s", name, error->message);
	ThrowErrorData(error);
}

static void
try_table(Oid table)
{
	char *name;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	/* the command keeps there what must outlive its commits */
	MemoryContextSwitchTo(PortalContext);
	name = get_rel_name(table);
	if (name != NULL)
		pgstat_report_activity(STATE_RUNNING, psprintf("VACUUM %s", name));
	PG_TRY();
	{
		if (name != NULL)
			vacuum_table(table);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		log_failure(name);
	}
	PG_END_TRY();
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextReset(PortalContext);
}

/*
 * Override the database's settings, as an autovacuum worker does: index expressions must not
 * resolve names by search_path, and neither a timeout nor a missing standby may stop the worker.
 */
static void
isolate_from_settings(void)
{
	SetConfigOption("search_path", "", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("zero_damaged_pages", "false", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("idle_in_transaction_session_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	if (synchronous_commit > SYNCHRONOUS_COMMIT_LOCAL_FLUSH)
		SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", PATIENCE, PGC_SUSET, PGC_S_OVERRIDE);
}

extern PGDLLEXPORT void fm_vacuum_worker(Datum database);

/* The main function of the worker. */
void
fm_vacuum_worker(Datum database)
{
	Oid tables[TABLES_A_WORKER];

	memcpy(tables, MyBgworkerEntry->bgw_extra, sizeof(tables));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
	isolate_from_settings();
	PortalContext = AllocSetContextCreate(TopMemoryContext, "fmtopx vacuum",
										  ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < TABLES_A_WORKER && OidIsValid(tables[i]); i++)
		try_table(tables[i]);
}
