/*
 * An evaluation of a model: the scores and lists of all users of the rows being evaluated.
 */
#ifndef FMTOPX_EVALUATION_H
#define FMTOPX_EVALUATION_H

#include "pg/compat.h"

#include "batch/receiver.h"
#include "core/model/curves.h"
#include "core/scan/best.h"
#include "serve/serving.h"
#include "source/read_ratings.h"

/* A user of the model who is being evaluated. */
typedef struct FmEvaluated
{
	int32 idx;
	int32 user;
	int32 query; /* where their vector is in `queries`, or -1 */
} FmEvaluated;

/* Sums of metrics. `labels` replaces `errors` in a classification; else it is NULL. */
typedef struct FmEvaluationSums
{
	FmErrorSums errors;
	FmLabelSums *labels;
	FmRankingSums lists;
	uint64 *recommended; /* items that are in any list */
} FmEvaluationSums;

/* The caller sets the serving, x, the reading and the host. */
typedef struct FmEvaluation
{
	FmServing serving;
	int32 x;
	FmRatingReading *reading; /* its items: the model's by idx, then unknown ones */
	const FmHost *host;

	FmEvaluationSums model;
	FmEvaluationSums simple; /* of the baseline */
	FmBaseline *baseline;	 /* NULL: there is none */

	FmListRules rules;
	FmRatings by_user;
	bool *done;			/* by user: has been scored */
	FmEvaluated *known; /* in ascending order of idx */
	int32 num_known;

	/* of the user being scored */
	uint64 *excluded;
	uint64 *relevant;
	FmHit *hits;
	int32 *popular;
	unsigned char *is_hit;

	/* by combination of contexts; NULL: there are none */
	double *context_base;
	float *context_v; /* × num_factors */
	float *v;		  /* of the row being scored */

	/* only in a ranking */
	FmCurves *curves;
	float *queries; /* of known users */
	int32 num_queries;
	int32 *relevant_items;
} FmEvaluation;

/* Score all users of the reading, which is complete. */
extern void fm_evaluation_run(FmEvaluation *evaluation);

#endif
