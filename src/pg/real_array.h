/*
 * real[] values: made from C arrays, and read back with every check.
 */
#ifndef FMTOPX_REAL_ARRAY_H
#define FMTOPX_REAL_ARRAY_H

#include "pg/compat.h"

/* A one-dimensional real[] of `length` elements, copied, in the current context. */
extern Datum fm_real_array(const float *values, int length);

/*
 * Copy a real[] into values. An error that names `what` unless it is one-dimensional, has exactly
 * `length` elements, none NULL, all finite.
 */
extern void fm_read_real_array(Datum array, int length, const char *what, float *values);

#endif
