/*
 * Ratings of a known model, and what several tests of the solvers do with them.
 */
#ifndef FMTOPX_TEST_PLANTED_H
#define FMTOPX_TEST_PLANTED_H

#include "support/data.h"

#define USERS 300
#define ITEMS 200
#define NOISE 0.5

typedef struct Planted
{
	FmRatings train;
	FmTriples test;
} Planted;

/*
 * Return ratings in the given units. A tenth is held out, and so are all ratings of the last user
 * and item.
 */
extern Planted plant(double unit, double offset);
extern void free_planted(Planted *planted);

/*
 * Return default options, except for regularisation: its defaults are for ratings with more noise.
 */
extern FmSolverOptions planted_options(FmSolverKind solver, int num_factors, int iterations,
									   uint64_t seed);
extern FmParameters train(const FmRatings *ratings, FmSolverKind solver, int num_factors,
						  int iterations, uint64_t seed);

/* Return whether two models have the same users and items, bit for bit. */
extern bool same_bits(const FmParameters *a, const FmParameters *b);

#endif
