/*
 * The definition of a model, from the arguments of fm_train: defaults, ranges, combinations.
 *
 * Strings are palloc'd in the current context.
 */
#include "registry/definition.h"

#include <math.h>

#include "utils/builtins.h"

/* The arguments of fm_train, in the order of its declaration. */
enum
{
	ARG_MODEL,
	ARG_RATINGS,
	ARG_USER_COLUMN,
	ARG_ITEM_COLUMN,
	ARG_RATING_COLUMN,
	ARG_WEIGHT_COLUMN,
	ARG_CONTEXT_COLUMNS,
	ARG_USER_FEATURES,
	ARG_ITEM_FEATURES,
	ARG_TASK,
	ARG_SOLVER,
	ARG_NUM_FACTORS,
	ARG_ITERATIONS,
	ARG_L2_REG_W,
	ARG_L2_REG_V,
	ARG_UNOBSERVED_WEIGHT,
	ARG_INIT_STDEV,
	ARG_HISTORY,
	ARG_TEST_SIZE,
	ARG_SEED,
	ARG_WORKERS
};

#define DEFAULT_USER_COLUMN "user_id"
#define DEFAULT_ITEM_COLUMN "item_id"
#define DEFAULT_RATING_COLUMN "rating"
#define DEFAULT_TASK "regression"
#define DEFAULT_SOLVER "auto"
#define DEFAULT_SEED 42
#define MAX_WORKERS 1024

static void
require(FunctionCallInfo fcinfo, int argument, const char *option)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("option %s must not be NULL", option)));
}

/* InvalidOid for NULL. */
static Oid
relation_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? InvalidOid : PG_GETARG_OID(argument);
}

static char *
name_argument(FunctionCallInfo fcinfo, int argument, const char *option)
{
	require(fcinfo, argument, option);
	return pstrdup(NameStr(*PG_GETARG_NAME(argument)));
}

