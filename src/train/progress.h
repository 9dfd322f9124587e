/*
 * The progress of a training, for other sessions to see in the view fm_progress.
 */
#ifndef FMTOPX_PROGRESS_H
#define FMTOPX_PROGRESS_H

#include "pg/compat.h"

typedef enum FmPhase
{
	FM_PHASE_LOADING,
	FM_PHASE_TRAINING,
	FM_PHASE_WRITING
} FmPhase;

/* Begin to report, with the phase of loading, or enter another phase. */
extern void fm_progress_phase(const char *model, FmPhase phase);

/* Stop reporting. A failed transaction does so, too. */
extern void fm_progress_end(void);

/* FmHost.progress (core/host.h) */
extern void fm_progress_iteration(void *ctx, const char *solver, int iteration, int iterations,
								  double metric);

#endif
