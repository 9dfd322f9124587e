/*
 * Room in tables for the rows that are about to be written.
 */
#ifndef FMTOPX_VACUUM_H
#define FMTOPX_VACUUM_H

#include "pg/compat.h"

/* The setting fmtopx.vacuum. */
extern bool fm_vacuum_enabled;

/*
 * Vacuum tables in a process of its own, and wait for it, at most as long as there is work. A table that is gone,
 * locked, or cannot be vacuumed is left out; so are all when there is no process to be had, or the setting says so. No
 * error but of an interrupt, which ends that process, too. The caller must hold no lock on a table, and have checked
 * that its own caller may have them vacuumed.
 */
extern void fm_vacuum(const Oid *tables, int num_tables);

#endif
