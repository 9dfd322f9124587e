/*
 * fm_train: define a model, or define it anew, and train it.
 *
 * Everything runs in the caller's transaction. Locking: the training lock of an existing model, a
 * lock on the name of a new one, until the end of the transaction. Memory: the current context; the
 * training has its own.
 */
#include "pg/compat.h"

#include "pg/arguments.h"
#include "pg/sql.h"
#include "registry/registry_models.h"
#include "registry/registry_runs.h"
#include "registry/training_lock.h"
#include "store/tables.h"
#include "train/publish.h"
#include "train/train_arguments.h"
#include "train/training.h"
#include "tcop/utility.h"

PG_FUNCTION_INFO_V1(fm_train);

Datum
fm_train(PG_FUNCTION_ARGS)
{
	Oid schema = fm_extension_schema(fcinfo);
	FmRun run = {.started_at = GetCurrentTimestamp()};
	FmModel model = {0};
	FmDefinition definition;
	FmTraining *training;
	Oid given_schema = fm_train_schema_argument(fcinfo);
	Oid tables_schema = InvalidOid;
	char *name;
	bool exists;

	PreventCommandIfReadOnly("fm_train()");
	name = fm_model_name_argument(fcinfo, 0);
	fm_spi_connect();
	exists = fm_model_lock(schema, name, CurrentMemoryContext, &model);
	if (!exists)
	{
		fm_check_model_name(name);
		fm_registry_lock_name(schema, name);
		exists = fm_model_lock(schema, name, CurrentMemoryContext, &model);
	}
	if (exists)
	{
		fm_model_check_not_attached(&model);
		fm_model_check_tables(&model);
		fm_store_check_schema(&model, given_schema);
	}
	fm_definition_from_arguments(fcinfo, exists ? &model.definition : NULL, &definition);
	if (!exists)
	{
		model.name = name;
		model.extension_schema = schema;
		model.owner = GetUserId();
		tables_schema = fm_store_choose_schema(given_schema, definition.ratings,
											   "name another with schema => '...'");
		fm_registry_delete_model(schema, name); /* a row whose tables are gone, if any */
	}
	model.definition = definition;
	run.model = name;
	fm_registry_number_run(schema, &run);
	training = fm_training_begin(&model, tables_schema, !PG_ARGISNULL(1), &run);
	fm_training_read(training);
	fm_training_compute(training);
	fm_training_write(training);
	if (exists && !run.refused)
		fm_prune(&model);
	fm_registry_start_run(schema, &run, &model.definition);
	fm_registry_finish_run(schema, &run);
	fm_training_end(training);
	return fm_finish_with_run(schema, run.model, run.version);
}
