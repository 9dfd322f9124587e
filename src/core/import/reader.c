/*
 * What the readers of all formats share.
 *
 * Memory: the arrays of a model are the caller's, from the host.
 */
#include "core/import/reader.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/model/parameters.h"

void
fm_import_fail(const FmImporting *importing, const char *format, ...)
{
	char message[512];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	importing->host->fail(importing->host->ctx, "%s", message);
	abort(); /* a failure does not return */
}

void
fm_import_allocate(const FmImporting *importing, int64_t num_rows, int64_t num_factors,
				   FmImported *result)
{
	const FmHost *host = importing->host;

	if (num_factors < FM_MIN_FACTORS || num_factors > FM_MAX_FACTORS)
		fm_import_fail(importing, "the model has %lld factors, not between %d and %d",
					   (long long) num_factors, FM_MIN_FACTORS, FM_MAX_FACTORS);
	if (num_rows < 1 || num_rows > INT32_MAX)
		fm_import_fail(importing, "the model has %lld rows", (long long) num_rows);
	if ((uint64_t) num_rows * (uint64_t) (num_factors + 1) > importing->limit / sizeof(float))
		fm_import_fail(importing,
					   "the model has %lld rows of %lld factors, more than %zu bytes hold",
					   (long long) num_rows, (long long) num_factors, importing->limit);
	result->num_rows = (int32_t) num_rows;
	result->num_factors = (int) num_factors;
	result->w = host->alloc(host->ctx, num_rows, sizeof(float));
	result->v = host->alloc(host->ctx, (size_t) num_rows * num_factors, sizeof(float));
}

float
fm_import_float(const FmImporting *importing, double value)
{
	if (!isfinite((float) value))
		fm_import_fail(importing, "the model has the parameter %g, which is out of range", value);
	return (float) value;
}
