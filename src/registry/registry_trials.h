/*
 * The registry's trials, written: what fm_tune has tried. The rules of registry_models.h hold.
 */
#ifndef FMTOPX_REGISTRY_TRIALS_H
#define FMTOPX_REGISTRY_TRIALS_H

#include "registry/registry_runs.h"

/* One trial of fm_tune. */
typedef struct FmTrial
{
	double value; /* of the metric; NaN: it failed */
	double default_unobserved_weight;
} FmTrial;

/* The metric by which models of a task are compared; of a ranking more is better, else less. */
extern const char *fm_metric_name(FmTask task);

/*
 * The trial of this model as it is defined now, on these held-out ratings; false if there is none
 * yet.
 */
extern bool fm_registry_find_trial(Oid schema, const FmModel *model, FmTrial *trial);

/* Write it down: the run's metrics, or why it failed. */
extern void fm_registry_save_trial(Oid schema, const FmModel *model, const FmRun *run,
								   const char *failure);
extern void fm_registry_delete_trials(Oid schema, const char *model);

#endif
