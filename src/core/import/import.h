/*
 * Models of other systems: from the bytes of a file to V, w and b.
 *
 * Every function of this folder reads a range of bytes that nobody has checked. It looks at each
 * length before it reads or allocates, and what it cannot make sense of it reports by host->fail,
 * which does not return. Memory comes from the host. How much a call takes is bounded by the bytes
 * that are there, or by a limit where a few bytes can stand for many (compression, rows that are
 * left out).
 */
#ifndef FMTOPX_CORE_IMPORT_H
#define FMTOPX_CORE_IMPORT_H

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

typedef enum FmImportFormat
{
	FM_IMPORT_AUTO,		 /* as the first bytes say */
	FM_IMPORT_SAGEMAKER, /* archive.h, ndarray.h */
	FM_IMPORT_LIBFM,	 /* text_model.h */
	FM_IMPORT_XLEARN
} FmImportFormat;

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

/* Read a model. All its numbers are finite. */
extern void fm_import_read(const FmImporting *importing, FmImportFormat format, FmBytes bytes,
						   FmImported *result);

/* Report that the bytes make no sense. */
extern _Noreturn void fm_import_fail(const FmImporting *importing, const char *format, ...)
	FM_PRINTF(2, 3);

/* Allocate the arrays of a model whose size is declared, if that is possible and within the limit.
 */
extern void fm_import_allocate(const FmImporting *importing, int64_t num_rows, int64_t num_factors,
							   FmImported *result);

/* Return a number as a float; it is an error if it is not finite, or too large. */
extern float fm_import_float(const FmImporting *importing, double value);

#endif
