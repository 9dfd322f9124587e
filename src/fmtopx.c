/*
 * The module: its magic, its settings, and fm_simd, which shows the kernels that the setting
 * fmtopx.simd selects from.
 */
#include "pg/compat.h"

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "source/budget.h"
#include "core/train/block_kernels.h"
#include "core/scan/scan_kernels.h"
#include "registry/model.h"
#include "registry/progress.h"
#include "cache/shared_cache.h"
#include "operate/vacuum.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fm_simd);

extern void _PG_init(void);

static char *simd_kernel = NULL;

static bool
check_simd_kernel(char **value, void **extra, GucSource source)
{
	const char *const *kernels = fm_scan_kernel_names();
	StringInfoData known;

	if (strcmp(*value, "auto") == 0)
		return true;
	initStringInfo(&known);
	for (int i = 0; kernels[i] != NULL; i++)
	{
		if (strcmp(*value, kernels[i]) == 0)
			return true;
		appendStringInfo(&known, ", %s", kernels[i]);
	}
	GUC_check_errdetail("Available values: auto%s.", known.data);
	return false;
}

static void
assign_simd_kernel(const char *value, void *extra)
{
	(void) fm_scan_use_kernel(value);
	fm_block_use_kernel(value);
}

Datum
fm_simd(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *in_use = fm_scan_kernel_in_use();

	fm_init_materialized_srf(fcinfo);
	for (const char *const *name = fm_scan_kernel_names(); *name != NULL; name++)
	{
		Datum values[] = {CStringGetTextDatum(*name), BoolGetDatum(strcmp(*name, in_use) == 0)};
		bool nulls[2] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * Define the settings, with interrupts held off. A placeholder with a bad value causes a warning,
 * and sending it may notice a cancel. An error halfway would leave settings defined, which the
 * next attempt to load could not define again.
 */
void
_PG_init(void)
{
	HOLD_INTERRUPTS();
	DefineCustomStringVariable("fmtopx.model",
							   "Sets the model that functions use if none is named.", NULL,
							   &fm_default_model, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("fmtopx.simd",
							   "Selects the kernels that scan item vectors and train models.",
							   "Either auto, or the name of a kernel that this CPU can run. All "
							   "kernels find identical lists, and train the same model up to "
							   "rounding.",
							   &simd_kernel, "auto", PGC_USERSET, 0, check_simd_kernel,
							   assign_simd_kernel, NULL);
	DefineCustomIntVariable("fmtopx.training_memory",
							"Sets the maximum memory to be used by a training.",
							"A training that needs more fails with an error before it starts.",
							&fm_training_memory, FM_DEFAULT_TRAINING_MEMORY, FM_MIN_TRAINING_MEMORY,
							MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"fmtopx.cache_size",
		"Sets the size of shared memory for loaded models in the whole cluster.",
		"With 0, each connection loads models into its own memory.", &fm_cache_size,
		FM_DEFAULT_CACHE_SIZE, 0, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomBoolVariable(
		"fmtopx.vacuum", "Lets fm_refresh vacuum tables before it writes to them.",
		"Without it, the space of deleted rows is reused only after an autovacuum.",
		&fm_vacuum_enabled, true, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("fmtopx.progress", "Sends notices of how far a training is.",
							 "One for each phase, and one every few seconds with the iteration, "
							 "its errors and the time left.",
							 &fm_progress_notices, false, PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("fmtopx");
	RESUME_INTERRUPTS();
}
