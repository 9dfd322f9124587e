/*
 * The core's host inside a PostgreSQL backend: a memory context, CHECK_FOR_INTERRUPTS and ereport.
 *
 * Memory: everything is allocated in the host's context and freed with it. The pointer that palloc
 * returned is stored before each aligned block, so that release can free the block.
 */
#include "postgres.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/layout.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "pg/host_pg.h"

static void *
pg_host_alloc(void *ctx, size_t count, size_t size)
{
	size_t bytes;
	char *chunk;
	char *aligned;

	if (__builtin_mul_overflow(count, size, &bytes) ||
		__builtin_add_overflow(bytes, FM_ALIGNMENT + sizeof(void *), &bytes) ||
		!AllocHugeSizeIsValid(bytes))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("cannot allocate %zu elements of %zu bytes", count, size)));
	chunk = MemoryContextAllocExtended(ctx, bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	aligned = fm_align_pointer(chunk + sizeof(void *));
	((void **) aligned)[-1] = chunk;
	return aligned;
}

static void
pg_host_release(void *ctx, void *pointer)
{
	if (pointer != NULL)
		pfree(((void **) pointer)[-1]);
}

static void
pg_host_check_interrupts(void *ctx)
{
	CHECK_FOR_INTERRUPTS();
}

static void FM_PRINTF(2, 3) pg_host_fail(void *ctx, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("%s", message)));
}

const FmHost *
fm_pg_host(MemoryContext context)
{
	FmHost *host = MemoryContextAllocZero(context, sizeof(FmHost));

	host->ctx = context;
	host->alloc = pg_host_alloc;
	host->release = pg_host_release;
	host->check_interrupts = pg_host_check_interrupts;
	host->fail = pg_host_fail;
	return host;
}
