/*
 * What is known of the entities of one side besides their ratings.
 *
 * It is a sparse matrix x by columns, one for each level: for level j, the entities entity[start[j]
 * .. start[j+1]), ascending, have the values at the same places; all others have 0. The levels of a
 * group (a column of a relation) are adjacent.
 */
#ifndef FMTOPX_CORE_FEATURES_H
#define FMTOPX_CORE_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host.h"

typedef struct FmFeatures
{
	int32_t num_levels; /* 0: there are no features */
	int32_t num_groups;
	int64_t *start; /* num_levels + 1 */
	int32_t *entity;
	float *value;
	int32_t *group; /* by level, ascending */
} FmFeatures;

/*
 * Features as they are read: one entry for each row, in any order. Several entries of one entity
 * and level add up.
 */
typedef struct FmFeatureEntries
{
	int64_t count;
	int32_t *level;
	int32_t *entity;
	float *value;
	int32_t num_levels;
	int32_t num_groups;
	int32_t *group;	  /* by level, ascending */
	bool *is_numeric; /* by level */
	double *center;	  /* by level: what was subtracted from each entry; NULL: 0 */

	/* What the levels became, by level: set by fm_features_build. */
	int32_t *place; /* its level in the features; -1: left out */
	/* of a numeric level, whose x = (value - mean) / deviation; otherwise 0 and 1 */
	double *mean;
	double *deviation;
} FmFeatureEntries;

/*
 * Build features from entries, which are sorted in place. Numbers are standardised over the
 * entities that have them. Levels that tell nothing are left out: a number that is the same for all
 * entities that have it, and a level of a single entity, whose own θ says as much. Everything is
 * allocated by the host.
 */
extern void fm_features_build(FmFeatureEntries *entries, const FmHost *host, FmFeatures *features);

/*
 * Return the bytes that the arrays of the features take at most; there are FM_FEATURE_ARRAYS of
 * them.
 */
#define FM_FEATURE_ARRAYS 4
extern double fm_features_size(int64_t num_entries, int32_t num_levels);

#endif
