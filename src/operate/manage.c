/*
 * Managing models: fm_set, fm_activate, fm_grant, fm_forget_target, fm_drop.
 *
 * Locking: fm_set and fm_activate lock the model's row of the registry (fm_registry_lock_pointer).
 * They do not wait for a training by fm_refresh, except for the moment in which it publishes; they
 * do wait for fm_train, which is a single transaction. fm_drop takes the training lock, and then
 * the AccessExclusiveLock of DROP TABLE. Memory: the context of the call.
 */
#include "pg/compat.h"

#include <math.h>

#include "fmgr.h"
#include "registry/registry_models.h"
#include "registry/registry_targets.h"
#include "operate/schedule.h"
#include "registry/training_lock.h"
#include "pg/arguments.h"
#include "cache/shared_cache.h"
#include "pg/sql.h"
#include "store/model_functions.h"
#include "store/tables.h"
#include "store/version.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(fm_set);
PG_FUNCTION_INFO_V1(fm_activate);
PG_FUNCTION_INFO_V1(fm_grant);
PG_FUNCTION_INFO_V1(fm_forget_target);
PG_FUNCTION_INFO_V1(fm_drop);

#define MAX_KEEP_VERSIONS 1000

/* Look up a model, and check that the caller owns it and its tables exist. */
static void
own_model(Oid schema, const char *name, FmModel *model)
{
	if (!fm_model_lookup(schema, name, false, CurrentMemoryContext, model))
		fm_model_missing(name);
	fm_model_check_owner(model);
	fm_model_check_tables(model);
}

/* Do the same, and lock the model's pointer first, so that it stays as it is. */
static void
own_model_locked(Oid schema, const char *name, FmModel *model)
{
	own_model(schema, name, model);
	fm_model_check_not_attached(model);
	(void) fm_registry_lock_pointer(schema, name);
	own_model(schema, name, model);
}

Datum
fm_set(PG_FUNCTION_ARGS)
{
	Oid schema = fm_extension_schema(fcinfo);
	char *name = fm_model_name_argument(fcinfo, 0);
	int keep_versions = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	double max_worse = PG_ARGISNULL(2) ? NAN : PG_GETARG_FLOAT8(2);
	FmModel model;

	PreventCommandIfReadOnly("fm_set()");
	if (!PG_ARGISNULL(1) && (keep_versions < 1 || keep_versions > MAX_KEEP_VERSIONS))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option keep_versions must be between 1 and %d, not %d",
							   MAX_KEEP_VERSIONS, keep_versions)));
	if (!PG_ARGISNULL(2) && !(max_worse >= 0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option max_worse must be at least 0, not %g", max_worse),
						errhint("It is a share: 0.02 allows an error that is 2 %% larger.")));
	fm_spi_connect();
	own_model_locked(schema, name, &model);
	fm_registry_set_options(schema, name, keep_versions, (float) max_worse);
	fm_spi_finish();
	PG_RETURN_VOID();
}

Datum
fm_activate(PG_FUNCTION_ARGS)
{
	Oid schema = fm_extension_schema(fcinfo);
	char *name = fm_model_name_argument(fcinfo, 0);
	FmModel model;
	FmRoleSwitch previous;
	bool kept;
	int version;

	PreventCommandIfReadOnly("fm_activate()");
	fm_require_argument(fcinfo, 1, "version");
	version = PG_GETARG_INT32(1);
	fm_spi_connect();
	own_model_locked(schema, name, &model);
	previous = fm_act_as(model.owner);
	kept = fm_version_exists(&model, version);
	fm_restore_role(&previous);
	if (!kept)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("version %d of model \"%s\" is not kept", version, name),
				 errhint("Table \"%s\" has the kept versions; fm_set sets how many are kept.",
						 get_rel_name(model.version_table))));
	if (version != model.version)
	{
		int64 stamp = fm_registry_activate(schema, name, version);

		previous = fm_act_as(model.owner);
		fm_version_activate(&model, version, stamp);
		fm_restore_role(&previous);
	}
	fm_spi_finish();
	PG_RETURN_VOID();
}

Datum
fm_grant(PG_FUNCTION_ARGS)
{
	FmModel model;
	FmRoleSwitch previous;
	char *levels = "";

	PreventCommandIfReadOnly("fm_grant()");
	fm_spi_connect();
	own_model(fm_extension_schema(fcinfo), fm_model_name_argument(fcinfo, 0), &model);
	previous = fm_act_as(model.owner);
	if (OidIsValid(model.level_table))
		levels = psprintf(", %s", fm_relation_sql(model.level_table));
	fm_sql_run(psprintf("GRANT SELECT ON %s, %s, %s, %s%s TO %s",
						fm_relation_sql(model.version_table), fm_relation_sql(model.user_table),
						fm_relation_sql(model.item_table), fm_relation_sql(model.matrix_table),
						levels, quote_identifier(NameStr(*PG_GETARG_NAME(1)))),
			   NULL, false);
	fm_restore_role(&previous);
	fm_spi_finish();
	PG_RETURN_VOID();
}

Datum
fm_forget_target(PG_FUNCTION_ARGS)
{
	Oid schema = fm_extension_schema(fcinfo);
	Oid target = PG_GETARG_OID(0);
	Oid owner = fm_relation_owner(target);
	FmModel model;
	char *name;

	PreventCommandIfReadOnly("fm_forget_target()");
	fm_spi_connect();
	name = fm_registry_target_model(schema, target);
	if (!OidIsValid(owner) && name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("there is no table with OID %u", target)));
	if (!OidIsValid(owner) || !has_privs_of_role(GetUserId(), owner))
	{
		if (name == NULL || !fm_model_lookup(schema, name, false, CurrentMemoryContext, &model) ||
			!has_privs_of_role(GetUserId(), model.owner))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 OidIsValid(owner)
						 ? errmsg("must be owner of table \"%s\", or of the model that writes it",
								  get_rel_name(target))
						 : errmsg("must be owner of the model that writes table %u", target)));
	}
	if (name != NULL)
		fm_registry_delete_target(schema, name, target);
	fm_spi_finish();
	PG_RETURN_BOOL(name != NULL);
}

Datum
fm_drop(PG_FUNCTION_ARGS)
{
	Oid schema = fm_extension_schema(fcinfo);
	char *name = fm_model_name_argument(fcinfo, 0);
	FmModel model;
	FmRoleSwitch previous;

	PreventCommandIfReadOnly("fm_drop()");
	fm_spi_connect();
	if (!fm_model_lock(schema, name, CurrentMemoryContext, &model))
		fm_model_missing(name);
	previous = fm_act_as(model.owner);
	fm_store_drop_functions(&model);
	if (!model.attached)
		fm_store_drop_tables(&model);
	fm_restore_role(&previous);
	(void) fm_unschedule_jobs(name, model.owner);
	fm_registry_delete_model(schema, name);
	fm_shared_forget(model.matrix_table); /* if this rolls back, the model is loaded again */
	fm_spi_finish();
	PG_RETURN_VOID();
}
