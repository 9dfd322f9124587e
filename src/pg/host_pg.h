/*
 * The core's host (core/host.h) inside a PostgreSQL backend.
 */
#ifndef FMTOPX_HOST_PG_H
#define FMTOPX_HOST_PG_H

#include "postgres.h"

#include "core/host.h"

/*
 * Create a host that allocates in the given context, where the host itself is, too. Failure raises
 * an ERROR; progress is NULL.
 */
extern const FmHost *fm_pg_host(MemoryContext context);

#endif
