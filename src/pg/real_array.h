/*
 * Conversion between C arrays and values of type real[].
 */
#ifndef FMTOPX_REAL_ARRAY_H
#define FMTOPX_REAL_ARRAY_H

#include "pg/compat.h"

/* Return a one-dimensional real[] with a copy of the values, in the current context. */
extern Datum fm_real_array(const float *values, int length);

/*
 * Copy a real[] into `values`. It must have one dimension and exactly `length` elements, all finite
 * and none NULL. Otherwise raise an error, which calls it `what`.
 */
extern void fm_read_real_array(Datum array, int length, const char *what, float *values);

#endif
