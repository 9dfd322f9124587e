/*
 * Data for the tests of the core: random numbers, ratings and features.
 */
#include "support/data.h"

#include <math.h>

uint64_t random_state = 1;

uint64_t
random_bits(void)
{
	uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

double
uniform(void)
{
	return ((double) (random_bits() >> 11) + 0.5) * 0x1p-53;
}

double
normal(void)
{
	double sum = -6;

	for (int i = 0; i < 12; i++)
		sum += uniform();
	return sum;
}

/* ---- Ratings ---- */

FmTriples
new_triples(int64_t room, bool weighted)
{
	return (FmTriples){0,
					   host.alloc(host.ctx, room, sizeof(int32_t)),
					   host.alloc(host.ctx, room, sizeof(int32_t)),
					   host.alloc(host.ctx, room, sizeof(float)),
					   weighted ? host.alloc(host.ctx, room, sizeof(float)) : NULL,
					   NULL};
}

void
add_rating(FmTriples *triples, int32_t user, int32_t item, double value, double weight)
{
	if (triples->weight != NULL)
		triples->weight[triples->count] = (float) weight;
	triples->user[triples->count] = user;
	triples->item[triples->count] = item;
	triples->value[triples->count++] = (float) value;
}

void
free_triples(FmTriples *triples)
{
	host.release(host.ctx, triples->user);
	host.release(host.ctx, triples->item);
	host.release(host.ctx, triples->value);
	host.release(host.ctx, triples->weight);
	host.release(host.ctx, triples->context);
}

FmRatings
build_ratings(const FmTriples *triples, int32_t users, int32_t items)
{
	FmRatings ratings;

	fm_ratings_by_user(triples, users, items, &host, &ratings);
	fm_ratings_complete(&ratings, &host);
	return ratings;
}

FmRatings
new_ratings(FmTriples *triples, int32_t users, int32_t items)
{
	FmRatings ratings = build_ratings(triples, users, items);

	free_triples(triples);
	return ratings;
}

void
free_ratings(FmRatings *ratings)
{
	host.release(host.ctx, ratings->user_start);
	host.release(host.ctx, ratings->user_item);
	host.release(host.ctx, ratings->user_value);
	host.release(host.ctx, ratings->user_weight);
	host.release(host.ctx, ratings->user_context);
	host.release(host.ctx, ratings->item_start);
	host.release(host.ctx, ratings->item_user);
	host.release(host.ctx, ratings->item_value);
	host.release(host.ctx, ratings->item_weight);
	host.release(host.ctx, ratings->item_context);
	host.release(host.ctx, ratings->contexts.first_level);
	host.release(host.ctx, ratings->contexts.level);
	for (int side = 0; side < 2; side++)
		free_features(&ratings->features[side]);
}

/* ---- Features ---- */

FmFeatureEntries
new_entries(int64_t room, int32_t num_levels, int32_t num_groups)
{
	FmFeatureEntries entries = {.num_levels = num_levels, .num_groups = num_groups};

	entries.level = host.alloc(host.ctx, room, sizeof(int32_t));
	entries.entity = host.alloc(host.ctx, room, sizeof(int32_t));
	entries.value = host.alloc(host.ctx, room, sizeof(float));
	entries.group = host.alloc(host.ctx, num_levels, sizeof(int32_t));
	entries.is_numeric = host.alloc(host.ctx, num_levels, sizeof(bool));
	return entries;
}

void
add_entry(FmFeatureEntries *entries, int32_t level, int32_t entity, double value)
{
	entries->level[entries->count] = level;
	entries->entity[entries->count] = entity;
	entries->value[entries->count++] = (float) value;
}

FmFeatures
build_features(FmFeatureEntries *entries)
{
	FmFeatures features;

	fm_features_build(entries, &host, &features);
	host.release(host.ctx, entries->level);
	host.release(host.ctx, entries->entity);
	host.release(host.ctx, entries->value);
	host.release(host.ctx, entries->group);
	host.release(host.ctx, entries->is_numeric);
	host.release(host.ctx, entries->center);
	return features;
}

void
free_levels(FmFeatureEntries *entries)
{
	host.release(host.ctx, entries->place);
	host.release(host.ctx, entries->mean);
	host.release(host.ctx, entries->deviation);
}

void
free_features(FmFeatures *features)
{
	host.release(host.ctx, features->start);
	host.release(host.ctx, features->entity);
	host.release(host.ctx, features->value);
	host.release(host.ctx, features->group);
}

/* ---- Training ---- */

const char *const solver_names[] = {"mcmc", "als", "ials"};

FmSolverOptions
default_options(FmSolverKind solver, int num_factors, int iterations, uint64_t seed)
{
	return (FmSolverOptions){.task = solver == FM_SOLVER_IALS ? FM_TASK_RANKING
															  : FM_TASK_REGRESSION,
							 .solver = solver,
							 .num_factors = num_factors,
							 .iterations = iterations,
							 .l2_reg_w = -1,
							 .l2_reg_v = -1,
							 .unobserved_weight = -1,
							 .init_stdev = -1,
							 .seed = seed};
}

void
free_parameters(FmParameters *parameters)
{
	host.release(host.ctx, parameters->user_w);
	host.release(host.ctx, parameters->user_v);
	host.release(host.ctx, parameters->item_w);
	host.release(host.ctx, parameters->item_v);
	host.release(host.ctx, parameters->context_w);
	host.release(host.ctx, parameters->context_v);
	for (int side = 0; side < 2; side++)
	{
		host.release(host.ctx, parameters->level_w[side]);
		host.release(host.ctx, parameters->level_v[side]);
	}
}

double
test_rmse(const FmParameters *parameters, const FmTriples *test)
{
	double sum = 0;

	for (int64_t r = 0; r < test->count; r++)
	{
		double error = fm_score(parameters, test->user[r], test->item[r]) - test->value[r];

		sum += error * error;
	}
	return sqrt(sum / test->count);
}
