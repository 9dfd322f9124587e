/*
 * The computing phase of a training: from the data that was read to V, w and b, and what describes
 * them.
 */
#ifndef FMTOPX_FIT_H
#define FMTOPX_FIT_H

#include "registry/registry_runs.h"
#include "source/training_data.h"
#include "store/result.h"

/*
 * Train on the data, as the definition says. Fills in the figures of the run, and the result
 * without the digests; its version has the number of the run. Both point to memory of the current
 * context. Needs no snapshot, and keeps none.
 */
extern void fm_fit(const FmDefinition *definition, FmTrainingData *data, FmRun *run,
				   FmResult *result);

#endif
