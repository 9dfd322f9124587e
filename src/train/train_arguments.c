/*
 * The arguments of fm_train: defaults, ranges, combinations, and what is taken from the last
 * training.
 *
 * Memory: strings are allocated in the current context.
 */
#include "train/train_arguments.h"

#include <math.h>

#include "pg/arguments.h"
#include "registry/model.h"
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
	ARG_TIME_COLUMN,
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
	ARG_WORKERS,
	ARG_RANK_BY,
	ARG_SCHEMA
};

#define DEFAULT_USER_COLUMN "user_id"
#define DEFAULT_ITEM_COLUMN "item_id"
#define DEFAULT_RATING_COLUMN "rating"
#define DEFAULT_TASK FM_TASK_REGRESSION
#define AUTO_SOLVER "auto"
#define DEFAULT_SEED 42
#define MAX_WORKERS 1024

/* The arguments as the call gives them. */
typedef struct Given
{
	FmDefinition *definition;
	const char *task;
	const char *solver;
	const char *rank_by;
	bool auto_solver; /* definition->solver is not known yet */
} Given;

static void
require(FunctionCallInfo fcinfo, int argument, const char *option)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("option %s must not be NULL", option)));
}

/* Return a relation, or InvalidOid for NULL. */
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

/* Return a share, which is at least 0 and below 1. */
static float
share_argument(FunctionCallInfo fcinfo, int argument, const char *option)
{
	float value;

	require(fcinfo, argument, option);
	value = (float) PG_GETARG_FLOAT8(argument);
	if (!(value >= 0 && value < 1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option %s must be at least 0 and below 1, not %g", option, value)));
	return value;
}

/* Return a finite real that is not negative, or NaN for NULL. */
static float
real_argument(FunctionCallInfo fcinfo, int argument, const char *option)
{
	float value;

	if (PG_ARGISNULL(argument))
		return NAN;
	value = (float) PG_GETARG_FLOAT8(argument);
	if (!isfinite(value) || value < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option %s must be at least 0 and finite, not %g", option, value)));
	return value;
}

static void
read_arguments(FunctionCallInfo fcinfo, Given *arguments)
{
	FmDefinition *given = arguments->definition;

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
	arguments->task = text_argument(fcinfo, ARG_TASK, "task");
	arguments->solver = text_argument(fcinfo, ARG_SOLVER, "solver");
	arguments->rank_by = text_argument(fcinfo, ARG_RANK_BY, "rank_by");
	given->num_factors = integer_argument(fcinfo, ARG_NUM_FACTORS, "num_factors", 0, FM_MIN_FACTORS,
										  FM_MAX_FACTORS);
	given->iterations = integer_argument(fcinfo, ARG_ITERATIONS, "iterations", 0, FM_MIN_ITERATIONS,
										 FM_MAX_ITERATIONS);
	given->l2_reg_w = real_argument(fcinfo, ARG_L2_REG_W, "l2_reg_w");
	given->l2_reg_v = real_argument(fcinfo, ARG_L2_REG_V, "l2_reg_v");
	given->unobserved_weight = real_argument(fcinfo, ARG_UNOBSERVED_WEIGHT, "unobserved_weight");
	given->init_stdev = real_argument(fcinfo, ARG_INIT_STDEV, "init_stdev");
	given->time_column = PG_ARGISNULL(ARG_TIME_COLUMN)
							 ? NULL
							 : name_argument(fcinfo, ARG_TIME_COLUMN, "time_column");
	given->split_column = NULL;
	given->test_size = share_argument(fcinfo, ARG_TEST_SIZE, "test_size");
	require(fcinfo, ARG_SEED, "seed");
	given->seed = PG_GETARG_INT64(ARG_SEED);
	given->workers = integer_argument(fcinfo, ARG_WORKERS, "workers", -1, 0, MAX_WORKERS);
}

/* Find the task and the solver that are named. */
static void
find_names(Given *arguments)
{
	FmDefinition *given = arguments->definition;

	if (!fm_find_task(arguments->task, &given->task))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option task must be regression, classification or ranking, not \"%s\"",
						arguments->task)));
	arguments->auto_solver = strcmp(arguments->solver, AUTO_SOLVER) == 0;
	if (!arguments->auto_solver &&
		(!fm_find_solver(arguments->solver, &given->solver) || given->solver == FM_SOLVER_NONE))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option solver must be auto, mcmc, als or ials, not \"%s\"",
							   arguments->solver)));
	if (!fm_find_rank_by(arguments->rank_by, &given->rank_by))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option rank_by must be auto, interest or rating, not \"%s\"",
							   arguments->rank_by)));
}

