/*
 * The solvers: ratings in, one set of parameters V, w, b out (core/model/parameters.h).
 */
#ifndef FMTOPX_CORE_SOLVER_H
#define FMTOPX_CORE_SOLVER_H

#include "core/host.h"
#include "core/data/ratings.h"
#include "core/model/parameters.h"

typedef enum FmSolverKind
{
	FM_SOLVER_MCMC,
	FM_SOLVER_ALS,
	FM_SOLVER_IALS
} FmSolverKind;

typedef struct FmSolverOptions
{
	FmTask task;
	FmSolverKind solver;
	int num_factors; /* of the stored model */
	int iterations;	 /* 0: the solver's default, fm_default_iterations() */
	float l2_reg_w; /* of als, for standardised ratings, and ials (ials.c); negative: the default */
	float l2_reg_v; /* likewise */
	float unobserved_weight; /* of ials: α₀; negative: the default */
	float init_stdev;		 /* of the first V, of standardised ratings; negative: the default */
	uint64_t seed;
	bool history; /* what an entity has rated is known of it, too (regression.h) */
} FmSolverOptions;

/* The number of iterations (all of them, burn-in included) that a solver runs when none is asked for. */
extern int fm_default_iterations(FmTask task, FmSolverKind solver);

/* What l2_reg_w and l2_reg_v are when they are not given, to solvers that use them. */
extern void fm_default_regularisation(FmSolverKind solver, float *l2_reg_w, float *l2_reg_v);

/*
 * Train. Allocates the arrays of *result through the host. Every number in *result is finite, or
 * host->fail was called.
 *
 * An entity without ratings has the w and v that its features say, 0 without features.
 *
 * The result is put in a fixed gauge: Σ_u v_u = 0 and Σ_i v_i = 0 over the entities with ratings, with
 * what that moves absorbed in w and b, so that a user of whom nothing is known (φ = 0) gets the average
 * user's order of items. In a classification the score is η before the spread of the posterior is taken
 * into account (spread.h). A member of a team (core/team.h) that does not lead has no result: NULL.
 */
extern void fm_solve(const FmRatings *ratings, const FmSolverOptions *options, const FmHost *host,
					 FmParameters *result);

/* Bytes at most that fm_solve allocates of the memory its team shares. */
extern size_t fm_solve_shared_size(const FmRatings *ratings, const FmSolverOptions *options,
								   const FmHost *host);

/*
 * Bytes, about, that fm_solve takes besides the ratings, its result included, when every user and item
 * has ratings.
 */
extern double fm_solve_size(int64_t num_ratings, int32_t num_users, int32_t num_items,
							const int32_t num_levels[2], const FmContexts *contexts,
							const FmSolverOptions *options);

#endif
