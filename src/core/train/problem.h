/*
 * A training problem in the form that the solvers share: two sides, targets without units, one
 * seed.
 *
 * Targets are standardised, y' = (y - mean) / deviation, so that priors, regularisation and the
 * first V mean the same for stars, percentages and revenue, and single precision is enough for
 * residuals. The targets of a classification are latent (probit.c); their mean is the Φ⁻¹ of the
 * share of ones, their deviation 1. The targets of a ranking are 1 and are not changed.
 */
#ifndef FMTOPX_CORE_PROBLEM_H
#define FMTOPX_CORE_PROBLEM_H

#include "core/train/block.h"
#include "core/train/solver.h"

/* The streams of random numbers: no two uses may share one. */
enum
{
	FM_STREAM_INIT,		 /* + side */
	FM_STREAM_BLOCK = 2, /* + side */
	FM_STREAM_PRIOR = 4, /* + side */
	FM_STREAM_SHARE = 6, /* + side */
	FM_STREAM_NOISE = 8,
	FM_STREAM_LATENT = 9,		  /* + side */
	FM_STREAM_CONTEXT = 19,		  /* ratios */
	FM_STREAM_CONTEXT_LEVEL = 20, /* + 2 × column + (0 blocks, 1 latent targets) */
	FM_STREAM_EFFECT = 11,		  /* + 4 × side + 2 × design + (0 effects, 1 ratios) */
	FM_STREAM_HOLD_OUT = 1 << 16,
	FM_STREAM_SHARE_COUNT /* + side */
};

typedef struct FmProblem
{
	const FmHost *host;
	const FmBlockKernel *kernel;
	FmTask task;
	FmSide side[2];
	FmFeatures features[2];
	bool history;
	FmContexts contexts;
	const int32_t *context[2]; /* of each rating, in the side's order; or NULL */
	int64_t num_ratings;
	FmRepeatWeights repeats;
	double total_weight;  /* of the ratings: their number if they have no weights */
	int32_t num_rated[2]; /* entities with ratings */
	double mean;
	double deviation;
	int iterations;
	float init_stdev;
	float l2_reg_w;
	float l2_reg_v;			 /* ials: negative: found by a search */
	float unobserved_weight; /* negative: the default */
	uint64_t seed;
	FmWatch *watch; /* or NULL */
} FmProblem;

/*
 * Check for interrupts now and then. To be called for every element of a loop that does little for
 * each.
 */
static inline void
fm_problem_check(const FmProblem *problem, int64_t at)
{
	if (at % 1024 == 0)
		problem->host->check_interrupts(problem->host->ctx);
}

/*
 * Return whether a search inside the training holds out a pair, as it does a tenth of all: uniform
 * in (seed, user, item).
 */
extern bool fm_problem_holds_out(const FmProblem *problem, int32_t user, int32_t item);

/* Return whether repeats alone have made weights, so that each rating is one observation. */
static inline bool
fm_problem_weighs_repeats(const FmProblem *problem)
{
	return problem->repeats.row_variance > 0;
}

/* Return how many observations the noise of an entity, or that of all, is known from. */
extern double fm_problem_observations(const FmProblem *problem, int side, int32_t e);
extern double fm_problem_all_observations(const FmProblem *problem);

/* Return whether a solver is to find the correlation of repeats itself. */
extern bool fm_problem_fits_correlation(const FmProblem *problem);

/*
 * Return the correlation of repeats, given the precision of what the model leaves, standardised:
 * merging only knew what users and items leave.
 */
extern double fm_problem_correlation(const FmProblem *problem, double noise_precision);

/* Return what turns the weights of the problem into those of another correlation. */
extern FmReweighing fm_problem_reweighing(const FmProblem *problem, double correlation);

/*
 * Compute the logarithm of each entity's total weight of ratings, centred over the entities that
 * have ratings; return the sum of squares.
 */
extern double fm_problem_centre_counts(const FmProblem *problem, int side, float *covariate);

/* Return rows of one side, all zero. */
extern float *fm_problem_rows(const FmProblem *problem, int side, int rank);

/*
 * Return rows of one side where entities with ratings have v from N(0, init_stdev²), w = 0 and
 * scale 1.
 */
extern float *fm_problem_init_rows(const FmProblem *problem, int side, int rank);

/* Return a half-step of one side, ready except for its prior and its outputs. */
extern FmHalfStep fm_problem_half_step(const FmProblem *problem, int side, int rank,
									   const float *other_rows, double *error);

/* What a solver has done after an iteration. */
typedef struct FmIteration
{
	const char *solver;
	int number; /* from 1 */
	int count;	/* about how many there will be */
	double error;
	int rank;
	const float *rows[2];
	const float *levels; /* rows of contexts, or NULL */
	bool averages;		 /* predictions are means over the samples so far */
} FmIteration;

/*
 * Tell the host of an iteration. What the rows are must stay as it is until all members of the team
 * have met again: the leader may still be reading them.
 */
extern void fm_problem_report(const FmProblem *problem, const FmIteration *iteration);

/* Return the sum over the rated entities of a side, in index order. */
extern double fm_problem_sum_error(const FmProblem *problem, int side, const double *error);

#endif
