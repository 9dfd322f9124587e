/*
 * The end of a training: publishing its version, and returning its run.
 *
 * All of these need SPI connected.
 */
#ifndef FMTOPX_PUBLISH_H
#define FMTOPX_PUBLISH_H

#include "registry/model.h"
#include "registry/registry_runs.h"
#include "store/version.h"

/*
 * Point the model at a version whose users, items and levels have been stored. Writes, as the
 * model's owner, the version's row, and makes versions unknown that are no longer kept.
 */
extern void fm_publish(FmModel *model, const FmRun *run, const FmVersion *version,
					   const FmVersionArrays *arrays);

/* Delete the rows of versions that are no longer kept, as the model's owner. */
extern void fm_prune(const FmModel *model);

/*
 * Return the row of the view fm_runs, the result of functions that make a run. Ends the SPI
 * connection.
 */
extern Datum fm_finish_with_run(Oid schema, const char *model, int version);

#endif
