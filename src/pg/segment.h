/*
 * Segments of dynamic shared memory. A lack of shared memory is not an error.
 */
#ifndef FMTOPX_SEGMENT_H
#define FMTOPX_SEGMENT_H

#include "pg/compat.h"

#include "storage/dsm.h"

/*
 * Create a segment or attach to one. The segment belongs to the current resource owner. If that
 * fails, return NULL, with the reason in *problem, in the current context. *problem is NULL if the
 * segment to attach to no longer exists.
 */
extern dsm_segment *fm_segment_create(Size size, const char **problem);
extern dsm_segment *fm_segment_attach(dsm_handle handle, const char **problem);

#endif
