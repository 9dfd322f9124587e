/*
 * The module: its magic and its settings.
 */
#include "pg/compat.h"

#include "fmgr.h"
#include "lib/stringinfo.h"

#include "source/budget.h"
#include "core/train/block_kernels.h"
#include "core/scan/scan_kernels.h"
#include "registry/model.h"
#include "cache/shared_cache.h"
#include "operate/vacuum.h"

PG_MODULE_MAGIC;

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
	GUC_check_errdetail("This CPU runs: auto%s.", known.data);
	return false;
}

static void
assign_simd_kernel(const char *value, void *extra)
{
	(void) fm_scan_use_kernel(value);
	fm_block_use_kernel(value);
}

/*
 * Without interrupts: a placeholder with a bad value makes a warning, and sending that may notice a
 * cancel. An error halfway would leave settings defined that the next attempt to load cannot define.
 */
void
_PG_init(void)
{
	HOLD_INTERRUPTS();
	DefineCustomStringVariable("fmtopx.model", "The model that functions use when none is named.",
							   NULL, &fm_default_model, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"fmtopx.simd", "The kernel that scans item vectors and trains: auto, or one by name.",
		"All kernels find identical lists, and train the same model up to rounding.", &simd_kernel,
		"auto", PGC_USERSET, 0, check_simd_kernel, assign_simd_kernel, NULL);
	DefineCustomIntVariable("fmtopx.training_memory", "The most memory that a training may take.",
							"One that would need more stops with an error before it starts.",
							&fm_training_memory, FM_DEFAULT_TRAINING_MEMORY, FM_MIN_TRAINING_MEMORY,
							MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("fmtopx.cache_size",
							"Shared memory for loaded models, in the whole cluster.",
							"With 0, each connection loads models into its own memory.",
							&fm_cache_size, FM_DEFAULT_CACHE_SIZE, 0, MAX_KILOBYTES, PGC_SIGHUP,
							GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomBoolVariable("fmtopx.vacuum",
							 "Whether fm_refresh vacuums tables before it writes to them.",
							 "Without it, what it deletes makes room when autovacuum has come by.",
							 &fm_vacuum_enabled, true, PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("fmtopx");
	RESUME_INTERRUPTS();
}
