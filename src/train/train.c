/*
 * One training, from the ratings relation to a published version; and fm_train, which asks for one.
 *
 * The phases are strictly in order: read the ratings through SPI, compute (in parallel mode), write. fm_train has all
 * three in its caller's transaction, so a training that fails or is cancelled leaves nothing behind; fm_refresh
 * commits in between, and computes without a snapshot. So nothing but local memory passes from one phase to the next,
 * computing looks nothing up, and writing checks again what others may have altered.
 *
 * Locking: the model's training lock (model.h), which the caller holds throughout: two trainings of one
 * model come one after the other, and no reader or writer of rows waits for either.
 * Memory: all in one context; what workers share is given back when computing ends.
 */
#include "train/train.h"

#include "pg/arguments.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "train/fit.h"
#include "source/ratings_columns.h"
#include "source/training_data.h"
#include "train/progress.h"
#include "train/train_arguments.h"
#include "pg/sql.h"
#include "registry/registry_models.h"
#include "registry/training_lock.h"
#include "store/prune.h"
#include "store/tables.h"
#include "store/version_rows.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_train);

struct FmTraining
{
	MemoryContext context;
	Oid schema;
	FmModel *model;
	Oid namespace; /* where to create the tables, or InvalidOid */
	FmRun *run;
	FmTrainingData data;
	FmResult result;
};

static void
prepare_tables(const FmTraining *training)
{
	FmModel *model = training->model;
	FmIdType user_type;
	FmIdType item_type;

	fm_check_ratings_relation(&model->definition, &user_type, &item_type);
	if (get_rel_persistence(model->definition.ratings) == RELPERSISTENCE_TEMP)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
						errmsg("a model cannot be trained on temporary relation \"%s\"",
							   get_rel_name(model->definition.ratings)),
						errdetail("What users have rated is read from it whenever the model is "
								  "asked, in every session."),
						errhint("Copy it into a table that stays.")));
	if (OidIsValid(model->definition.features[FM_USERS]))
		fm_check_features_relation(model->definition.features[FM_USERS], "user_features",
								   model->definition.user_column, "user_column", &user_type);
	if (OidIsValid(model->definition.features[FM_ITEMS]))
		fm_check_features_relation(model->definition.features[FM_ITEMS], "item_features",
								   model->definition.item_column, "item_column", &item_type);
	if (OidIsValid(training->namespace))
		fm_store_create_tables(model, training->namespace, training->schema, &user_type,
							   &item_type);
	else
		fm_store_check_id_types(model, &user_type, &item_type);
}

/* Whether the ids that were read are still those of the relation and of the tables. */
static void
check_id_types(const FmTraining *training)
{
	FmIdType user_type;
	FmIdType item_type;

	fm_check_ratings_relation(&training->model->definition, &user_type, &item_type);
	fm_store_check_id_types(training->model, &user_type, &item_type);
	fm_store_check_id_types(training->model, fm_idmap_type(training->data.ratings->users),
							fm_idmap_type(training->data.ratings->items));
}

/* The quality gate. */
static bool
is_refused(Oid schema, const FmModel *model, FmRun *run)
{
	if (!fm_registry_refuse_run(schema, run, &model->definition, model->max_worse))
		return false;
	ereport(WARNING,
			(errmsg("version %d of model \"%s\" is not published", run->version, model->name),
			 errdetail("Its %s.", run->message)));
	return true;
}

void
fm_publish(Oid schema, FmModel *model, const FmRun *run, const FmResult *result)
{
	/* somebody may have activated another since the training began */
	int previous_version = fm_registry_lock_pointer(schema, model->name);
	FmRoleSwitch previous = fm_act_as(model->owner);

	fm_version_insert(model, &result->version, &result->arrays, run->stamp);
	if (previous_version > 0)
		fm_store_keep(model, run->version, previous_version, model->keep_versions);
	fm_restore_role(&previous);
	model->version = run->version;
	model->stamp = run->stamp;
	fm_registry_save_model(schema, model);
	fm_registry_notify(model->name, run->version);
}

