/*
 * The definition of a model: what it is trained from, and how.
 */
#ifndef FMTOPX_DEFINITION_H
#define FMTOPX_DEFINITION_H

#include "pg/compat.h"

#include "core/train/solver.h"
#include "utils/array.h"

/* What orders lists. A ranking has no choice. */
typedef enum FmRankBy
{
	FM_RANK_BY_AUTO, /* what is best: the interest */
	FM_RANK_BY_INTEREST,
	FM_RANK_BY_RATING
} FmRankBy;

/* The arguments of fm_train, or of an earlier call. Strings are palloc'd. */
typedef struct FmDefinition
{
	Oid ratings; /* InvalidOid: none, of an attached model */
	char *user_column;
	char *item_column;
	char *rating_column;
	char *weight_column; /* NULL: every rating counts once */
	char *time_column;	 /* newer rows count more in lists; NULL: all alike */
	Oid features[2];	 /* relations of user and item features, InvalidOid: none */
	bool history;
	int num_context_columns;
	char **context_columns;
	FmTask task; /* an attached model has none: its versions do */
	FmSolverKind solver;
	int num_factors; /* 0: by task and size of the data */
	int iterations;	 /* 0: the solver's default */
	float l2_reg_w;	 /* NaN: the solver's default; the same holds for the next three */
	float l2_reg_v;
	float unobserved_weight;
	float init_stdev;
	float test_size;
	char *split_column; /* hold out the latest ratings by this column; NULL: a random sample */
	int64 seed;
	int workers; /* -1: as the server allows */
	FmRankBy rank_by;
} FmDefinition;

/* Whether rows have no ratings: it only counts that they exist. */
static inline bool
fm_is_ranking(FmTask task)
{
	return task == FM_TASK_RANKING;
}

/* Whether ratings mean yes or no. */
static inline bool
fm_is_classification(FmTask task)
{
	return task == FM_TASK_CLASSIFICATION;
}

/* Whether a training learns an interest head besides the rating head. */
extern bool fm_has_interest(const FmDefinition *definition);

/* Tasks, solvers and orders by name, as SQL writes them; false if there is none of this name. */
extern const char *fm_rank_by_name(FmRankBy rank_by);
extern bool fm_find_rank_by(const char *name, FmRankBy *rank_by);
extern const char *fm_task_name(FmTask task);
extern bool fm_find_task(const char *name, FmTask *task);
extern const char *fm_solver_name(FmSolverKind solver);
extern bool fm_find_solver(const char *name, FmSolverKind *solver);

/* Whether a solver does a task, and the solver that does it by default. */
extern bool fm_solver_does(FmSolverKind solver, FmTask task);
extern FmSolverKind fm_default_solver(FmTask task);

/* The names in an array, an error for NULL; in the current context. */
extern char **fm_name_array(ArrayType *array, int *count);

/* Return the options of the core's solver, and those for the interest head. */
extern FmSolverOptions fm_solver_options(const FmDefinition *definition);
extern FmSolverOptions fm_interest_options(const FmDefinition *definition);

/* Return the options of the solver for the interest head. */
extern FmSolverOptions fm_interest_options(const FmDefinition *definition);

#endif
