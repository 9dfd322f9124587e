/*
 * What the stand-alone tests of the core make their data with: random numbers, ratings, features; all in memory of
 * the tests' host.
 */
#ifndef FMTOPX_TEST_DATA_H
#define FMTOPX_TEST_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "core/train/solver.h"
#include "support/host.h"

/* splitmix64: the same state gives the same numbers from then on. */
extern uint64_t random_state;
extern uint64_t random_bits(void);
extern double uniform(void); /* in (0, 1) */
extern double normal(void);	 /* roughly */

/* Without rows, and room for so many. */
extern FmTriples new_triples(int64_t room, bool weighted);

/* The weight is heeded where there are weights. */
extern void add_rating(FmTriples *triples, int32_t user, int32_t item, double value, double weight);
extern void free_triples(FmTriples *triples);

/* Both compressed orders. */
extern FmRatings build_ratings(const FmTriples *triples, int32_t users, int32_t items);

/* The same, and the triples are freed. */
extern FmRatings new_ratings(FmTriples *triples, int32_t users, int32_t items);
extern void free_ratings(FmRatings *ratings);

/* Without rows, and room for so many; groups are 0, no level is a number. */
extern FmFeatureEntries new_entries(int64_t room, int32_t num_levels, int32_t num_groups);
extern void add_entry(FmFeatureEntries *entries, int32_t level, int32_t entity, double value);

/* Frees what the entries hold, but for what has become of the levels. */
extern FmFeatures build_features(FmFeatureEntries *entries);
extern void free_levels(FmFeatureEntries *entries);
extern void free_features(FmFeatures *features);

/* By the names that SQL has for them. */
extern const char *const solver_names[];

/* Of the task that the solver is for, with every default. */
extern FmSolverOptions default_options(FmSolverKind solver, int num_factors, int iterations,
									   uint64_t seed);
extern void free_parameters(FmParameters *parameters);

/* Without contexts. */
extern double test_rmse(const FmParameters *parameters, const FmTriples *test);

#endif
