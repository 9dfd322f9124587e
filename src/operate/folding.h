/*
 * The state of fm_fold_in.
 *
 * fold_in.c drives it, fold_changes.c reads the version and the ratings and finds what has changed,
 * and fold_solve.c solves that.
 */
#ifndef FMTOPX_FOLDING_H
#define FMTOPX_FOLDING_H

#include "core/data/ratings.h"
#include "core/data/recency.h"
#include "core/host.h"
#include "store/result.h"

/* The heads of a version: that of its task and, if it has one, its interest head. */
enum
{
	FM_FIRST_HEAD,
	FM_INTEREST_HEAD,
	FM_MAX_HEADS
};

/* What it takes to solve the w and v of a head. */
typedef struct FmFoldingHead
{
	FmTask task; /* an interest head is solved as a ranking */
	int num_factors;
	double b;
	double offset; /* b, less what was subtracted from the ratings */
	double noise_variance;
	FmPrior prior[2];
} FmFoldingHead;

/* The users or items of the version, by index in the id map. */
typedef struct FmFoldingKnown
{
	const FmModel *model;
	FmIdMap *ids;
	int num_heads;
	int num_factors[FM_MAX_HEADS];
	int32 count;
	int32 capacity;
	float *w[FM_MAX_HEADS];
	float *v[FM_MAX_HEADS];
	int64 *digest;
	float *popularity; /* of items, or NULL */
} FmFoldingKnown;

/* The w and v of one side in one head. */
typedef struct FmFoldingVectors
{
	float *w;
	float *v;
	bool *usable; /* has w and v, so that the other side can be solved against it */
} FmFoldingVectors;

/* The users or items of the new version, by the rank of their ids. */
typedef struct FmFoldingSide
{
	int32 count;
	FmFoldingVectors head[FM_MAX_HEADS];
	int64 *digest;
	float *popularity; /* of items, or NULL */
	bool *solvable;	   /* is to be solved, if it has ratings */
	bool *given;	   /* its w and v come from its features, and are the mean of its prior */
	int32 num_added;
	int32 num_updated;
} FmFoldingSide;

typedef struct FmFolding
{
	FmModel model;
	FmDefinition definition; /* as the version was made */
	FmVersion version;		 /* to fold into */
	FmVersionArrays arrays;
	int num_heads;
	FmFoldingHead head[FM_MAX_HEADS];
	FmParameters parameters[FM_MAX_HEADS];
	FmResult result;
	FmTrainingData data;
	int64 num_rows;	   /* of ratings as they were read */
	FmRecency recency; /* of ratings in an interest head, with a time column */
	FmFoldingKnown known[2];
	FmFoldingSide side[2];
	float *new_shares; /* of items that had no ratings, in the pairs of a ranking */
	const FmHost *host;
} FmFolding;

/* Return the head that is a ranking, or -1. */
static inline int
fm_folding_ranking(const FmFolding *folding)
{
	int last = folding->num_heads - 1;

	return fm_is_ranking(folding->head[last].task) ? last : -1;
}

#endif
