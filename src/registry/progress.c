/*
 * The progress of a training, or of lists, for other sessions to see in the view fm_progress.
 *
 * The figures are in the backend's own entry of PostgreSQL's activity array, in the parameters that
 * VACUUM and CREATE INDEX use for their progress, under a command number that the server does not
 * use. So they need no shared memory of their own and no preloading, are read without a lock, and
 * disappear when the command ends, however it ends. Commands that report their own progress
 * (CREATE INDEX, COPY) overwrite the parameters; each phase takes them back.
 */
#include "registry/progress.h"

#include <math.h>

#include "catalog/pg_authid.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(fm_progress_rows);

/* "FM"; the server numbers its commands from 1 */
#define PROGRESS_COMMAND_FMTOPX ((ProgressCommandType) 0x464D)

/*
 * The parameters, each an int64. The name takes all from SLOT_NAME on: 64 bytes, padded with zeros.
 */
enum
{
	SLOT_PHASE,
	SLOT_STARTED_AT,
	SLOT_ITERATION,
	SLOT_ITERATIONS,
	SLOT_ITERATING_SINCE,
	SLOT_METRIC, /* the bits of a double */
	SLOT_WAITING_FOR,
	SLOT_NAME,
	NAME_SLOTS = NAMEDATALEN / sizeof(int64)
};

static const char *const phase_names[] = {
	[FM_PHASE_WAITING] = "waiting",		  [FM_PHASE_LOADING] = "loading ratings",
	[FM_PHASE_TRAINING] = "training",	  [FM_PHASE_WRITING] = "writing version",
	[FM_PHASE_LISTS] = "computing lists", [FM_PHASE_WRITING_LISTS] = "writing lists",
};

bool fm_progress_notices = false;

static TimestampTz started_at = 0;

void
fm_progress_phase(const char *model, FmPhase phase)
{
	int64 name[NAME_SLOTS] = {0};

	if (phase == FM_PHASE_LOADING || phase == FM_PHASE_WAITING)
		started_at = GetCurrentTimestamp();
	pgstat_progress_start_command(PROGRESS_COMMAND_FMTOPX, InvalidOid);
	memcpy(name, model, Min(strlen(model), sizeof(name) - 1));
	for (int i = 0; i < NAME_SLOTS; i++)
		pgstat_progress_update_param(SLOT_NAME + i, name[i]);
	pgstat_progress_update_param(SLOT_STARTED_AT, started_at);
	pgstat_progress_update_param(SLOT_ITERATING_SINCE, GetCurrentTimestamp());
	pgstat_progress_update_param(SLOT_PHASE, phase);
	if (fm_progress_notices && phase != FM_PHASE_WAITING)
		ereport(NOTICE, (errmsg("model \"%s\": %s", model, phase_names[phase])));
}

void
fm_progress_waiting(const char *model, int pid)
{
	fm_progress_phase(model, FM_PHASE_WAITING);
	pgstat_progress_update_param(SLOT_WAITING_FOR, pid);
}

void
fm_progress_end(void)
{
	pgstat_progress_end_command();
}

void
fm_progress_iteration(int iteration, int iterations, double metric)
{
	const int slots[] = {SLOT_ITERATION, SLOT_ITERATIONS, SLOT_METRIC};
	int64 values[] = {iteration, iterations, 0};

	memcpy(&values[2], &metric, sizeof(metric));
	pgstat_progress_update_multi_param(lengthof(slots), slots, values);
}

void
fm_progress_begin_lists(const char *model, FmOuterProgress *outer)
{
	const PgBackendStatus *own = fm_own_backend_entry();

	memset(outer, 0, sizeof(FmOuterProgress));
	outer->started_at = started_at;
	if (own != NULL && own->st_progress_command != PROGRESS_COMMAND_INVALID)
	{
		outer->command = own->st_progress_command;
		outer->target = own->st_progress_command_target;
		for (int i = 0; i < PGSTAT_NUM_PROGRESS_PARAM; i++)
			outer->parameters[i] = own->st_progress_param[i];
	}
	fm_progress_phase(model, FM_PHASE_LOADING);
}

