/*
 * The progress of a training, for other sessions to see in the view fm_progress.
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
	FM_PHASE_WRITING
} FmPhase;

/* Begin to report, with the phase of loading, or enter another phase. */
extern void fm_progress_phase(const char *model, FmPhase phase);

/* Begin to report, with the phase of waiting for a process (0: a prepared transaction). */
extern void fm_progress_waiting(const char *model, int pid);

/* Stop reporting. A failed transaction does so, too. */
extern void fm_progress_end(void);

/* FmHost.progress (core/host.h) */
extern void fm_progress_iteration(void *ctx, const char *solver, int iteration, int iterations,
								  double metric);

/* Return whether the current user may see what a backend is doing. */
extern bool fm_may_see_backend(const PgBackendStatus *entry);

#endif
