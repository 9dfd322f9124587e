/*
 * Jobs of pg_cron that refresh models: fm_schedule, fm_unschedule, and the rows of fm_schedules.
 *
 * pg_cron may be absent, and keeps all jobs of a server in one database. So its objects are looked
 * up when they are needed. The job of a model is found by its name among those of this database.
 *
 * Roles: a job is made as the caller, who must own the model, and runs as that role. The policies
 * of pg_cron hide the jobs of other roles, so all are read and removed as the owner of its tables.
 * Everybody may give a job any name: a job is the model's only if its role could refresh the model.
 *
 * Locking: that of pg_cron's statements. Memory: the context of the call.
 */
#include "operate/schedule.h"

#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "operate/refresh.h"
#include "pg/arguments.h"
#include "pg/sql.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "registry/model.h"
#include "replication/logicallauncher.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(fm_schedule);
PG_FUNCTION_INFO_V1(fm_unschedule);
PG_FUNCTION_INFO_V1(fm_schedule_rows);

#define JOB_PREFIX "fmtopx: "

enum
{
	ARG_MODEL,
	ARG_SCHEDULE,
	ARG_ON_CONFLICT
};

static char *
job_name(const char *model)
{
	return psprintf(JOB_PREFIX "%s", model);
}

/* Return whether the server runs pg_cron. */
static bool
cron_is_loaded(void)
{
	const char *libraries = GetConfigOption("shared_preload_libraries", true, false);

	return libraries != NULL && strstr(libraries, "pg_cron") != NULL;
}

/* Return the table of the jobs, or InvalidOid: jobs are not kept in this database. */
static Oid
jobs_table(void)
{
	if (!cron_is_loaded() || !OidIsValid(get_extension_oid("pg_cron", true)))
		return InvalidOid;
	return get_relname_relid("job", get_namespace_oid("cron", true));
}

/*
 * Raise an error unless jobs are kept in this database. `elsewhere` is what to run in the database
 * where they are kept.
 */
static void
check_cron(const char *elsewhere)
{
	const char *here = get_database_name(MyDatabaseId);
	const char *home = GetConfigOption("cron.database_name", true, false);

	if (!cron_is_loaded())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_cron is not loaded into this server"),
				 errhint("Install pg_cron, add it to shared_preload_libraries, set "
						 "cron.database_name = '%s', restart the server, and run CREATE EXTENSION "
						 "pg_cron. Or let any other scheduler call fm_refresh.",
						 here)));
	if (home != NULL && strcmp(home, here) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_cron keeps its jobs in database \"%s\", not in \"%s\"", home, here),
				 errdetail("Its setting cron.database_name says so."),
				 errhint("In that database, run: %s", elsewhere)));
	if (!OidIsValid(jobs_table()))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("extension \"pg_cron\" does not exist in database \"%s\"", here),
						errhint("Let a superuser run: CREATE EXTENSION pg_cron")));
}

/* Raise an error unless a role may schedule jobs, and pg_cron can run them as that role. */
static void
check_role(Oid role)
{
	const char *name = GetUserNameFromId(role, false);
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool can_log_in = HeapTupleIsValid(tuple) && ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (!can_log_in)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_cron cannot run jobs as role \"%s\", which may not log in", name),
				 errhint("Call fm_schedule as a member of that role who may.")));
	if (fm_namespace_aclcheck(get_namespace_oid("cron", false), role, ACL_USAGE) != ACLCHECK_OK)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for schema %s", "cron"),
						errhint("Let a superuser run: GRANT USAGE ON SCHEMA cron TO %s",
								quote_identifier(name))));
}

/* Return whether the process is there that starts the jobs. */
static bool
launcher_runs(void)
{
	int num_backends = pgstat_fetch_stat_numbackends();

	for (int i = 1; i <= num_backends; i++)
	{
		int pid = fm_local_backend_entry(i)->backendStatus.st_procpid;
		const char *type = GetBackgroundWorkerTypeByPid(pid);

		if (type != NULL && strncmp(type, "pg_cron", strlen("pg_cron")) == 0)
			return true;
	}
	return false;
}

static bool
setting_is(const char *name, const char *value)
{
	const char *set = GetConfigOption(name, true, false);

	return set != NULL && strcmp(set, value) == 0;
}

