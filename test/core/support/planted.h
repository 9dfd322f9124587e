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

/* In given units; a tenth is held out, and the last user and item with it. */
extern Planted plant(double unit, double offset);
extern void free_planted(Planted *planted);

/* Every default but for regularisation, which is meant for ratings with more noise than these. */
extern FmSolverOptions planted_options(FmSolverKind solver, int num_factors, int iterations,
									   uint64_t seed);
extern FmParameters train(const FmRatings *ratings, FmSolverKind solver, int num_factors,
						  int iterations, uint64_t seed);

/* Of users and items. */
extern bool same_bits(const FmParameters *a, const FmParameters *b);

#endif
