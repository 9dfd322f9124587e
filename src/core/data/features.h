/*
 * What is known of the entities of one side besides their ratings.
 *
 * A sparse matrix x by columns, one a level: of level j, the entities entity[start[j] .. start[j+1]), ascending,
 * have the values beside them, all others have 0. The levels of a group (a column of a relation) stand together.
 */
#ifndef FMTOPX_CORE_FEATURES_H
#define FMTOPX_CORE_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host.h"

typedef struct FmFeatures
{
	int32_t num_levels; /* 0: nothing is known */
	int32_t num_groups;
	int64_t *start; /* num_levels + 1 */
	int32_t *entity;
	float *value;
	int32_t *group; /* by level, ascending */
} FmFeatures;

/* The same as it is read: one entry a row, in any order; what is said twice of an entity adds up. */
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

	/* What has become of the levels, by level: filled in by fm_features_build. */
	int32_t *place; /* in the features; -1: left out */
	double *mean;	/* of a numeric level, whose x = (value - mean) / deviation; else 0 and 1 */
	double *deviation;
} FmFeatureEntries;

/*
 * Build features from entries, which are sorted. Numbers are standardised over the entities that have
 * them. Levels that tell nothing are left out: a number that is the same for all who have it, and a level that
 * but one entity has, of which its own θ says as much. All is allocated by the host.
 */
extern void fm_features_build(FmFeatureEntries *entries, const FmHost *host, FmFeatures *features);

/* Bytes that the arrays of the features take at most, so many arrays. */
#define FM_FEATURE_ARRAYS 4
extern double fm_features_size(int64_t num_entries, int32_t num_levels);

#endif