/* Warn if the server's settings keep all jobs from running. */
static void
warn_of_settings(void)
{
	int launchers = 1 + (max_logical_replication_workers > 0);

	if (!launcher_runs())
		ereport(WARNING, (errmsg("the launcher of pg_cron is not running, so the job will not run"),
						  errhint("The server's log may say why. It needs a background worker: see "
								  "max_worker_processes.")));
	else if (setting_is("cron.use_background_workers", "on") && max_worker_processes <= launchers)
		ereport(WARNING,
				(errmsg("no background worker is left to run the job"),
				 errhint("Increase max_worker_processes, which is %d.", max_worker_processes)));
	if (setting_is("cron.max_running_jobs", "0"))
		ereport(WARNING, (errmsg("cron.max_running_jobs is 0, so the job will not run")));
	if (setting_is("cron.launch_active_jobs", "off"))
		ereport(WARNING, (errmsg("cron.launch_active_jobs is off, so the job will not run")));
}

/* Return whether a job that runs as a role is that of a model of an owner. */
static bool
may_refresh(const char *role, Oid owner)
{
	Oid oid = get_role_oid(role, true);

	return OidIsValid(oid) && has_privs_of_role(oid, owner);
}

/* Remove the jobs of a model (schedule.h); without own_too, not those of the caller. */
static int64
unschedule(const char *model, Oid owner, bool own_too)
{
	enum
	{
		JOB,
		ROLE
	};
	static const FmColumn columns[] = {
		[JOB] = {"jobid", INT8OID}, [ROLE] = {"username::pg_catalog.text", TEXTOID}};
	const char *caller = GetUserNameFromId(GetUserId(), false);
	FmRoleSwitch previous = fm_act_as(fm_relation_owner(jobs_table()));
	FmSqlParameters parameters = {0};
	int64 removed = 0;
	FmRows rows;

	fm_add_text(&parameters, job_name(model));
	fm_sql_run(psprintf("SELECT %s FROM cron.job "
						"WHERE jobname::pg_catalog.text = $1 AND database = current_database()",
						fm_select_list(columns, lengthof(columns))),
			   &parameters, false);
	fm_rows_begin(&rows, columns, lengthof(columns));
	while (fm_rows_next(&rows))
	{
		const char *role = fm_row_text(&rows.row, ROLE);
		FmSqlParameters job = {0};
		bool own = strcmp(role, caller) == 0;

		if (own ? !own_too : !OidIsValid(owner) || !may_refresh(role, owner))
			continue;
		fm_add_bigint(&job, fm_row_bigint(&rows.row, JOB));
		fm_sql_run("SELECT cron.unschedule($1)", &job, false);
		removed++;
	}
	fm_rows_end(&rows);
	fm_restore_role(&previous);
	return removed;
}

int64
fm_unschedule_jobs(const char *model, Oid owner)
{
	return OidIsValid(jobs_table()) ? unschedule(model, owner, true) : 0;
}

/* Return the name of the job for pg_cron in another database. */
static char *
job_name_elsewhere(const char *model)
{
	return psprintf("%s in %s", job_name(model), get_database_name(MyDatabaseId));
}

/* ErrorContextCallback: pg_cron does not say which job an error is about. */
static void
name_model(void *model)
{
	errcontext("scheduling the refresh of model \"%s\"", (char *) model);
}

/* Make a job as the current user, or replace theirs. Return its number. */
static int64
make_job(char *model, const char *when, const char *command)
{
	ErrorContextCallback context = {error_context_stack, name_model, model};
	FmRoleSwitch previous = fm_act_as(GetUserId());
	int64 job;

	error_context_stack = &context;
	/* literals, because the first parameter has been of different types */
	fm_sql_run(psprintf("SELECT cron.schedule(%s, %s, %s)", quote_literal_cstr(job_name(model)),
						quote_literal_cstr(when), quote_literal_cstr(command)),
			   NULL, false);
	job = DatumGetInt64(fm_sql_value(INT8OID));
	error_context_stack = context.previous;
	fm_restore_role(&previous);
	return job;
}

Datum
fm_schedule(PG_FUNCTION_ARGS)
{
	Oid schema = fm_extension_schema(fcinfo);
	char *name = fm_model_name_argument(fcinfo, ARG_MODEL);
	char *when;
	char *command;
	FmModel model;
	int64 job;

	fm_require_argument(fcinfo, ARG_SCHEDULE, "schedule");
	when = text_to_cstring(PG_GETARG_TEXT_PP(ARG_SCHEDULE));
	(void) fm_conflict_argument(fcinfo, ARG_ON_CONFLICT);
	PreventCommandIfReadOnly("fm_schedule()");
	fm_spi_connect();
	fm_model_resolve(schema, PG_GETARG_TEXT_PP(ARG_MODEL), false, CurrentMemoryContext, &model);
	fm_model_check_owner(&model);
	fm_model_check_not_attached(&model);
	command = psprintf("CALL %s(%s, on_conflict => %s)", fm_qualified_sql(schema, "fm_refresh"),
					   quote_literal_cstr(name),
					   quote_literal_cstr(text_to_cstring(PG_GETARG_TEXT_PP(ARG_ON_CONFLICT))));
	check_cron(psprintf("SELECT cron.schedule_in_database(%s, %s, %s, %s, %s)",
						quote_literal_cstr(job_name_elsewhere(name)), quote_literal_cstr(when),
						quote_literal_cstr(command),
						quote_literal_cstr(get_database_name(MyDatabaseId)),
						quote_literal_cstr(GetUserNameFromId(GetUserId(), false))));
	check_role(GetUserId());
	(void) unschedule(name, model.owner, false);
	job = make_job(name, when, command);
	warn_of_settings();
	fm_spi_finish();
	PG_RETURN_INT64(job);
}

