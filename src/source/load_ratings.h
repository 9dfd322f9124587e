/*
 * Reading a ratings relation into memory.
 */
#ifndef FMTOPX_LOAD_RATINGS_H
#define FMTOPX_LOAD_RATINGS_H

#include "core/data/ratings.h"
#include "pg/id_map.h"
#include "source/load_contexts.h"
#include "source/load_features.h"
#include "registry/model.h"

/* Ratings as they are read: ids interned in order of appearance, rows as triples of indices. */
typedef struct FmReading
{
	FmIdMap *users;
	FmIdMap *items;
	FmTriples triples; /* with weights if the definition has a weight column, and with contexts */
	FmContextReading *contexts; /* or NULL */
	bool *is_late;				/* of the triples: to be held out; NULL without a time column */
	int64 capacity;				/* of the triples */
	bool is_training;			/* within fmtopx.training_memory */
	int64 skipped; /* rows with a NULL user, item, rating or weight, or with weight 0 */
	float min;	   /* of the ratings */
	float max;
} FmReading;

/* A relation that rows can be selected from, with the definition's columns of usable types; else an error. */
extern void fm_check_ratings_relation(const FmDefinition *definition, FmIdType *user_type,
									  FmIdType *item_type);

/* Whether the relation still has these columns, with ids of these types and what the task wants for ratings. */
extern bool fm_ratings_are_readable(const FmDefinition *definition, Oid user_type, Oid item_type);

/* Append ", rating" and, where the definition has a weight column, ", weight" of relation r, as float8. */
extern void fm_append_values(StringInfo sql, const FmDefinition *definition);

/*
 * The rating and the weight (1 without a column for it) in two columns as those; false where the row does not
 * count, for a NULL or a weight of 0. What cannot be learnt from is an error.
 */
extern bool fm_take_values(const FmDefinition *definition, const Datum *values, const bool *nulls,
						   double *rating, double *weight);

/* A rating of a classification as 1 (yes) or 0 (no); an error for any that is neither of the two labels. */
extern float fm_label(const FmDefinition *definition, float no, float yes, float rating);

/* Nothing read yet, of the definition's columns; in the current context. */
extern FmReading *fm_reading_create(const FmIdType *user_type, const FmIdType *item_type,
									const FmDefinition *definition);

/*
 * Read the relation by cursor as the current user, with a fresh snapshot unless read_only. NaN, infinity
 * and what overflows a real are errors, so are negative weights, and ids of another type than the reading
 * was created for. The reading must have been created for columns like the definition's.
 */
extern void fm_read_ratings(const FmDefinition *definition, bool read_only, FmReading *reading);

/* All ratings of a classification, likewise. */
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

/* Put a reading's indices in the order of the ids. */
extern void fm_load_in_order(FmLoad *load);

/*
 * A number for each entity of a side, by rank, that is another when its ratings are others, 0 if it has none: the
 * sum of a hash of each, so that their order does not matter.
 */
extern int64 *fm_digest_ratings(const FmLoad *load, int side);

/* Read all of them, as the current user, into memory of the current context. SPI must be connected. */
extern void fm_load_ratings(const FmDefinition *definition, FmLoad *load);

#endif
