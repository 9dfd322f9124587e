/*
 * CALL fm_tune: search for better options for a model, by trials on held-out ratings.
 *
 * This is a pattern search (Hooke and Jeeves 1961). It starts from the model's options, and
 * increases or decreases one option at a time by a factor as long as that helps. It ends when no
 * option helps any more, or when the trials are used up. A trial is a training whose result is not
 * stored; its metrics are a row of fm_trials, which is committed. A trial that exists already,
 * with the same definition and the same held-out ratings, is not repeated, so a search that was
 * cancelled continues when called again. The model and the version being served do not change.
 *
 * Locking: only the model's row of the registry, while a trial is recorded. Memory: a context for
 * each trial.
 */
#include "pg/compat.h"

#include <math.h>

#include "core/train/solver.h"
#include "registry/definition.h"
#include "registry/registry_runs.h"
#include "registry/registry_trials.h"
#include "pg/steps.h"
#include "train/training.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(fm_tune);

#define MAX_TRIALS 1000

/* The least gain, as a share of the metric, for which more factors are worth their time. */
#define FACTORS_MUST_WIN 0.01

/* The options that are searched, in this order. */
typedef enum Option
{
	OPTION_L2_REG_V,
	OPTION_UNOBSERVED_WEIGHT,
	OPTION_L2_REG_W,
	OPTION_NUM_FACTORS,
	NUM_OPTIONS
} Option;

static const double option_factor[NUM_OPTIONS] = {1.4, 2, 1.4, 2};

typedef struct Tuning
{
	Oid schema;
	bool commits;
	MemoryContext context;
	FmModel model; /* with the definition of the current trial */
	FmRun run;
	FmTraining *training;
	int trials_left;
	FmDefinition best;
	FmTrial best_trial;
} Tuning;

/* Whether the solver has this option. */
static bool
is_searched(const FmDefinition *definition, Option option)
{
	bool als = definition->solver == FM_SOLVER_ALS;
	bool ials = fm_is_ranking(definition->task);

	switch (option)
	{
		case OPTION_L2_REG_V:
			/* each training of a ranking finds its own, unless one is given */
			return als || (ials && !isnan(definition->l2_reg_v));
		case OPTION_UNOBSERVED_WEIGHT:
			return ials;
		case OPTION_L2_REG_W:
			return als;
		default:
			return true;
	}
}

/* Multiply and round to three significant digits, which are enough and easier to read. */
static float
scaled(float value, double factor)
{
	double unit = value > 0 ? pow(10, floor(log10(value * factor)) - 2) : 1;

	return (float) (rint(value * factor / unit) * unit);
}

/*
 * Multiply an option by a factor; false if it would leave its range. An option that is unset is
 * taken as the solver's default, or as what the trial chose.
 */
static bool
scale_option(FmDefinition *definition, const FmTrial *at, Option option, double factor)
{
	FmSolverOptions options = fm_solver_options(definition);
	float l2_reg_w;
	float l2_reg_v;
	double factors = factor *
					 (definition->num_factors > 0 ? definition->num_factors : at->num_factors);

	fm_default_regularisation(options.solver, &l2_reg_w, &l2_reg_v);
	if (option == OPTION_L2_REG_V)
		definition->l2_reg_v = scaled(isnan(definition->l2_reg_v) ? l2_reg_v : definition->l2_reg_v,
									  factor);
	else if (option == OPTION_L2_REG_W)
		definition->l2_reg_w = scaled(isnan(definition->l2_reg_w) ? l2_reg_w : definition->l2_reg_w,
									  factor);
	else if (option == OPTION_UNOBSERVED_WEIGHT)
		definition->unobserved_weight = scaled(isnan(definition->unobserved_weight)
												   ? (float) at->default_unobserved_weight
												   : definition->unobserved_weight,
											   factor);
	else if (factors < FM_MIN_FACTORS || factors > FM_MAX_FACTORS)
		return false;
	else
		definition->num_factors = (int) factors;
	return true;
}

/* FmStep */
static void
read_step(void *state, const void *argument)
{
	fm_training_read(((Tuning *) state)->training);
}

/* FmStep */
static void
compute_step(void *state, const void *argument)
{
	fm_training_compute(((Tuning *) state)->training);
}

/* Train by the current definition, without storing the result; return the error, or NULL. */
static ErrorData *
train(Tuning *tuning)
{
	ErrorData *error = fm_attempt(read_step, tuning, NULL, tuning->context);

	if (error != NULL)
		return error;
	fm_steps_commit_to_compute(tuning->commits);
	error = fm_attempt(compute_step, tuning, NULL, tuning->context);
	fm_steps_commit(tuning->commits);
	return error;
}

/*
 * Return the trial of a definition, after making it unless it exists. A failed trial counts as a
 * bad result, but a cancel is raised.
 */
