/*
 * The columns of a relation of features: which there are, and of what kind.
 */
#ifndef FMTOPX_FEATURE_COLUMNS_H
#define FMTOPX_FEATURE_COLUMNS_H

#include "pg/id_map.h"

typedef enum FmFeatureKind
{
	FM_FEATURE_NUMBER,
	FM_FEATURE_CATEGORY, /* each value is a level */
	FM_FEATURE_BAG		 /* an array; each element is a level */
} FmFeatureKind;

/*
 * A column of the relation, and its levels once it has been read. A number has one level without a
 * name.
 */
typedef struct FmFeatureColumn
{
	char *name;
	FmFeatureKind kind;
	Oid collation;	   /* by which levels are compared */
	FmIdMap *levels;   /* by their text; NULL for numbers */
	int32 *order;	   /* of the levels: rank → index in the map */
	int32 first_level; /* number of the column's first level among those of all columns */
	int32 num_levels;
	double least; /* of the numbers */
	double greatest;
	double center; /* what is subtracted from each number before it becomes real */
} FmFeatureColumn;

/*
 * Return the collation to compare levels by, given that of the column: bytes, unless the collation
 * calls different strings equal.
 */
extern Oid fm_level_collation(Oid collation);

/* Return the kind of a column of this type. */
extern FmFeatureKind fm_feature_kind(Oid type);

/* List the relation's columns in their order, without the key. Their levels are not set. */
extern FmFeatureColumn *fm_list_feature_columns(Oid relation, AttrNumber key, int *num_columns);

/*
 * Raise an error unless the relation can be read as features. Its column key_column must be
 * comparable with ids of the given type. The error names the option that gave the relation
 * (`option`) or the column (`key_option`).
 */
extern void fm_check_features_relation(Oid relation, const char *option, const char *key_column,
									   const char *key_option, const FmIdType *id_type);

#endif
