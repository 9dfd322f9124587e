/*
 * The progress of a training, or of lists, for other sessions to see in the view fm_progress.
 */
#ifndef FMTOPX_PROGRESS_H
#define FMTOPX_PROGRESS_H

#include "pg/compat.h"

#include "pgstat.h"

typedef enum FmPhase
{
	FM_PHASE_WAITING,
	FM_PHASE_LOADING,
	FM_PHASE_TRAINING,
	FM_PHASE_WRITING,
	FM_PHASE_LISTS,
	FM_PHASE_WRITING_LISTS
} FmPhase;

/* The setting fmtopx.progress: notices tell the session that trains of phases and iterations. */
extern bool fm_progress_notices;

/* Begin to report, with the phase of loading, or enter another phase. */
extern void fm_progress_phase(const char *model, FmPhase phase);

/* Begin to report, with the phase of waiting for a process (0: a prepared transaction). */
extern void fm_progress_waiting(const char *model, int pid);

/* Stop reporting. A failed transaction does so, too. */
extern void fm_progress_end(void);

/* Report that an iteration of the training is done, with the error that it reached. */
extern void fm_progress_iteration(int iteration, int iterations, double metric);

/*
 * Lists are also computed within other commands that report their progress, such as COPY, which get
 * their place back.
 */
typedef struct FmOuterProgress
{
	ProgressCommandType command;
	Oid target;
	TimestampTz started_at;
	int64 parameters[PGSTAT_NUM_PROGRESS_PARAM];
} FmOuterProgress;

/* Begin to report on lists, with the phase of loading; stop reporting. */
extern void fm_progress_begin_lists(const char *model, FmOuterProgress *outer);
extern void fm_progress_end_lists(const FmOuterProgress *outer);

/* Report while computing lists: for how many users, or items, they are done. */
extern void fm_progress_lists(int32 done, int32 total);

/* Return whether the current user may see what a backend is doing. */
extern bool fm_may_see_backend(const PgBackendStatus *entry);

#endif
