/*
 * Which version of an attached model is served: its version table says so.
 */
#ifndef FMTOPX_POINTER_H
#define FMTOPX_POINTER_H

#include "pg/compat.h"

typedef struct FmPointer
{
	int version; /* 0: none has arrived yet */
	int64 stamp;
	bool uncommitted; /* activated by the current transaction */
} FmPointer;

/* Return what a version table points at under the active snapshot. Needs no SPI. */
extern FmPointer fm_read_pointer(Oid version_table);

#endif