void
fm_progress_end_lists(const FmOuterProgress *outer)
{
	started_at = outer->started_at;
	fm_progress_end();
	if (outer->command == PROGRESS_COMMAND_INVALID)
		return;
	pgstat_progress_start_command(outer->command, outer->target);
	for (int i = 0; i < PGSTAT_NUM_PROGRESS_PARAM; i++)
		pgstat_progress_update_param(i, outer->parameters[i]);
}

void
fm_progress_lists(int32 done, int32 total)
{
	const int slots[] = {SLOT_ITERATION, SLOT_ITERATIONS};
	const int64 values[] = {done, total};

	pgstat_progress_update_multi_param(lengthof(slots), slots, values);
}

bool
fm_may_see_backend(const PgBackendStatus *entry)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		   has_privs_of_role(GetUserId(), entry->st_userid);
}

static const char *
phase_of(const int64 *slots)
{
	if (slots[SLOT_PHASE] < 0 || slots[SLOT_PHASE] >= lengthof(phase_names))
		return "unknown";
	if (slots[SLOT_PHASE] == FM_PHASE_WAITING && slots[SLOT_WAITING_FOR] > 0)
		return psprintf("waiting for process %d", (int) slots[SLOT_WAITING_FOR]);
	return phase_names[slots[SLOT_PHASE]];
}

static Datum
interval_of(TimestampTz from, TimestampTz to)
{
	return DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(to), TimestampTzGetDatum(from));
}

enum
{
	COL_PID,
	COL_MODEL,
	COL_PHASE,
	COL_ITERATION,
	COL_ITERATIONS,
	COL_METRIC,
	COL_STARTED_AT,
	COL_ELAPSED,
	COL_TIME_LEFT,
	NUM_COLS
};

static void
put_row(ReturnSetInfo *result, const PgBackendStatus *entry)
{
	const int64 *slots = entry->st_progress_param;
	TimestampTz now = GetCurrentTimestamp();
	char name[NAMEDATALEN];
	Datum values[NUM_COLS];
	bool nulls[NUM_COLS] = {false};
	int64 iteration = slots[SLOT_ITERATION];
	bool iterating = iteration > 0;
	double metric;
	TimestampTz expected = now;

	memcpy(name, &slots[SLOT_NAME], sizeof(name));
	name[sizeof(name) - 1] = '\0';
	memcpy(&metric, &slots[SLOT_METRIC], sizeof(metric));
	if (iterating)
		expected += (now - slots[SLOT_ITERATING_SINCE]) *
					(double) (slots[SLOT_ITERATIONS] - iteration) / (double) iteration;

	values[COL_PID] = Int32GetDatum(entry->st_procpid);
	values[COL_MODEL] = CStringGetTextDatum(name);
	values[COL_PHASE] = CStringGetTextDatum(phase_of(slots));
	values[COL_ITERATION] = Int32GetDatum((int32) iteration);
	values[COL_ITERATIONS] = Int32GetDatum((int32) slots[SLOT_ITERATIONS]);
	values[COL_METRIC] = Float8GetDatum(metric);
	values[COL_STARTED_AT] = TimestampTzGetDatum(slots[SLOT_STARTED_AT]);
	values[COL_ELAPSED] = interval_of(slots[SLOT_STARTED_AT], now);
	values[COL_TIME_LEFT] = interval_of(now, expected);
	nulls[COL_ITERATION] = nulls[COL_ITERATIONS] = !iterating;
	nulls[COL_METRIC] = !iterating || slots[SLOT_PHASE] != FM_PHASE_TRAINING;
	nulls[COL_TIME_LEFT] = !iterating;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
fm_progress_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int num_backends = pgstat_fetch_stat_numbackends();

	fm_init_materialized_srf(fcinfo);
	for (int i = 1; i <= num_backends; i++)
	{
		const PgBackendStatus *entry = &fm_local_backend_entry(i)->backendStatus;

		if (entry->st_progress_command == PROGRESS_COMMAND_FMTOPX &&
			entry->st_databaseid == MyDatabaseId && fm_may_see_backend(entry))
			put_row(result, entry);
	}
	return (Datum) 0;
}