static FmTrial
try_definition(Tuning *tuning, const FmDefinition *definition)
{
	MemoryContext context = AllocSetContextCreate(tuning->context, "fmtopx trial",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	FmTrial trial;
	ErrorData *error;

	tuning->model.definition = *definition;
	if (!fm_registry_find_trial(tuning->schema, &tuning->model, &trial))
	{
		tuning->trials_left--;
		tuning->run = (FmRun){.model = tuning->model.name, .started_at = GetCurrentTimestamp()};
		tuning->training = fm_training_begin(&tuning->model, InvalidOid, false, &tuning->run);
		error = train(tuning);
		if (error != NULL && fm_is_cancel(error))
			ReThrowError(error);
		fm_registry_save_trial(tuning->schema, &tuning->model, &tuning->run,
							   error == NULL ? NULL : error->message);
		(void) fm_registry_find_trial(tuning->schema, &tuning->model, &trial);
		fm_steps_commit(tuning->commits);
	}
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	return trial;
}

/*
 * Return by which share a trial is better than the best one so far; negative if it is worse or has
 * failed.
 */
static double
win(const Tuning *tuning, const FmTrial *trial)
{
	double before = tuning->best_trial.value;
	double gain = fm_is_ranking(tuning->best.task) ? trial->value - before : before - trial->value;

	return isnan(trial->value) ? -1 : before == 0 ? gain : gain / before;
}

/* Scale an option as long as that helps; return whether it helped at all. */
static bool
climb(Tuning *tuning, Option option, double factor)
{
	bool climbed = false;

	while (tuning->trials_left > 0)
	{
		FmDefinition next = tuning->best;
		FmTrial trial;
		double least = option == OPTION_NUM_FACTORS && factor > 1 ? FACTORS_MUST_WIN : 0;

		if (!scale_option(&next, &tuning->best_trial, option, factor))
			break;
		trial = try_definition(tuning, &next);
		if (win(tuning, &trial) <= least)
			break;
		tuning->best = next;
		tuning->best_trial = trial;
		climbed = true;
	}
	return climbed;
}

/* Search until no option helps any more. */
static void
search(Tuning *tuning)
{
	bool moved;

	do
	{
		moved = false;
		for (Option option = 0; option < NUM_OPTIONS; option++)
			if (is_searched(&tuning->best, option))
				moved = climb(tuning, option, option_factor[option]) ||
						climb(tuning, option, 1 / option_factor[option]) || moved;
	} while (moved && tuning->trials_left > 0);
}

static void
append_option(StringInfo call, const char *option, float value, float before)
{
	if (!isnan(value) && value != before)
		appendStringInfo(call, ", %s => %g", option, value);
}

/* Raise the notice with the best trial and the call that trains with its options. */
static void
report(const Tuning *tuning, const FmDefinition *before, int trials)
{
	const FmDefinition *best = &tuning->best;
	StringInfoData call;

	initStringInfo(&call);
	if (best->num_factors != before->num_factors)
		appendStringInfo(&call, ", num_factors => %d", best->num_factors);
	append_option(&call, "l2_reg_w", best->l2_reg_w, before->l2_reg_w);
	append_option(&call, "l2_reg_v", best->l2_reg_v, before->l2_reg_v);
	append_option(&call, "unobserved_weight", best->unobserved_weight, before->unobserved_weight);
	ereport(NOTICE, (errmsg("after %d new trials, the best has %s %g", trials,
							fm_metric_name(best->task), tuning->best_trial.value),
					 errdetail("All are in the view fm_trials."),
					 call.len == 0 ? errhint("It has the options that the model already has.")
								   : errhint("To train with its options: SELECT fm_train(%s%s);",
											 quote_literal_cstr(tuning->model.name), call.data)));
}

static void
read_arguments(FunctionCallInfo fcinfo, Tuning *tuning)
{
	FmDefinition *definition = &tuning->model.definition;
	float validation_size;

	for (int argument = 1; argument < 5; argument++)
		if (argument != 2 && PG_ARGISNULL(argument))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("validation_size, trials and fresh must not be NULL")));
	validation_size = (float) PG_GETARG_FLOAT8(1);
	if (!(validation_size > 0 && validation_size < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("validation_size must be above 0 and below 1, not %g", validation_size)));
	tuning->trials_left = PG_GETARG_INT32(3);
	if (tuning->trials_left < 1 || tuning->trials_left > MAX_TRIALS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("trials must be between 1 and %d, not %d", MAX_TRIALS,
							   tuning->trials_left)));
	definition->test_size = validation_size;
	/* trials are compared by predictions, which an interest head does not change */
	if (!fm_is_ranking(definition->task))
		definition->rank_by = FM_RANK_BY_RATING;
	definition->split_column =
		PG_ARGISNULL(2) ? NULL : MemoryContextStrdup(tuning->context, NameStr(*PG_GETARG_NAME(2)));
}

Datum
fm_tune(PG_FUNCTION_ARGS)
{
	Tuning tuning = {.schema = fm_extension_schema(fcinfo)};
	FmDefinition before;
	int trials;

	PreventCommandIfReadOnly("fm_tune()");
	tuning.commits = fm_steps_begin(fcinfo);
	tuning.context = AllocSetContextCreate(fm_steps_parent(tuning.commits), "fmtopx tuning",
										   ALLOCSET_DEFAULT_SIZES);
	fm_model_resolve(tuning.schema, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0), false,
					 tuning.context, &tuning.model);
	fm_model_check_owner(&tuning.model);
	fm_model_check_not_attached(&tuning.model);
	if (tuning.model.definition.solver == FM_SOLVER_NONE)
		fm_model_imported(tuning.model.name);
	read_arguments(fcinfo, &tuning);
	if (PG_GETARG_BOOL(4))
		fm_registry_delete_trials(tuning.schema, tuning.model.name);

	trials = tuning.trials_left;
	before = tuning.best = tuning.model.definition;
	tuning.best_trial = try_definition(&tuning, &before);
	if (isnan(tuning.best_trial.value))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" cannot be trained as it is defined", tuning.model.name),
				 errdetail("See fm_trials.message."), errhint("Train it with fm_train first.")));
	search(&tuning);
	report(&tuning, &before, trials - tuning.trials_left);
	MemoryContextDelete(tuning.context);
	fm_spi_finish();
	PG_RETURN_VOID();
}
