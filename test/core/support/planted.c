/*
 * Ratings of a known model.
 */
#include "support/planted.h"

#include <string.h>

#define RANK 3
#define ALS_L2_REG 0.2f

Planted
plant(double unit, double offset)
{
	static double v[USERS + ITEMS][RANK], w[USERS + ITEMS];
	FmTriples seen = new_triples(USERS * ITEMS, false);
	Planted planted = {.test = new_triples(USERS * ITEMS, false)};

	random_state = 1;
	for (int e = 0; e < USERS + ITEMS; e++)
	{
		w[e] = 0.5 * normal();
		for (int f = 0; f < RANK; f++)
			v[e][f] = 0.8 * normal();
	}
	for (int u = 0; u < USERS; u++)
		for (int i = 0; i < ITEMS; i++)
		{
			double draw = uniform(), value = 3 + w[u] + w[USERS + i] + NOISE * normal();

			for (int f = 0; f < RANK; f++)
				value += v[u][f] * v[USERS + i][f];
			value = value * unit + offset;
			if (draw > 0.4)
				continue;
			if (u == USERS - 1 || i == ITEMS - 1)
				continue;
			add_rating(draw < 0.04 ? &planted.test : &seen, u, i, value, 1);
		}
	planted.train = new_ratings(&seen, USERS, ITEMS);
	return planted;
}

void
free_planted(Planted *planted)
{
	free_ratings(&planted->train);
	free_triples(&planted->test);
}

FmSolverOptions
planted_options(FmSolverKind solver, int num_factors, int iterations, uint64_t seed)
{
	FmSolverOptions options = default_options(solver, num_factors, iterations, seed);

	if (solver != FM_SOLVER_IALS)
		options.l2_reg_w = options.l2_reg_v = ALS_L2_REG;
	return options;
}

FmParameters
train(const FmRatings *ratings, FmSolverKind solver, int num_factors, int iterations, uint64_t seed)
{
	FmSolverOptions options = planted_options(solver, num_factors, iterations, seed);
	FmParameters parameters;

	fm_solve(ratings, &options, &host, &parameters);
	return parameters;
}

bool
same_bits(const FmParameters *a, const FmParameters *b)
{
	size_t k = a->num_factors;

	return a->b == b->b && memcmp(a->user_w, b->user_w, USERS * sizeof(float)) == 0 &&
		   memcmp(a->item_w, b->item_w, ITEMS * sizeof(float)) == 0 &&
		   memcmp(a->user_v, b->user_v, USERS * k * sizeof(float)) == 0 &&
		   memcmp(a->item_v, b->item_v, ITEMS * k * sizeof(float)) == 0;
}
