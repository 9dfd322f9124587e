/*
 * One training, from the ratings relation to a published version.
 *
 * Its three phases are strictly in order: read the relations through SPI, compute (in parallel
 * mode), and write. fm_train runs all of them in the caller's transaction, so a training that fails
 * or is cancelled leaves nothing behind. fm_refresh commits in between, and computes without a
 * snapshot. Therefore only local memory passes from one phase to the next, computing looks nothing
 * up in the database, and writing checks again what others may have altered meanwhile.
 *
 * Locking: the caller holds the model's training lock (registry/training_lock.h) throughout, so
 * trainings of one model run one after the other. No reader or writer of rows waits for them.
 * Memory: one context for everything; what workers share is released when computing ends.
 */
#include "train/training.h"

#include "pg/sql.h"
#include "source/feature_columns.h"
#include "source/ratings_columns.h"
#include "source/training_data.h"
#include "store/model_functions.h"
#include "store/tables.h"
#include "store/version_rows.h"
#include "train/fit.h"
#include "registry/progress.h"
#include "train/publish.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

struct FmTraining
{
	MemoryContext context;
	FmModel *model;
	Oid tables_schema; /* where to create the tables, or InvalidOid */
	bool any_ids;	   /* of whatever type; else they must match those in the tables */
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
						errdetail("Every session that uses the model reads from it what users "
								  "have rated."),
						errhint("Copy it into a permanent table.")));
	if (OidIsValid(model->definition.features[FM_USERS]))
		fm_check_features_relation(model->definition.features[FM_USERS], "user_features",
								   model->definition.user_column, "user_column", &user_type);
	if (OidIsValid(model->definition.features[FM_ITEMS]))
		fm_check_features_relation(model->definition.features[FM_ITEMS], "item_features",
								   model->definition.item_column, "item_column", &item_type);
	if (OidIsValid(training->tables_schema))
	{
		fm_store_create_tables(model, training->tables_schema, &user_type, &item_type);
		fm_store_make_functions(model, ERROR);
		return;
	}
	if (training->any_ids)
		fm_store_check_new_id_types(model, &user_type, &item_type);
	else
		fm_store_check_id_types(model, &user_type, &item_type);
	fm_store_check_dependants(model, &user_type, &item_type);
}

/*
 * Raise an error unless the ids that were read still match those in the relation and in the tables.
 */
static void
check_id_types(const FmTraining *training)
{
	FmIdType user_type;
	FmIdType item_type;

	fm_check_ratings_relation(&training->model->definition, &user_type, &item_type);
	if (training->any_ids)
		return;
	fm_store_check_id_types(training->model, &user_type, &item_type);
	fm_store_check_id_types(training->model, fm_idmap_type(training->data.ratings->users),
							fm_idmap_type(training->data.ratings->items));
}

/* Give the tables, and the model's functions, the types of the ids that were read. */
static void
adapt_tables(const FmTraining *training)
{
	const FmIdType *user_type = fm_idmap_type(training->data.ratings->users);
	const FmIdType *item_type = fm_idmap_type(training->data.ratings->items);

	if (!fm_store_has_id_types(training->model, user_type, item_type))
		fm_store_change_id_types(training->model, user_type, item_type);
	fm_store_make_functions(training->model, WARNING);
}

/* Say how many rows a training of ratings has merged; the events of a ranking add up. */
static void
report_repeats(const FmModel *model, const FmRun *run, const FmVersion *version)
{
	const char *pair = model->definition.num_context_columns > 0 ? "user, item and context"
																 : "user and item";

	if (run->repeats == 0 || fm_is_ranking(version->task))
		return;
	ereport(NOTICE,
			(errmsg_plural("%lld row of relation \"%s\" repeats the %s of another",
						   "%lld rows of relation \"%s\" repeat the %s of another",
						   (unsigned long) run->repeats, (long long) run->repeats,
						   get_rel_name(model->definition.ratings), pair),
			 version->repeat_correlation == 1
				 ? errdetail("Such rows count as one rating, their mean.")
				 : errdetail("Such rows count as one rating, their mean, and n of them weigh as "
							 "much as n / (1 + %g (n - 1)) ratings.",
							 version->repeat_correlation)));
}

/* Warn if the ratings say that people would do better without the model. */
static void
warn_of_loss(const FmModel *model, FmRun *run)
{
	if (fm_run_misfits(run))
		ereport(WARNING,
				(errmsg("version %d of model \"%s\" is worse than no model on its own ratings",
						run->version, model->name),
				 errdetail("Its %s.", run->message),
				 errhint("Use the defaults of the solver's options, or more iterations.")));
	else if (fm_run_loses(run))
		ereport(WARNING,
				(errmsg("version %d of model \"%s\" is worse than no model on held-out ratings",
						run->version, model->name),
				 errdetail("Its %s.", run->message)));
}

/* Return whether the model does not allow a version that is this bad (max_worse). If so, warn. */
static bool
is_refused(const FmModel *model, FmRun *run)
{
	if (!fm_registry_refuse_run(model->extension_schema, run, &model->definition, model->max_worse))
		return false;
	ereport(WARNING,
			(errmsg("version %d of model \"%s\" is not published", run->version, model->name),
			 errdetail("Its %s.", run->message)));
	return true;
}

FmTraining *
fm_training_begin(FmModel *model, Oid tables_schema, bool any_ids, FmRun *run)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx training",
												  ALLOCSET_DEFAULT_SIZES);
	FmTraining *training = MemoryContextAllocZero(context, sizeof(FmTraining));

	training->context = context;
	training->model = model;
	training->tables_schema = tables_schema;
	training->any_ids = any_ids;
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
	report_repeats(model, training->run, &training->result.version);
	warn_of_loss(model, training->run);
	if (!OidIsValid(training->tables_schema) && is_refused(model, training->run))
		fm_restore_role(&previous);
	else
	{
		adapt_tables(training);
		fm_store_version_rows(model, &training->result);
		fm_restore_role(&previous);
		fm_publish(model, training->run, &training->result.version, &training->result.arrays);
	}
	fm_progress_end();
	MemoryContextSwitchTo(previous_context);
}

void
fm_training_end(FmTraining *training)
{
	MemoryContextDelete(training->context);
}
