/*
 * What the readers of all formats share: what they are given, what they make, and how they fail.
 */
#ifndef FMTOPX_CORE_READER_H
#define FMTOPX_CORE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/host.h"

/* Some bytes; they belong to somebody else. */
typedef struct FmBytes
{
	const unsigned char *data;
	size_t length;
} FmBytes;

/* What all readers are given. */
typedef struct FmImporting
{
	const FmHost *host;
	size_t limit;	 /* bytes that decompressed data may take, and the same of the parameters */
	bool normalised; /* xLearn: the model was trained on normalised instances */
} FmImporting;

/* A factorization machine over rows: users and items, and perhaps other features. */
typedef struct FmImported
{
	int num_factors;
	int32_t num_rows;
	double b;
	float *w; /* num_rows */
	float *v; /* num_rows × num_factors, row-major */
} FmImported;

/* Report that the bytes make no sense. */
extern _Noreturn void fm_import_fail(const FmImporting *importing, const char *format, ...)
	FM_PRINTF(2, 3);

/*
 * Allocate the arrays of a model whose size is declared, if that is possible and within the limit.
 */
extern void fm_import_allocate(const FmImporting *importing, int64_t num_rows, int64_t num_factors,
							   FmImported *result);

/* Return a number as a float; it is an error if it is not finite, or too large. */
extern float fm_import_float(const FmImporting *importing, double value);

#endif