Datum
fm_unschedule(PG_FUNCTION_ARGS)
{
	Oid schema = fm_extension_schema(fcinfo);
	char *name = fm_model_name_argument(fcinfo, ARG_MODEL);
	FmModel model;
	int64 removed;

	PreventCommandIfReadOnly("fm_unschedule()");
	fm_spi_connect();
	/* a job may outlive its model */
	if (fm_model_lookup(schema, name, false, CurrentMemoryContext, &model))
		fm_model_check_owner(&model);
	check_cron(
		psprintf("SELECT cron.unschedule(%s)", quote_literal_cstr(job_name_elsewhere(name))));
	removed = fm_unschedule_jobs(name, model.owner);
	fm_spi_finish();
	PG_RETURN_BOOL(removed > 0);
}

/* The columns of fm_schedule_rows. */
enum
{
	JOB_MODEL,
	JOB_ID,
	JOB_SCHEDULE,
	JOB_ACTIVE,
	JOB_ROLE,
	JOB_STARTED_AT,
	JOB_FINISHED_AT,
	JOB_STATUS,
	JOB_MESSAGE,
	NUM_JOB_COLUMNS
};

/* Return whether a job is that of a model that the current user may read. */
static bool
is_visible(const FmRow *row, Oid schema)
{
	FmModel model;

	return fm_model_lookup(schema, fm_row_text(row, JOB_MODEL), true, CurrentMemoryContext,
						   &model) &&
		   pg_class_aclcheck(model.version_table, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		   may_refresh(NameStr(*DatumGetName(fm_row_value(row, JOB_ROLE))), model.owner);
}

static void
read_jobs(const FmColumn *columns, Oid jobs)
{
	FmRoleSwitch previous = fm_act_as(fm_relation_owner(jobs));

	fm_sql_run(psprintf("SELECT %s FROM cron.job j LEFT JOIN LATERAL "
						"(SELECT * FROM cron.job_run_details d WHERE d.jobid = j.jobid "
						"ORDER BY d.runid DESC LIMIT 1) d ON true "
						"WHERE starts_with(j.jobname::text, '" JOB_PREFIX "') "
						"AND j.database = current_database()",
						fm_select_list(columns, NUM_JOB_COLUMNS)),
			   NULL, true);
	fm_restore_role(&previous);
}

Datum
fm_schedule_rows(PG_FUNCTION_ARGS)
{
	static const FmColumn columns[] = {[JOB_MODEL] = {"substr(j.jobname::text, length('" JOB_PREFIX
													  "') + 1)",
													  TEXTOID},
									   [JOB_ID] = {"j.jobid", INT8OID},
									   [JOB_SCHEDULE] = {"j.schedule", TEXTOID},
									   [JOB_ACTIVE] = {"j.active", BOOLOID},
									   [JOB_ROLE] = {"j.username::name", NAMEOID},
									   [JOB_STARTED_AT] = {"d.start_time", TIMESTAMPTZOID},
									   [JOB_FINISHED_AT] = {"d.end_time", TIMESTAMPTZOID},
									   [JOB_STATUS] = {"d.status", TEXTOID},
									   [JOB_MESSAGE] = {"d.return_message", TEXTOID}};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid jobs = jobs_table();
	FmRows rows;

	fm_init_materialized_srf(fcinfo);
	if (!OidIsValid(jobs))
		return (Datum) 0;
	fm_spi_connect();
	read_jobs(columns, jobs);
	fm_rows_begin(&rows, columns, NUM_JOB_COLUMNS);
	while (fm_rows_next(&rows))
		if (is_visible(&rows.row, fm_extension_schema(fcinfo)))
			tuplestore_putvalues(result->setResult, result->setDesc,
								 unconstify(Datum *, rows.row.values),
								 unconstify(bool *, rows.row.nulls));
	fm_rows_end(&rows);
	fm_spi_finish();
	return (Datum) 0;
}
