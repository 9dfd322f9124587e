/*
 * One training, from the ratings relation to a published version.
 */
#ifndef FMTOPX_TRAIN_H
#define FMTOPX_TRAIN_H

#include "model.h"
#include "registry.h"

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

#endif
