/*
 * The state of fm_fold_in.
 *
 * fold_in.c drives it, fold_changes.c reads the version and the ratings and finds what has changed,
 * and fold_solve.c solves that.
 */
#ifndef FMTOPX_FOLDING_H
#define FMTOPX_FOLDING_H

#include "core/data/ratings.h"
#include "core/host.h"
#include "store/result.h"

/* The users or items of the version, by index in the id map. */
typedef struct FmFoldingKnown
{
	const FmModel *model;
	FmIdMap *ids;
	int num_factors;
	int32 count;
	int32 capacity;
	float *w;
	float *v;
	int64 *digest;
} FmFoldingKnown;

/* The users or items of the new version, by the rank of their ids. */
typedef struct FmFoldingSide
{
	int32 count;
	float *w;
	float *v;
	int64 *digest;
	bool *solvable; /* is to be solved, if it has ratings */
	bool *usable;	/* has w and v, so that the other side can be solved against it */
	bool *given;	/* its w and v come from its features, and are the mean of its prior */
	int32 num_added;
	int32 num_updated;
} FmFoldingSide;

typedef struct FmFolding
{
	FmModel model;
	FmDefinition definition; /* as the version was made */
	FmVersion version;		 /* to fold into */
	FmVersionArrays arrays;
	FmParameters parameters;
	FmResult result;
	FmTrainingData data;
	FmFoldingKnown known[2];
	FmFoldingSide side[2];
	const FmHost *host;
} FmFolding;

#endif
