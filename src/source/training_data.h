/*
 * Everything that a training reads: ratings, features and contexts, with indices in the order of
 * the ids.
 */
#ifndef FMTOPX_TRAINING_DATA_H
#define FMTOPX_TRAINING_DATA_H

#include "source/read_features.h"
#include "source/read_ratings.h"

/*
 * In the triples of the ratings, and in the entries of the features, users and items are numbered
 * by the rank of their ids. In a classification the values of the ratings are 0 and 1; their min
 * and max are the labels.
 */
typedef struct FmTrainingData
{
	FmRatingReading *ratings;
	int32 *user_order; /* rank → index in ratings->users */
	int32 *item_order;
	FmFeatureReading *features[2]; /* of users and of items; NULL: none */
} FmTrainingData;

/*
 * Read all of it, as the current user, into memory of the current context. SPI must be connected.
 * Nothing to learn from is an error.
 */
extern void fm_read_training_data(const FmDefinition *definition, FmTrainingData *data);

/*
 * Replace the indices in the ratings, which are in order of appearance, by ranks, and set both
 * orders.
 */
extern void fm_rank_ratings(FmTrainingData *data);

/*
 * Return a digest of the ratings of each entity of a side, by rank; 0 for an entity without
 * ratings. The digest is a sum of hashes, one for each rating, so it does not depend on the order
 * of the rows.
 */
extern int64 *fm_digest_ratings(const FmTrainingData *data, int side);

#endif
