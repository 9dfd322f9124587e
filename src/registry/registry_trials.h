/*
 * Writing the registry's trials: what fm_tune has tried. The rules of registry_models.h apply.
 */
#ifndef FMTOPX_REGISTRY_TRIALS_H
#define FMTOPX_REGISTRY_TRIALS_H

#include "registry/registry_runs.h"

/* One trial of fm_tune. */
typedef struct FmTrial
{
	double value; /* of the metric; NaN: the trial failed */
	int num_factors;
	double default_unobserved_weight;
} FmTrial;

/*
 * Find the last trial of the model as it is defined now, with the same held-out ratings. Return
 * false if there is none.
 */
extern bool fm_registry_find_trial(Oid schema, const FmModel *model, FmTrial *trial);

/* Record a trial: the run's metrics, or why it failed. */
extern void fm_registry_save_trial(Oid schema, const FmModel *model, const FmRun *run,
								   const char *failure);
extern void fm_registry_delete_trials(Oid schema, const char *model);

#endif
