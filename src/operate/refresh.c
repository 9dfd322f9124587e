/*
 * CALL fm_refresh: train a model again as defined, publish the version, rewrite the tables of
 * lists.
 *
 * Called at the top level, it commits after each step: when the run has started (so that others
 * see it), when the ratings are read, when the version is published, after each batch of deleted
 * rows of old versions, and after each rewritten table. A failure rolls back to the last commit
 * and is recorded in the run before it is raised, so that the last good version and tables keep
 * being served. Computing runs in a transaction without a snapshot, which does not hold back
 * vacuum. The tables are then vacuumed (vacuum.h) before they are written to, and the model is
 * checked again, because others may have changed it. In a transaction block, everything runs in
 * the caller's transaction.
 *
 * Locking: the model's training lock (training_lock.h) until old versions are deleted. If this
 * procedure commits, it is a session lock, which outlives the commits; an error releases it.
 * An imported model has no training to repeat; only its tables of lists are rewritten.
 * Memory: what must outlive the commits is in a context below PortalContext.
 */
#include "operate/refresh.h"

#include "catalog/pg_inherits.h"
#include "registry/registry_runs.h"
#include "registry/registry_targets.h"
#include "registry/registry_sql.h"
#include "registry/training_lock.h"
#include "pg/arguments.h"
#include "pg/sql.h"
#include "pg/steps.h"
#include "store/prune.h"
#include "targets/target.h"
#include "train/training.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "operate/vacuum.h"

PG_FUNCTION_INFO_V1(fm_refresh);

typedef struct Refresh
{
	FunctionCallInfo fcinfo;
	Oid schema;
	bool commits; /* not in a transaction block */
	FmModel model;
	Oid locked; /* the version table whose training lock is held */
	FmRun run;
	FmTraining *training;
	Oid *tables; /* to vacuum */
	int num_tables;
	FmPruning pruning;
	bool pruning_left;
	StringInfoData failures; /* those after publishing */
	MemoryContext context;
} Refresh;

/*
 * Look the model up again. While this backend waited or computed, others may have published a
 * version, or replaced the model by one of their own.
 */
static void
resolve_again(Refresh *refresh)
{
	fm_model_resolve(refresh->schema, cstring_to_text(refresh->model.name), false, refresh->context,
					 &refresh->model);
	fm_model_check_owner(&refresh->model);
	if (refresh->model.version_table != refresh->locked)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\" has been replaced meanwhile", refresh->model.name),
						errhint("Refresh it again.")));
}

/* Whether the model's owner may act as the owner of a table of lists. */
static bool
is_own_target(const Refresh *refresh, const FmTarget *target)
{
	return is_member_of_role_nosuper(refresh->model.owner, fm_relation_owner(target->table));
}

/* Add a table and its partitions to those to vacuum, if `owner` owns them. */
static void
add_table(Refresh *refresh, Oid table, Oid owner)
{
	List *tables;
	ListCell *cell;

	if (fm_relation_owner(table) != owner)
		return;
	tables = find_all_inheritors(table, NoLock, NULL);
	refresh->tables = repalloc(refresh->tables,
							   (refresh->num_tables + list_length(tables)) * sizeof(Oid));
	foreach (cell, tables)
		if (fm_relation_owner(lfirst_oid(cell)) == owner)
			refresh->tables[refresh->num_tables++] = lfirst_oid(cell);
	list_free(tables);
}

/*
 * Find the tables that the refresh writes to: the model's, the registry's, and tables of lists.
 * Those of other roles are left out, because they might make this backend wait.
 */
static void
find_tables(Refresh *refresh)
{
	const FmModel *model = &refresh->model;
	const Oid own[] = {model->version_table, model->user_table, model->item_table,
					   model->matrix_table, model->level_table};
	const char *const registry[] = {"fm_model", "fm_run"};
	int num_targets;
	FmTarget *targets = fm_registry_targets(refresh->schema, model->name, refresh->context,
											&num_targets);

	refresh->tables = MemoryContextAlloc(refresh->context, sizeof(Oid));
	for (int i = 0; i < lengthof(own); i++)
		add_table(refresh, own[i], model->owner);
	for (int i = 0; i < lengthof(registry); i++)
		add_table(refresh, get_relname_relid(registry[i], refresh->schema),
				  fm_registry_owner(refresh->schema));
	for (int i = 0; i < num_targets; i++)
		if (is_own_target(refresh, &targets[i]))
			add_table(refresh, targets[i].table, fm_relation_owner(targets[i].table));
}

/* FmStep, like the following: the phases of a training. */
static void
read_step(void *state, const void *argument)
{
	Refresh *refresh = state;

	fm_training_read(refresh->training);
	find_tables(refresh);
}

