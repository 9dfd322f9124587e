/*
 * fm_simd: which kernels scan item vectors here, and which one is in use.
 */
#include "pg/compat.h"

#include "core/scan/scan_kernels.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(fm_simd);

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
