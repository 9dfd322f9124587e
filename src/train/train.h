/*
 * One training, from the ratings relation to a published version.
 */
#ifndef FMTOPX_TRAIN_H
#define FMTOPX_TRAIN_H

#include "registry/model.h"
#include "registry/registry_runs.h"
#include "store/result.h"

/*
 * Train the model as *model defines it and publish the result: the rows of the new version, the
 * registry's pointer to it, the run's figures. A run that is worse than the model allows is marked as
 * refused instead, with a warning. The rows of versions not kept any more are left to fm_store_prune.
 *
 * The run must have been numbered (and, for a model that exists, may have been started). `namespace` is where
 * to create the tables of a new model, or InvalidOid for one that exists. The three phases come in this
 * order, in one transaction or several; then the caller must have made sure that *model still holds before
 * it writes. What the run points at is gone with the training, in the current context.
 */
typedef struct FmTraining FmTraining;

extern FmTraining *fm_training_begin(Oid schema, FmModel *model, Oid namespace, FmRun *run);

/* Read the ratings as the model's owner; SPI must be connected. */
extern void fm_training_read(FmTraining *training);

/* Needs no snapshot, and keeps none. */
extern void fm_training_compute(FmTraining *training);

/* Store and publish as the model's owner; SPI must be connected. */
extern void fm_training_write(FmTraining *training);

extern void fm_training_end(FmTraining *training);

/*
 * Point at a version whose users, items and levels have been stored, as the model's owner, and let go of those that are
 * one too many.
 */
extern void fm_publish(Oid schema, FmModel *model, const FmRun *run, const FmResult *result);

/* Delete at once what is not kept any more. */
extern void fm_prune(const FmModel *model);

/* The row of fm_runs, as the functions that make one return it. Ends the SPI connection. */
extern Datum fm_finish_with_run(Oid schema, const char *model, int version);

#endif