/* Take from the stored definition the options that are left at their defaults. */
static void
inherit(Given *arguments, const FmDefinition *stored)
{
	FmDefinition *given = arguments->definition;
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
	if (given->time_column == NULL)
		given->time_column = stored->time_column;
	if (given->num_context_columns == 0)
	{
		given->num_context_columns = stored->num_context_columns;
		given->context_columns = stored->context_columns;
	}
	for (int side = 0; side < 2; side++)
		if (!OidIsValid(given->features[side]))
			given->features[side] = stored->features[side];
	given->history = given->history || stored->history;
	if (given->task == DEFAULT_TASK)
		given->task = stored->task;
	same_task = given->task == stored->task;
	if (arguments->auto_solver && same_task)
	{
		given->solver = stored->solver;
		arguments->auto_solver = false;
	}
	if (!arguments->auto_solver && given->solver == stored->solver && same_task)
	{
		/* options of one solver have no meaning for another solver or task */
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
	if (given->num_factors == 0)
		given->num_factors = stored->num_factors;
	if (given->test_size == 0)
		given->test_size = stored->test_size;
	if (given->seed == DEFAULT_SEED)
		given->seed = stored->seed;
	if (given->workers < 0)
		given->workers = stored->workers;
	if (given->rank_by == FM_RANK_BY_AUTO)
		given->rank_by = stored->rank_by;
}

static void
resolve_solver(const Given *arguments)
{
	FmDefinition *given = arguments->definition;
	FmSolverKind fitting = fm_default_solver(given->task);

	if (arguments->auto_solver)
		given->solver = fitting;
	else if (!fm_solver_does(given->solver, given->task))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("solver => '%s' does not do task => '%s'", fm_solver_name(given->solver),
						fm_task_name(given->task)),
				 errhint("Leave solver out, or say solver => '%s'.", fm_solver_name(fitting))));
}

/* Raise an error if an option is given that only these two solvers, which may be the same, use. */
static void
check_solver_uses(const FmDefinition *definition, const char *option, bool given,
				  FmSolverKind solver, FmSolverKind other_solver)
{
	if (given && definition->solver != solver && definition->solver != other_solver)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("solver => '%s' does not use option %s",
							   fm_solver_name(definition->solver), option),
						errhint("Leave %s out, or choose solver => '%s'.", option,
								fm_solver_name(solver))));
}

/* A ranking has no ratings, so to name a column for them must be a mistake. */
static void
check_rating_column(FmDefinition *definition, const char *given)
{
	if (!fm_is_ranking(definition->task))
		return;
	if (strcmp(given, DEFAULT_RATING_COLUMN) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("task => 'ranking' does not use option rating_column"),
						errhint("It learns from the existence of rows. To weight them, use "
								"weight_column => '%s'.",
								given)));
	definition->rating_column = DEFAULT_RATING_COLUMN;
}

void
fm_definition_from_arguments(FunctionCallInfo fcinfo, const FmDefinition *stored,
							 FmDefinition *definition)
{
	Given arguments = {.definition = definition};
	const char *given_rating_column;

	read_arguments(fcinfo, &arguments);
	given_rating_column = definition->rating_column;
	if (!OidIsValid(definition->ratings) && stored == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("model \"%s\" does not exist",
							   text_to_cstring(PG_GETARG_TEXT_PP(ARG_MODEL))),
						errhint("To define it, say what to train it on: ratings => 'table'.")));
	find_names(&arguments);
	if (!OidIsValid(definition->ratings) && stored->solver == FM_SOLVER_NONE)
		fm_model_imported(text_to_cstring(PG_GETARG_TEXT_PP(ARG_MODEL)));
	if (!OidIsValid(definition->ratings))
		inherit(&arguments, stored);
	resolve_solver(&arguments);
	check_rating_column(definition, given_rating_column);
	check_solver_uses(definition, "l2_reg_w", !isnan(definition->l2_reg_w), FM_SOLVER_ALS,
					  FM_SOLVER_IALS);
	check_solver_uses(definition, "l2_reg_v", !isnan(definition->l2_reg_v), FM_SOLVER_ALS,
					  FM_SOLVER_IALS);
	if (fm_is_ranking(definition->task) && definition->num_context_columns > 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("task => 'ranking' does not use option context_columns"),
						errhint("Leave context_columns out.")));
	if (fm_is_ranking(definition->task) && strcmp(arguments.rank_by, "auto") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("task => 'ranking' does not use option rank_by"),
						errhint("Its lists are ordered by interest. Leave rank_by out.")));
	check_solver_uses(definition, "unobserved_weight", !isnan(definition->unobserved_weight),
					  FM_SOLVER_IALS, FM_SOLVER_IALS);
}

Oid
fm_train_schema_argument(FunctionCallInfo fcinfo)
{
	return fm_schema_argument(fcinfo, ARG_SCHEMA);
}
