/*
 * The solvers: ratings in, one set of parameters V, w, b out (core/model/parameters.h).
 */
#ifndef FMTOPX_CORE_SOLVER_H
#define FMTOPX_CORE_SOLVER_H

#include "core/data/ratings.h"
#include "core/host.h"
#include "core/model/parameters.h"
#include "core/model/watch.h"

typedef enum FmSolverKind
{
	FM_SOLVER_MCMC,
	FM_SOLVER_ALS,
	FM_SOLVER_IALS,
	FM_SOLVER_NONE /* the parameters come from elsewhere */
} FmSolverKind;

typedef struct FmSolverOptions
{
	FmTask task;
	FmSolverKind solver;
	int num_factors;		 /* of the stored model; 0: the default, fm_default_factors() */
	int iterations;			 /* 0: the solver's default, fm_default_iterations() */
	float l2_reg_w;			 /* of als (for standardised ratings) and ials; negative: the default */
	float l2_reg_v;			 /* see l2_reg_w; the default of ials is found by a search */
	float unobserved_weight; /* of ials: α₀; negative: the default */
	/* of the first V, for standardised ratings; negative: the default */
	float init_stdev;
	uint64_t seed;
	bool history;	/* whether history is known of entities (regression.h) */
	FmWatch *watch; /* of the leader of a team, for FmHost.progress; or NULL */
} FmSolverOptions;

/* Return the default number of factors for this many users and items. */
extern int fm_default_factors(FmTask task, int32_t num_users, int32_t num_items);

/*
 * Return the default number of iterations of a solver, burn-in included. A training may make fewer
 * or more of ials: FmParameters.iterations.
 */
extern int fm_default_iterations(FmTask task, FmSolverKind solver);

/*
 * Return the default l2_reg_w and l2_reg_v of a solver that uses them; negative: by a search. als
 * searches, too, where it can (als.h).
 */
extern void fm_default_regularisation(FmSolverKind solver, float *l2_reg_w, float *l2_reg_v);

/*
 * Train. The arrays of *result are allocated through the host. Every number in *result is finite,
 * or host->fail was called.
 *
 * An entity without ratings gets the w and v that its features say, 0 without features.
 *
 * The result has a fixed gauge: Σ_u v_u = 0 and Σ_i v_i = 0 over the entities with ratings, with
 * what that moves absorbed in w and b. So a user of whom nothing is known (φ = 0) gets the average
 * user's order of items. In a classification the score is η, and the spread of the posterior is in
 * score_variance (spread.h). For a member of a team (core/team.h) that does not lead, result is
 * NULL.
 */
extern void fm_solve(const FmRatings *ratings, const FmSolverOptions *options, const FmHost *host,
					 FmParameters *result);

/* Return the bytes that fm_solve allocates at most of the memory that its team shares. */
extern size_t fm_solve_shared_size(const FmRatings *ratings, const FmSolverOptions *options,
								   const FmHost *host);

/*
 * Return about how many bytes fm_solve takes besides the ratings, its result included, if every
 * user and item has ratings.
 */
extern double fm_solve_size(int64_t num_ratings, int32_t num_users, int32_t num_items,
							const int32_t num_levels[2], const FmContexts *contexts,
							const FmSolverOptions *options);

#endif
