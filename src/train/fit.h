/*
 * The second phase of a training: from what was read to V, w and b, and what there is to say of
 * them.
 */
#ifndef FMTOPX_FIT_H
#define FMTOPX_FIT_H

#include "source/training_data.h"
#include "registry/registry_runs.h"
#include "store/result.h"

/*
 * Train what was read, as it is defined. Fills in the run's figures, and the result but for the
 * digests; both point to memory of the current context. Needs no snapshot, and keeps none.
 */
extern void fm_fit(const FmDefinition *definition, FmTrainingData *data, FmRun *run,
				   FmResult *result);

#endif