static void
compute_step(void *state, const void *argument)
{
	Refresh *refresh = state;

	fm_training_compute(refresh->training);
}

/* Make room for new rows: by now, no snapshot needs what the last refresh deleted or replaced. */
static void
vacuum_step(void *state, const void *argument)
{
	Refresh *refresh = state;

	fm_vacuum(refresh->tables, refresh->num_tables);
}

static void
write_step(void *state, const void *argument)
{
	Refresh *refresh = state;
	Oid owner = refresh->model.owner;

	resolve_again(refresh);
	if (refresh->model.owner != owner)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has been given to another owner meanwhile",
						refresh->model.name),
				 errdetail("Ratings read as role \"%s\" must not be published as role \"%s\".",
						   GetUserNameFromId(owner, true),
						   GetUserNameFromId(refresh->model.owner, true)),
				 errhint("Refresh it again.")));
	fm_training_write(refresh->training);
	fm_registry_finish_run(refresh->schema, &refresh->run);
}

/* FmStep: rewrite one table of lists. */
static void
target_step(void *state, const void *argument)
{
	Refresh *refresh = state;
	const FmTarget *target = argument;

	/* serving reads under the active snapshot; that of the CALL is older than the new version */
	PushActiveSnapshot(GetTransactionSnapshot());
	fm_rewrite_target(refresh->fcinfo, refresh->model.name, target);
	PopActiveSnapshot();
}

/* FmStep: delete some rows of versions that are no longer kept. */
static void
prune_step(void *state, const void *argument)
{
	Refresh *refresh = state;
	FmRoleSwitch previous = fm_act_as(refresh->model.owner);

	refresh->pruning_left = fm_store_prune_step(&refresh->model, &refresh->pruning);
	fm_restore_role(&previous);
}

static ErrorData *
prune(Refresh *refresh)
{
	ErrorData *error;

	do
	{
		error = fm_attempt(prune_step, refresh, NULL, refresh->context);
		fm_steps_commit(refresh->commits);
	} while (error == NULL && refresh->pruning_left);
	return error;
}

/* Record a failure after publishing in the run's message. */
static void
note_failure(Refresh *refresh, const char *what, const ErrorData *error)
{
	if (refresh->failures.data == NULL)
	{
		MemoryContext previous = MemoryContextSwitchTo(refresh->context);

		initStringInfo(&refresh->failures);
		MemoryContextSwitchTo(previous);
	}
	appendStringInfo(&refresh->failures, "%s%s: %s", refresh->failures.len > 0 ? "; " : "", what,
					 error->message);
	fm_registry_note_run(refresh->schema, &refresh->run, refresh->failures.data);
}

/*
 * Rewrite one table of lists. Returns the error, or NULL. An error with a table of another role
 * becomes a warning, because the model's owner can do nothing about it.
 */
static ErrorData *
rewrite_target(Refresh *refresh, const FmTarget *target)
{
	bool own = is_own_target(refresh, target);
	char *table = fm_relation_sql(target->table);
	ErrorData *error = fm_attempt(target_step, refresh, target, refresh->context);

	if (error == NULL)
		return NULL;
	note_failure(refresh, psprintf("table %s was not written", table), error);
	if (own || fm_is_cancel(error))
		return error;
	ereport(WARNING, (errcode(error->sqlerrcode),
					  errmsg("table %s of another role was not written: %s", table, error->message),
					  errhint("To stop rewriting it, its owner or the model's owner can call "
							  "fm_forget_target('%s').",
							  table)));
	return NULL;
}

/*
 * Rewrite all tables of lists, and return the first error, or NULL. An error does not keep the
 * others from being rewritten, but a cancel does. Tables of other roles come last, because they
 * might make this backend wait.
 */
static ErrorData *
rewrite_targets(Refresh *refresh)
{
	ErrorData *first_error = NULL;
	int num_targets;
	FmTarget *targets = fm_registry_targets(refresh->schema, refresh->model.name, refresh->context,
											&num_targets);

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < num_targets; i++)
		{
			ErrorData *error = NULL;

			if (!OidIsValid(fm_relation_owner(targets[i].table)))
				fm_registry_delete_target(refresh->schema, refresh->model.name, targets[i].table);
			else if (is_own_target(refresh, &targets[i]) == (pass == 0))
				error = rewrite_target(refresh, &targets[i]);
			if (first_error == NULL)
				first_error = error;
			fm_steps_commit(refresh->commits);
			if (error != NULL && fm_is_cancel(error))
				return error; /* the cancel is for the whole refresh */
		}
	return first_error;
}