static char *
text_argument(FunctionCallInfo fcinfo, int argument, const char *option)
{
	require(fcinfo, argument, option);
	return text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

static int
integer_argument(FunctionCallInfo fcinfo, int argument, const char *option, int if_null, int min,
				 int max)
{
	int value;

	if (PG_ARGISNULL(argument))
		return if_null;
	value = PG_GETARG_INT32(argument);
	if (value < min || value > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option %s must be between %d and %d, not %d", option, min, max, value)));
	return value;
}

/* A share from 0 to below 1. */
static float
share_argument(FunctionCallInfo fcinfo, int argument, const char *option)
{
	float value;

	require(fcinfo, argument, option);
	value = PG_GETARG_FLOAT4(argument);
	if (!(value >= 0 && value < 1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option %s must be at least 0 and below 1, not %g", option, value)));
	return value;
}

/* A real that is finite and not negative; NaN for NULL. */
static float
real_argument(FunctionCallInfo fcinfo, int argument, const char *option)
{
	float value;

	if (PG_ARGISNULL(argument))
		return NAN;
	value = PG_GETARG_FLOAT4(argument);
	if (!isfinite(value) || value < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option %s must be at least 0 and finite, not %g", option, value)));
	return value;
}

static void
read_arguments(FunctionCallInfo fcinfo, FmDefinition *given)
{

	given->ratings = relation_argument(fcinfo, ARG_RATINGS);
	given->num_context_columns = 0;
	if (!PG_ARGISNULL(ARG_CONTEXT_COLUMNS))
		given->context_columns = fm_name_array(PG_GETARG_ARRAYTYPE_P(ARG_CONTEXT_COLUMNS),
											   &given->num_context_columns);
	given->features[FM_USERS] = relation_argument(fcinfo, ARG_USER_FEATURES);
	given->features[FM_ITEMS] = relation_argument(fcinfo, ARG_ITEM_FEATURES);
	require(fcinfo, ARG_HISTORY, "history");
	given->history = PG_GETARG_BOOL(ARG_HISTORY);
	given->user_column = name_argument(fcinfo, ARG_USER_COLUMN, "user_column");
	given->item_column = name_argument(fcinfo, ARG_ITEM_COLUMN, "item_column");
	given->rating_column = name_argument(fcinfo, ARG_RATING_COLUMN, "rating_column");
	given->weight_column = PG_ARGISNULL(ARG_WEIGHT_COLUMN)
							   ? NULL
							   : name_argument(fcinfo, ARG_WEIGHT_COLUMN, "weight_column");
	given->task = text_argument(fcinfo, ARG_TASK, "task");
	given->solver = text_argument(fcinfo, ARG_SOLVER, "solver");
	require(fcinfo, ARG_NUM_FACTORS, "num_factors");
	given->num_factors = integer_argument(fcinfo, ARG_NUM_FACTORS, "num_factors", 0, FM_MIN_FACTORS,
										  FM_MAX_FACTORS);
	given->iterations = integer_argument(fcinfo, ARG_ITERATIONS, "iterations", 0, FM_MIN_ITERATIONS,
										 FM_MAX_ITERATIONS);
	given->l2_reg_w = real_argument(fcinfo, ARG_L2_REG_W, "l2_reg_w");
	given->l2_reg_v = real_argument(fcinfo, ARG_L2_REG_V, "l2_reg_v");
	given->unobserved_weight = real_argument(fcinfo, ARG_UNOBSERVED_WEIGHT, "unobserved_weight");
	given->init_stdev = real_argument(fcinfo, ARG_INIT_STDEV, "init_stdev");
	given->time_column = NULL;
	given->test_size = share_argument(fcinfo, ARG_TEST_SIZE, "test_size");
	require(fcinfo, ARG_SEED, "seed");
	given->seed = PG_GETARG_INT64(ARG_SEED);
	given->workers = integer_argument(fcinfo, ARG_WORKERS, "workers", -1, 0, MAX_WORKERS);
}

/* Take from the stored definition whatever was left at its default. */
static void
inherit(FmDefinition *given, const FmDefinition *stored)
{
	bool same_task;

	given->ratings = stored->ratings;
	if (strcmp(given->user_column, DEFAULT_USER_COLUMN) == 0)
		given->user_column = stored->user_column;
	if (strcmp(given->item_column, DEFAULT_ITEM_COLUMN) == 0)
		given->item_column = stored->item_column;
	if (strcmp(given->rating_column, DEFAULT_RATING_COLUMN) == 0)
		given->rating_column = stored->rating_column;
	if (given->weight_column == NULL)
		given->weight_column = stored->weight_column;
	if (given->num_context_columns == 0)
	{
		given->num_context_columns = stored->num_context_columns;
		given->context_columns = stored->context_columns;
	}
	for (int side = 0; side < 2; side++)
		if (!OidIsValid(given->features[side]))
			given->features[side] = stored->features[side];
	given->history = given->history || stored->history;
	if (strcmp(given->task, DEFAULT_TASK) == 0)
		given->task = stored->task;
	same_task = strcmp(given->task, stored->task) == 0;
	if (strcmp(given->solver, DEFAULT_SOLVER) == 0 && same_task)
		given->solver = stored->solver;
	if (strcmp(given->solver, stored->solver) == 0 && same_task)
	{
		/* what one solver was told means nothing to another, nor for another task */
		if (given->iterations == 0)
			given->iterations = stored->iterations;
		if (isnan(given->l2_reg_w))
			given->l2_reg_w = stored->l2_reg_w;
		if (isnan(given->l2_reg_v))
			given->l2_reg_v = stored->l2_reg_v;
		if (isnan(given->unobserved_weight))
			given->unobserved_weight = stored->unobserved_weight;
		if (isnan(given->init_stdev))
			given->init_stdev = stored->init_stdev;
	}
	if (given->num_factors == FM_DEFAULT_FACTORS)
		given->num_factors = stored->num_factors;
	if (given->test_size == 0)
		given->test_size = stored->test_size;
	if (given->seed == DEFAULT_SEED)
		given->seed = stored->seed;
	if (given->workers < 0)
		given->workers = stored->workers;
}

static void
check_task(const char *task)
{
	if (strcmp(task, "regression") == 0 || fm_is_classification(task) || fm_is_ranking(task))
		return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option task must be regression, classification or ranking, not \"%s\"",
						   task)));
}

/* Which solver does which task; the first is the default. */
static const struct
{
	const char *solver;
	const char *tasks[3];
} solver_tasks[] = {{"mcmc", {"regression", "classification"}},
					{"als", {"regression"}},
					{"ials", {"ranking"}}};

static bool
does_task(int solver, const char *task)
{
	for (const char *const *t = solver_tasks[solver].tasks; *t != NULL; t++)
		if (strcmp(*t, task) == 0)
			return true;
	return false;
}

static void
resolve_solver(FmDefinition *definition)
{
	const char *given = definition->solver, *task = definition->task;
	const char *fitting = NULL;
	bool known = strcmp(given, "auto") == 0;

	for (int s = lengthof(solver_tasks) - 1; s >= 0; s--)
	{
		bool same = strcmp(given, solver_tasks[s].solver) == 0;

		known = known || same;
		if (!does_task(s, task))
			continue;
		if (same)
			return;
		fitting = solver_tasks[s].solver;
	}
	if (!known)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option solver must be auto, mcmc, als or ials, not \"%s\"", given)));
	if (strcmp(given, "auto") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("solver => '%s' does not do task => '%s'", given, task),
						errhint("Leave solver out, or say solver => '%s'.", fitting)));
	definition->solver = pstrdup(fitting);
}