FmTraining *
fm_training_begin(Oid schema, FmModel *model, Oid namespace, FmRun *run)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx training",
												  ALLOCSET_DEFAULT_SIZES);
	FmTraining *training = MemoryContextAllocZero(context, sizeof(FmTraining));

	training->context = context;
	training->schema = schema;
	training->model = model;
	training->namespace = namespace;
	training->run = run;
	return training;
}

void
fm_training_read(FmTraining *training)
{
	MemoryContext previous_context = MemoryContextSwitchTo(training->context);
	FmRoleSwitch previous = fm_act_as(training->model->owner);

	prepare_tables(training);
	fm_progress_phase(training->model->name, FM_PHASE_LOADING);
	fm_read_training_data(&training->model->definition, &training->data);
	for (int side = 0; side < 2; side++)
		training->result.digest[side] = fm_digest_ratings(&training->data, side);
	fm_restore_role(&previous);
	MemoryContextSwitchTo(previous_context);
}

void
fm_training_compute(FmTraining *training)
{
	MemoryContext previous_context = MemoryContextSwitchTo(training->context);

	fm_progress_phase(training->model->name, FM_PHASE_TRAINING);
	fm_fit(&training->model->definition, &training->data, training->run, &training->result);
	MemoryContextSwitchTo(previous_context);
}

void
fm_training_write(FmTraining *training)
{
	MemoryContext previous_context = MemoryContextSwitchTo(training->context);
	FmModel *model = training->model;
	FmRoleSwitch previous = fm_act_as(model->owner);

	fm_progress_phase(model->name, FM_PHASE_WRITING);
	check_id_types(training);
	if (!OidIsValid(training->namespace) && is_refused(training->schema, model, training->run))
		fm_restore_role(&previous);
	else
	{
		fm_store_version_rows(model, training->schema, &training->result);
		fm_restore_role(&previous);
		fm_publish(training->schema, model, training->run, &training->result);
	}
	fm_progress_end();
	MemoryContextSwitchTo(previous_context);
}

void
fm_training_end(FmTraining *training)
{
	MemoryContextDelete(training->context);
}

/* Where the tables of a new model go: where CREATE TABLE would put them, else beside the ratings. */
static Oid
creation_namespace(Oid ratings)
{
	List *path = fetch_search_path(false);
	Oid namespace = path != NIL ? linitial_oid(path) : get_rel_namespace(ratings);
	AclResult result;

	if (!OidIsValid(namespace))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the ratings relation (OID %u) does not exist", ratings),
						errhint("Name another with ratings => '...'.")));
	result = fm_namespace_aclcheck(namespace, GetUserId(), ACL_CREATE);
	if (isAnyTempNamespace(namespace))
		ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
						errmsg("a model's tables cannot be temporary"),
						errhint("Put another schema first in search_path.")));
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_SCHEMA, get_namespace_name(namespace));
	return namespace;
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
	/* as the caller, but past the operators in his search_path, which may be anybody's */
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

Datum
fm_train(PG_FUNCTION_ARGS)
{
	Oid schema = fm_extension_schema(fcinfo);
	FmRun run = {.started_at = GetCurrentTimestamp()};
	FmModel model = {0};
	FmDefinition definition;
	FmTraining *training;
	Oid namespace = InvalidOid;
	char *name;
	bool exists;

	name = fm_model_name_argument(fcinfo, 0);
	fm_check_model_name(name);
	fm_spi_connect();
	exists = fm_model_lock(schema, name, CurrentMemoryContext, &model);
	if (!exists)
	{
		fm_registry_lock_name(schema, name);
		exists = fm_model_lock(schema, name, CurrentMemoryContext, &model);
	}
	if (exists)
	{
		fm_model_check_not_attached(&model);
		fm_model_check_tables(&model);
	}
	fm_definition_from_arguments(fcinfo, exists ? &model.definition : NULL, &definition);
	if (!exists)
	{
		model.name = name;
		model.extension_schema = schema;
		model.owner = GetUserId();
		namespace = creation_namespace(definition.ratings);
		fm_registry_delete_model(schema, name); /* a dead row, if any */
	}
	model.definition = definition;
	run.model = name;
	fm_registry_number_run(schema, &run);
	training = fm_training_begin(schema, &model, namespace, &run);
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
