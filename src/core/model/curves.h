/*
 * Areas under the ROC curves of whole lists: the scores of all items, for a block of users at once.
 */
#ifndef FMTOPX_CORE_CURVES_H
#define FMTOPX_CORE_CURVES_H

#include "core/model/ranking.h"

typedef struct FmCurves FmCurves;

/*
 * Create curves over num_items vectors of `dim` numbers each. `standing`, if not NULL, has a number
 * for each item that orders all lists of a baseline.
 */
extern FmCurves *fm_curves_create(const float *rows, int32_t num_items, int dim,
								  const float *standing, const FmHost *host);

/*
 * Add a user: the vector that scores items, the set of items that are not eligible, and the
 * relevant ones, which are distinct and eligible. Nothing of it needs to stay.
 */
extern void fm_curves_add(FmCurves *curves, const float *query, const uint64_t *excluded,
						  const int32_t *relevant, int32_t num_relevant);

/* Return the sums over all users that were added: of the lists, and of the baseline. */
extern void fm_curves_finish(FmCurves *curves, FmRankingSums *lists, FmRankingSums *baseline);

#endif
