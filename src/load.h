/*
 * Reading a ratings relation into memory.
 */
#ifndef FMTOPX_LOAD_H
#define FMTOPX_LOAD_H

#include "core/ratings.h"
#include "idmap.h"
#include "load_features.h"
#include "model.h"

/* Ratings as they are read: ids interned in order of appearance, rows as triples of indices. */
typedef struct FmReading
{
	FmIdMap *users;
	FmIdMap *items;
	FmTriples triples; /* with weights if the definition has a weight column */
	int64 capacity;	   /* of the triples */
	bool is_training;  /* within fmtopx.training_memory */
	int64 skipped;	   /* rows with a NULL user, item, rating or weight, or with weight 0 */
	float min;		   /* of the ratings */
	float max;
} FmReading;

/* A relation that rows can be selected from, with the definition's columns of usable types; else an error. */
extern void fm_check_ratings_relation(const FmDefinition *definition, FmIdType *user_type,
									  FmIdType *item_type);

/* Nothing read yet; in the current context. */
extern FmReading *fm_reading_create(const FmIdType *user_type, const FmIdType *item_type,
									bool weighted);

/*
 * Read the relation by cursor as the current user, with a fresh snapshot unless read_only. NaN, infinity
 * and what overflows a real are errors, so are negative weights, and ids of another type than the reading
 * was created for. The reading must have been created for weights if the definition has a weight column.
 */
extern void fm_read_ratings(const FmDefinition *definition, bool read_only, FmReading *reading);

/*
 * Turn the ratings of a classification into 0 (no) and 1 (yes). An error for any that is neither of the two
 * labels.
 */
extern void fm_label_ratings(const FmDefinition *definition, FmReading *reading, float no,
							 float yes);

/* A whole ratings relation to train on, and what is known of its users and items. In a classification its values are 0 and 1; min and max are the labels. */
typedef struct FmLoad
{
	FmReading *reading; /* in its triples, the indices are ranks */
	int32 *user_order;	/* rank in id order → index in reading->users */
	int32 *item_order;
	FmFeatureReading *features[2]; /* entities likewise; NULL: none */
} FmLoad;

/* Read all of them, as the current user, into memory of the current context. SPI must be connected. */
extern void fm_load_ratings(const FmDefinition *definition, FmLoad *load);

#endif
