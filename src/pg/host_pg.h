/*
 * The core's host (core/host.h) inside a PostgreSQL backend.
 */
#ifndef FMTOPX_HOST_PG_H
#define FMTOPX_HOST_PG_H

#include "postgres.h"

#include "core/host.h"

/*
 * A host whose memory, itself included, belongs to the given context. Failure is an ERROR; progress
 * is NULL.
 */
extern const FmHost *fm_pg_host(MemoryContext context);

#endif
