/*
 * Models as text: libFM's and xLearn's.
 */
#ifndef FMTOPX_CORE_TEXT_MODEL_H
#define FMTOPX_CORE_TEXT_MODEL_H

#include "core/import/reader.h"

/* The headings of libFM's sections. */
#define FM_LIBFM_BIAS "#global bias W0"
#define FM_LIBFM_UNARY "#unary interactions Wj"
#define FM_LIBFM_PAIRWISE "#pairwise interactions Vj,f"

/* Read libFM's text. The sections of the global bias and of w may be absent; they are 0 then. */
extern void fm_read_libfm(const FmImporting *importing, FmBytes bytes, FmImported *result);

/*
 * Read xLearn's text of a factorization machine. A model that was trained on normalised instances
 * has seen each of the two ones, of a user and an item, as 1/√2; w and v take that over.
 */
extern void fm_read_xlearn(const FmImporting *importing, FmBytes bytes, FmImported *result);

#endif
