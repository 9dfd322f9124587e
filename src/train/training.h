/*
 * One training, from the ratings relation to a published version.
 *
 *   fm_training_begin
 *   fm_training_read      read the relations
 *   fm_training_compute   solve
 *   fm_training_write     store the new version, and publish it
 *   fm_training_end
 *
 * The phases may run in one transaction or in several. If in several, the caller must make sure
 * before it writes that *model still holds. Reading and writing need SPI connected, and act as the
 * model's owner.
 */
#ifndef FMTOPX_TRAINING_H
#define FMTOPX_TRAINING_H

#include "registry/model.h"
#include "registry/registry_runs.h"

typedef struct FmTraining FmTraining;

/*
 * Begin a training of *model, as it is defined there, in the current context. It fills in the
 * figures of the run, which are gone when it ends. The run must have been numbered, unless nothing
 * is to be written. tables_schema is where to create the tables of a new model; InvalidOid for a
 * model that exists. If the ids have become another integer type, or if any_ids is true and they
 * are of any other type, fm_training_write makes the tables anew.
 */
extern FmTraining *fm_training_begin(FmModel *model, Oid tables_schema, bool any_ids, FmRun *run);

extern void fm_training_read(FmTraining *training);

/* Needs no snapshot, and keeps none. */
extern void fm_training_compute(FmTraining *training);

/*
 * Store and publish the version. If it is worse than the model allows, only mark the run as
 * refused, with a warning. The rows of versions that are no longer kept are left to fm_prune.
 */
extern void fm_training_write(FmTraining *training);

extern void fm_training_end(FmTraining *training);

#endif
