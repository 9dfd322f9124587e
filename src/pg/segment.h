/*
 * Segments of dynamic shared memory, asked for without an error where the system has none to give.
 */
#ifndef FMTOPX_SEGMENT_H
#define FMTOPX_SEGMENT_H

#include "pg/compat.h"

#include "storage/dsm.h"

/*
 * NULL if it cannot be had, with the reason in *problem (in the current context). The segment
 * belongs to the current resource owner; an attached one is NULL without a reason if it is gone.
 */
extern dsm_segment *fm_segment_create(Size size, const char **problem);
extern dsm_segment *fm_segment_attach(dsm_handle handle, const char **problem);

#endif