FmOnConflict
fm_conflict_argument(FunctionCallInfo fcinfo, int argument)
{
	char *given;

	fm_require_argument(fcinfo, argument, "on_conflict");
	given = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	if (strcmp(given, "skip") == 0)
		return FM_CONFLICT_SKIP;
	if (strcmp(given, "wait") == 0)
		return FM_CONFLICT_WAIT;
	if (strcmp(given, "error") == 0)
		return FM_CONFLICT_ERROR;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("on_conflict must be skip, wait or error, not \"%s\"", given)));
}

/* Take the training lock; false if another backend holds it and on_conflict is skip. */
static bool
lock_model(Refresh *refresh, FmOnConflict on_conflict)
{
	char *detail;

	refresh->locked = refresh->model.version_table;
	if (on_conflict == FM_CONFLICT_WAIT)
		fm_training_lock(&refresh->model, refresh->commits);
	else if (!fm_training_lock_at_once(&refresh->model, refresh->commits))
	{
		detail = fm_training_lock_holder(&refresh->model);
		ereport(on_conflict == FM_CONFLICT_ERROR ? ERROR : NOTICE,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("model \"%s\" is being trained already", refresh->model.name),
				 detail != NULL ? errdetail_internal("%s", detail) : 0,
				 errhint("Use on_conflict => 'wait' to wait for it.")));
		return false;
	}
	return true;
}

static ErrorData *
train(Refresh *refresh)
{
	MemoryContext previous = MemoryContextSwitchTo(refresh->context);
	ErrorData *error;

	refresh->training = fm_training_begin(&refresh->model, InvalidOid, false, &refresh->run);
	MemoryContextSwitchTo(previous);
	error = fm_attempt(read_step, refresh, NULL, refresh->context);
	if (error == NULL)
	{
		fm_steps_commit_to_compute(refresh->commits);
		error = fm_attempt(compute_step, refresh, NULL, refresh->context);
		if (error == NULL && refresh->commits)
			error = fm_attempt(vacuum_step, refresh, NULL, refresh->context);
		fm_steps_commit(refresh->commits);
	}
	if (error == NULL)
		error = fm_attempt(write_step, refresh, NULL, refresh->context);
	fm_training_end(refresh->training);
	return error;
}

static void
refresh_model(Refresh *refresh)
{
	ErrorData *error;
	bool published;

	fm_registry_number_run(refresh->schema, &refresh->run);
	fm_registry_start_run(refresh->schema, &refresh->run, &refresh->model.definition);
	fm_steps_commit(refresh->commits);

	error = train(refresh);
	if (error != NULL)
		fm_registry_fail_run(refresh->schema, &refresh->run, error->message);
	fm_steps_commit(refresh->commits);
	published = error == NULL && !refresh->run.refused;
	if (published)
	{
		error = prune(refresh);
		if (error != NULL)
			note_failure(refresh, "old versions were not deleted", error);
	}
	/* let the next training start while this backend may have to wait for tables of lists */
	if (refresh->commits)
		fm_training_unlock(refresh->locked, true);
	if (published && (error == NULL || !fm_is_cancel(error)))
	{
		ErrorData *target_error = rewrite_targets(refresh);

		if (error == NULL)
			error = target_error;
	}
	fm_steps_commit(refresh->commits);
	if (error != NULL)
		ReThrowError(error);
}

/* Rewrite the tables of lists of a model that is not trained here. */
static void
refresh_lists(Refresh *refresh)
{
	ErrorData *error;

	if (refresh->commits)
		fm_training_unlock(refresh->locked, true);
	error = rewrite_targets(refresh);
	fm_steps_commit(refresh->commits);
	if (error != NULL)
		ReThrowError(error);
}

Datum
fm_refresh(PG_FUNCTION_ARGS)
{
	Refresh refresh = {.fcinfo = fcinfo, .schema = fm_extension_schema(fcinfo)};
	FmOnConflict on_conflict = fm_conflict_argument(fcinfo, 1);

	PreventCommandIfReadOnly("fm_refresh()");
	refresh.run.started_at = GetCurrentTimestamp();
	refresh.commits = fm_steps_begin(fcinfo);
	refresh.context = AllocSetContextCreate(fm_steps_parent(refresh.commits), "fmtopx refresh",
											ALLOCSET_DEFAULT_SIZES);
	fm_model_resolve(refresh.schema, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0), false,
					 refresh.context, &refresh.model);
	fm_model_check_owner(&refresh.model);
	fm_model_check_not_attached(&refresh.model);
	if (lock_model(&refresh, on_conflict))
	{
		resolve_again(&refresh);
		refresh.run.model = refresh.model.name;
		if (refresh.model.definition.solver == FM_SOLVER_NONE)
			refresh_lists(&refresh);
		else
			refresh_model(&refresh);
	}
	MemoryContextDelete(refresh.context);
	fm_spi_finish();
	PG_RETURN_VOID();
}
