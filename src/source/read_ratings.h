/*
 * Reading a ratings relation into memory.
 */
#ifndef FMTOPX_READ_RATINGS_H
#define FMTOPX_READ_RATINGS_H

#include "core/data/ratings.h"
#include "pg/id_map.h"
#include "registry/model.h"
#include "source/read_contexts.h"

/* Ratings as they are read: users and items are numbered in order of appearance. */
typedef struct FmRatingReading
{
	FmIdMap *users;
	FmIdMap *items;
	FmTriples triples;			/* with weights and contexts if the definition has such columns */
	FmContextReading *contexts; /* or NULL */
	bool *is_late;				/* which triples to hold out; NULL without a split column */
	double *time;				/* of each triple, NaN if unknown; NULL without a time column */
	int64 capacity;				/* of the triples */
	bool is_training;			/* keep to fmtopx.training_memory */
	int64 skipped; /* rows with a NULL user, item, rating or weight, or with weight 0 */
	float min;	   /* of the ratings */
	float max;
	double center; /* values are relative to it: fm_rating_center; set before reading */
	double least;  /* min and max, before they become real */
	double greatest;
	double first;		   /* of the ratings */
	double sum_from_first; /* of weight * (rating - first) */
	double total_weight;
} FmRatingReading;

/* Begin a reading of the definition's columns, in the current context. */
extern FmRatingReading *fm_rating_reading_create(const FmIdType *user_type,
												 const FmIdType *item_type,
												 const FmDefinition *definition);

/*
 * Read the relation by cursor as the current user, with a fresh snapshot unless read_only. The
 * reading must have been created for the same columns. It is an error if the ids have another type
 * than then, if a rating is NaN, infinite or too large for a real, or if a weight is negative.
 */
extern void fm_read_ratings(const FmDefinition *definition, bool read_only,
							FmRatingReading *reading);

/* Forget all ratings, but no ids, to read them again relative to a center. */
extern void fm_rating_reading_rewind(FmRatingReading *reading, double center);

/*
 * Return the weighted mean of the ratings, rounded to a small part of their range, so that it does
 * not depend on their order.
 */
extern double fm_rating_reading_mean(const FmRatingReading *reading);

/* Turn all ratings of a classification into 1 (yes) or 0 (no), as fm_label does. */
extern void fm_label_ratings(const FmDefinition *definition, FmRatingReading *reading, float no,
							 float yes);

#endif
