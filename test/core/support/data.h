/*
 * Data for the tests of the core: random numbers, ratings and features. Memory comes from the host
 * of the tests.
 */
#ifndef FMTOPX_TEST_DATA_H
#define FMTOPX_TEST_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "core/train/solver.h"
#include "support/host.h"

/* splitmix64: the same state gives the same numbers. */
extern uint64_t random_state;
extern uint64_t random_bits(void);
extern double uniform(void); /* in (0, 1) */
extern double normal(void);	 /* approximately */

/* Return triples without rows, with room for `room` of them. */
extern FmTriples new_triples(int64_t room, bool weighted);

/* Add a rating. The weight is used if the triples have weights. */
extern void add_rating(FmTriples *triples, int32_t user, int32_t item, double value, double weight);
extern void free_triples(FmTriples *triples);

/* Return both compressed orders of the triples. */
extern FmRatings build_ratings(const FmTriples *triples, int32_t users, int32_t items);

/* Do the same, and free the triples. */
extern FmRatings new_ratings(FmTriples *triples, int32_t users, int32_t items);
extern void free_ratings(FmRatings *ratings);

/*
 * Return feature entries without rows, with room for `room` of them. All groups are 0, and no level
 * is numeric.
 */
extern FmFeatureEntries new_entries(int64_t room, int32_t num_levels, int32_t num_groups);
extern void add_entry(FmFeatureEntries *entries, int32_t level, int32_t entity, double value);

/*
 * Build features, and free the entries, except the arrays that say what the levels became:
 * free_levels() frees those.
 */
extern FmFeatures build_features(FmFeatureEntries *entries);
extern void free_levels(FmFeatureEntries *entries);
extern void free_features(FmFeatures *features);

/* The names of the solvers in SQL, by FmSolverKind. */
extern const char *const solver_names[];

/* Return options for the task that the solver is for, with every other default. */
extern FmSolverOptions default_options(FmSolverKind solver, int num_factors, int iterations,
									   uint64_t seed);
extern void free_parameters(FmParameters *parameters);

/* Return the RMSE on a test set, without contexts. */
extern double test_rmse(const FmParameters *parameters, const FmTriples *test);

#endif
