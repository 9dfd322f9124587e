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

#include "core/import/reader.h"

typedef enum FmImportFormat
{
	FM_IMPORT_AUTO,		 /* as the first bytes say */
	FM_IMPORT_SAGEMAKER, /* archive.h, ndarray.h */
	FM_IMPORT_LIBFM,	 /* text_model.h */
	FM_IMPORT_XLEARN
} FmImportFormat;

/* Read a model. All its numbers are finite. */
extern void fm_import_read(const FmImporting *importing, FmImportFormat format, FmBytes bytes,
						   FmImported *result);

#endif
