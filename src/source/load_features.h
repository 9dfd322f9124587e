/*
 * Reading a relation of features into memory.
 */
#ifndef FMTOPX_LOAD_FEATURES_H
#define FMTOPX_LOAD_FEATURES_H

#include "core/data/features.h"
#include "pg/id_map.h"
#include "registry/model.h"

typedef enum FmFeatureKind
{
	FM_FEATURE_NUMBER,
	FM_FEATURE_CATEGORY, /* a level a value */
	FM_FEATURE_BAG		 /* an array of levels */
} FmFeatureKind;

/* A column of the relation; numbers have one level without a name. */
typedef struct FmFeatureColumn
{
	char *name;
	FmFeatureKind kind;
	FmIdMap *levels;   /* by their text; NULL for numbers */
	int32 *order;	   /* of the levels: rank → index */
	int32 first_level; /* of the column's levels among the entries' */
	int32 num_levels;
} FmFeatureColumn;

/* What the relation says, an entry a level of an entity: index in the id map given. A column is a group. */
typedef struct FmFeatureReading
{
	Oid relation;
	char *relation_name; /* which may be another by now */
	int num_columns;
	FmFeatureColumn *columns;
	FmFeatureEntries entries;
} FmFeatureReading;

/* Of what kind a column of this type is. */
extern FmFeatureKind fm_feature_kind(Oid type);

/*
 * Errors unless the relation can be read as features by its column key_column, which must be comparable with
 * ids of this type. `option` is the one that names the relation, key_option that of the column.
 */
extern void fm_check_features_relation(Oid relation, const char *option, const char *key_column,
									   const char *key_option, const FmIdType *id_type);

/*
 * Read all of it by cursor as the current user, into memory of the current context, ids interned. Rows without
 * a key are passed over. An error for a number that is not finite. What is known to be in memory besides, in bytes,
 * counts against fmtopx.training_memory.
 */
extern FmFeatureReading *fm_read_features(const FmDefinition *definition, Oid relation,
										  const char *key_column, FmIdMap *ids, double bytes);

/* Bytes that the readings take until they are built. */
extern double fm_features_reading_size(const FmFeatureReading *reading);

/* After fm_features_build: a notice for every column that has no level in the model. */
extern void fm_report_idle_columns(const FmFeatureReading *reading);

/* The text of a level, NULL for a number. */
extern char *fm_feature_level_name(const FmFeatureColumn *column, int32 level);

#endif
