/*
 * The definition of a model: the names of tasks and solvers, and what they mean to the core.
 */
#include "registry/definition.h"

#include <math.h>

#include "catalog/pg_type.h"

#define NUM_TASKS (FM_TASK_RANKING + 1)

static const char *const task_names[NUM_TASKS] = {[FM_TASK_REGRESSION] = "regression",
												  [FM_TASK_CLASSIFICATION] = "classification",
												  [FM_TASK_RANKING] = "ranking"};

static const char *const rank_by_names[] = {
	[FM_RANK_BY_AUTO] = "auto", [FM_RANK_BY_INTEREST] = "interest", [FM_RANK_BY_RATING] = "rating"};

/* Of two solvers that do the same task, the first is the default. */
static const struct
{
	const char *name;
	bool does[NUM_TASKS];
} solvers[] = {
	[FM_SOLVER_MCMC] = {"mcmc", {[FM_TASK_REGRESSION] = true, [FM_TASK_CLASSIFICATION] = true}},
	[FM_SOLVER_ALS] = {"als", {[FM_TASK_REGRESSION] = true}},
	[FM_SOLVER_IALS] = {"ials", {[FM_TASK_RANKING] = true}},
	[FM_SOLVER_NONE] = {"import", {false}},
};

const char *
fm_task_name(FmTask task)
{
	return task_names[task];
}

bool
fm_find_task(const char *name, FmTask *task)
{
	for (int t = 0; t < NUM_TASKS; t++)
		if (strcmp(name, task_names[t]) == 0)
		{
			*task = (FmTask) t;
			return true;
		}
	return false;
}

const char *
fm_rank_by_name(FmRankBy rank_by)
{
	return rank_by_names[rank_by];
}

bool
fm_find_rank_by(const char *name, FmRankBy *rank_by)
{
	for (int r = 0; r < lengthof(rank_by_names); r++)
		if (strcmp(name, rank_by_names[r]) == 0)
		{
			*rank_by = (FmRankBy) r;
			return true;
		}
	return false;
}

bool
fm_has_interest(const FmDefinition *definition)
{
	return !fm_is_ranking(definition->task) && definition->rank_by != FM_RANK_BY_RATING;
}

const char *
fm_solver_name(FmSolverKind solver)
{
	return solvers[solver].name;
}

bool
fm_find_solver(const char *name, FmSolverKind *solver)
{
	for (int s = 0; s < lengthof(solvers); s++)
		if (strcmp(name, solvers[s].name) == 0)
		{
			*solver = (FmSolverKind) s;
			return true;
		}
	return false;
}

bool
fm_solver_does(FmSolverKind solver, FmTask task)
{
	return solvers[solver].does[task];
}

FmSolverKind
fm_default_solver(FmTask task)
{
	int solver = 0;

	while (!solvers[solver].does[task])
		solver++;
	return (FmSolverKind) solver;
}

char **
fm_name_array(ArrayType *array, int *count)
{
	Datum *names;
	bool *nulls;
	char **result;

	deconstruct_array(array, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &names, &nulls, count);
	result = palloc((*count + 1) * sizeof(char *));
	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("option context_columns must not contain NULL")));
		result[i] = pstrdup(NameStr(*DatumGetName(names[i])));
	}
	return result;
}

static float
negative_for_nan(float value)
{
	return isnan(value) ? -1 : value;
}

FmSolverOptions
fm_solver_options(const FmDefinition *definition)
{
	return (FmSolverOptions){
		.task = definition->task,
		.solver = definition->solver,
		.num_factors = definition->num_factors,
		.iterations = definition->iterations,
		.l2_reg_w = negative_for_nan(definition->l2_reg_w),
		.l2_reg_v = negative_for_nan(definition->l2_reg_v),
		.unobserved_weight = negative_for_nan(definition->unobserved_weight),
		.init_stdev = negative_for_nan(definition->init_stdev),
		.history = definition->history,
		.seed = (uint64_t) definition->seed,
	};
}

FmSolverOptions
fm_interest_options(const FmDefinition *definition)
{
	return (FmSolverOptions){.task = FM_TASK_RANKING,
							 .solver = FM_SOLVER_IALS,
							 .num_factors = definition->num_factors,
							 .l2_reg_w = -1,
							 .l2_reg_v = -1,
							 .unobserved_weight = -1,
							 .init_stdev = -1,
							 .seed = (uint64_t) definition->seed};
}
