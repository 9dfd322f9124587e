/*
 * The end of a training: publishing its version, and returning its run.
 *
 * Everything runs in the caller's transaction, so a version appears to readers when it commits.
 * Locking: the row lock on the model's registry row, so that nobody else activates a version
 * meanwhile. Memory: the current context.
 */
#include "train/publish.h"

#include "pg/sql.h"
#include "pg/sql_rows.h"
#include "registry/registry_models.h"
#include "store/prune.h"
#include "utils/lsyscache.h"

void
fm_publish(FmModel *model, const FmRun *run, const FmVersion *version,
		   const FmVersionArrays *arrays)
{
	/* another version may have been activated since the training began */
	int previous_version = fm_registry_lock_pointer(model->extension_schema, model->name);
	FmRoleSwitch previous = fm_act_as(model->owner);

	fm_version_insert(model, version, arrays, run->stamp);
	if (previous_version > 0)
		fm_store_keep(model, run->version, previous_version, model->keep_versions);
	fm_restore_role(&previous);
	model->version = run->version;
	model->stamp = run->stamp;
	fm_registry_save_model(model->extension_schema, model);
	fm_registry_notify(model->name, run->version);
}

void
fm_prune(const FmModel *model)
{
	FmRoleSwitch previous = fm_act_as(model->owner);

	fm_store_prune(model);
	fm_restore_role(&previous);
}

Datum
fm_finish_with_run(Oid schema, const char *model, int version)
{
	FmSqlParameters parameters = {0};
	Datum row;
	/* the role stays the caller, but operators in the caller's search_path must not be used */
	FmRoleSwitch previous = fm_act_as(GetUserId());

	fm_add_text(&parameters, model);
	fm_add_integer(&parameters, version);
	fm_sql_run(psprintf("SELECT r FROM %s r WHERE model = $1 AND version = $2",
						fm_qualified_sql(schema, "fm_runs")),
			   &parameters, false);
	fm_restore_role(&previous);
	if (SPI_processed != 1)
		elog(ERROR, "run %d of model \"%s\" is not in fm_runs", version, model);
	row = SPI_datumTransfer(fm_sql_value(get_rel_type_id(get_relname_relid("fm_runs", schema))),
							false, -1);
	fm_spi_finish();
	return row;
}
