/*
 * Vacuuming tables that are about to be written to.
 */
#ifndef FMTOPX_VACUUM_H
#define FMTOPX_VACUUM_H

#include "pg/compat.h"

/* The setting fmtopx.vacuum. */
extern bool fm_vacuum_enabled;

/*
 * Vacuum tables in a background worker, and wait for it to end. Skips a table that does not exist,
 * is locked, or cannot be vacuumed; skips all if no worker is free or fm_vacuum_enabled is off.
 * Raises no error except for an interrupt, which ends the worker, too. The caller must not hold a
 * lock on any of the tables, and must have checked that the user may have them vacuumed.
 */
extern void fm_vacuum(const Oid *tables, int num_tables);

#endif
