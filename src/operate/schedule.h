/*
 * Jobs of pg_cron that refresh models.
 */
#ifndef FMTOPX_SCHEDULE_H
#define FMTOPX_SCHEDULE_H

#include "pg/compat.h"

/*
 * Remove the jobs of this database that refresh a model: the caller's, and those of roles that may
 * act as its owner (InvalidOid: there is no such model). Return how many there were; 0 where
 * pg_cron keeps no jobs. SPI must be connected.
 */
extern int64 fm_unschedule_jobs(const char *model, Oid owner);

#endif
