/*
 * Procedures that work in steps and commit between them, if they may.
 *
 * Memory: a commit ends the transaction's contexts, so what a procedure keeps between steps is in
 * a context below fm_steps_parent().
 */
#include "pg/steps.h"

#include "access/xact.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

bool
fm_steps_begin(FunctionCallInfo fcinfo)
{
	CallContext *call = (CallContext *) fcinfo->context;
	/* Early minor releases call atomic code non-atomic inside an exception block. */
	bool commits = call != NULL && IsA(call, CallContext) && !call->atomic && !IsSubTransaction();

	if (SPI_connect_ext(commits ? SPI_OPT_NONATOMIC : 0) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	return commits;
}

MemoryContext
fm_steps_parent(bool commits)
{
	return commits ? PortalContext : CurrentMemoryContext;
}

void
fm_steps_commit(bool commits)
{
	if (!commits)
		return;
	SPI_commit();
	SPI_start_transaction();
	EnsurePortalSnapshotExists();
}

void
fm_steps_commit_to_compute(bool commits)
{
	if (!commits)
		return;
	SPI_commit();
	SPI_start_transaction();
	XactIsoLevel = XACT_READ_COMMITTED;
}

ErrorData *
fm_attempt(FmStep step, void *state, const void *argument, MemoryContext error_context)
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext context = CurrentMemoryContext;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		step(state, argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(error_context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

bool
fm_is_cancel(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->funcname != NULL &&
		   strcmp(error->funcname, "ProcessInterrupts") == 0;
}

typedef struct BriefStep
{
	FmStep step;
	void *state;
} BriefStep;

/* FmStep; after an error, the end of the subtransaction restores the setting */
static void
run_briefly(void *state, const void *argument)
{
	const BriefStep *brief = state;
	int level = NewGUCNestLevel();

	(void) set_config_option("lock_timeout", "10ms", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	brief->step(brief->state, NULL);
	AtEOXact_GUC(false, level);
}

bool
fm_attempt_briefly(FmStep step, void *state)
{
	BriefStep brief = {step, state};
	ErrorData *error = fm_attempt(run_briefly, &brief, NULL, CurrentMemoryContext);

	if (error != NULL && fm_is_cancel(error))
		ReThrowError(error);
	return error == NULL;
}
