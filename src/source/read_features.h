/*
 * Reading a relation of features into memory.
 */
#ifndef FMTOPX_READ_FEATURES_H
#define FMTOPX_READ_FEATURES_H

#include "core/data/features.h"
#include "pg/id_map.h"
#include "registry/model.h"
#include "source/feature_columns.h"

/*
 * The relation as it is read: one entry for each level of an entity. Each column is a group of
 * levels.
 */
typedef struct FmFeatureReading
{
	Oid relation;
	char *relation_name; /* when it was read: it may have been renamed since */
	int num_columns;
	FmFeatureColumn *columns;
	FmFeatureEntries entries; /* entities are indices in the id map that was given */
} FmFeatureReading;

/*
 * Read the whole relation by cursor, as the current user, into memory of the current context. Adds
 * its ids to the map. Skips rows without a key. A number that is not finite is an error. `bytes` is
 * the memory that is in use already; it counts against fmtopx.training_memory.
 */
extern FmFeatureReading *fm_read_features(const FmDefinition *definition, Oid relation,
										  const char *key_column, FmIdMap *ids, double bytes);

/* Return how many bytes a reading takes until fm_features_build. */
extern double fm_features_reading_size(const FmFeatureReading *reading);

/* After fm_features_build, report each column that has no level in the model, by a notice. */
extern void fm_report_idle_columns(const FmFeatureReading *reading);

/* Return the text of a level; NULL for a number. */
extern char *fm_feature_level_name(const FmFeatureColumn *column, int32 level);

#endif