/* An error where an option is given that neither of these solvers (the second may be NULL) is. */
static void
check_solver_uses(const FmDefinition *definition, const char *option, bool given,
				  const char *solver, const char *other_solver)
{
	if (given && strcmp(definition->solver, solver) != 0 &&
		(other_solver == NULL || strcmp(definition->solver, other_solver) != 0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("solver => '%s' does not use option %s", definition->solver, option),
						errhint("Leave %s out, or choose solver => '%s'.", option, solver)));
}

/* A ranking has no ratings, so the name of a column for them must have been meant otherwise. */
static void
check_rating_column(FmDefinition *definition, const char *given)
{
	if (!fm_is_ranking(definition->task))
		return;
	if (strcmp(given, DEFAULT_RATING_COLUMN) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("task => 'ranking' does not use option rating_column"),
						errhint("It learns from the rows being there. How much each counts can be "
								"said with weight_column => '%s'.",
								given)));
	definition->rating_column = DEFAULT_RATING_COLUMN;
}

void
fm_definition_from_arguments(FunctionCallInfo fcinfo, const FmDefinition *stored,
							 FmDefinition *definition)
{
	char *given_rating_column;

	read_arguments(fcinfo, definition);
	given_rating_column = definition->rating_column;
	if (!OidIsValid(definition->ratings))
	{
		if (stored == NULL)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
							errmsg("model \"%s\" does not exist",
								   text_to_cstring(PG_GETARG_TEXT_PP(ARG_MODEL))),
							errhint("To define it, say what to train it on: ratings => 'table'.")));
		inherit(definition, stored);
	}
	check_task(definition->task);
	resolve_solver(definition);
	check_rating_column(definition, given_rating_column);
	check_solver_uses(definition, "l2_reg_w", !isnan(definition->l2_reg_w), "als", "ials");
	check_solver_uses(definition, "l2_reg_v", !isnan(definition->l2_reg_v), "als", "ials");
	if (fm_is_ranking(definition->task) && definition->num_context_columns > 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("task => 'ranking' does not use option context_columns"),
						errhint("Leave context_columns out.")));
	check_solver_uses(definition, "unobserved_weight", !isnan(definition->unobserved_weight),
					  "ials", NULL);
}

FmSolverOptions
fm_solver_options(const FmDefinition *definition)
{
	FmSolverOptions options = {0};

	options.task = fm_is_ranking(definition->task)			? FM_TASK_RANKING
				   : fm_is_classification(definition->task) ? FM_TASK_CLASSIFICATION
															: FM_TASK_REGRESSION;
	options.solver = strcmp(definition->solver, "ials") == 0  ? FM_SOLVER_IALS
					 : strcmp(definition->solver, "als") == 0 ? FM_SOLVER_ALS
															  : FM_SOLVER_MCMC;
	options.num_factors = definition->num_factors;
	options.iterations = definition->iterations;
	options.l2_reg_w = isnan(definition->l2_reg_w) ? -1 : definition->l2_reg_w;
	options.l2_reg_v = isnan(definition->l2_reg_v) ? -1 : definition->l2_reg_v;
	options.unobserved_weight = isnan(definition->unobserved_weight)
									? -1
									: definition->unobserved_weight;
	options.init_stdev = isnan(definition->init_stdev) ? -1 : definition->init_stdev;
	options.history = definition->history;
	options.seed = (uint64_t) definition->seed;
	return options;
}
