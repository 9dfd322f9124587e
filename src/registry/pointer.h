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

/*
 * Return what a version table points at: version 0 if it names none, or does not have the columns
 * of a version table. Reads as the table's owner. SPI must be connected. Uses the active snapshot
 * if read_only, else a new one. The caller has checked that the user may read the table.
 */
extern FmPointer fm_read_pointer(Oid version_table, bool read_only);

#endif
