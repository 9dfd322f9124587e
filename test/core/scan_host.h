/*
 * A host for the stand-alone scan tests: aligned memory, a count of interrupt checks, abort on
 * failure.
 */
#ifndef FMTOPX_TEST_SCAN_HOST_H
#define FMTOPX_TEST_SCAN_HOST_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host.h"

static void
scan_host_fail(void *ctx, const char *format, ...)
{
	va_list args;

	(void) ctx;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\nBail out! the core failed\n");
	abort();
}

static void *
scan_host_alloc(void *ctx, size_t count, size_t size)
{
	size_t bytes;
	void *memory = NULL;

	if (__builtin_mul_overflow(count, size, &bytes) ||
		posix_memalign(&memory, 64, bytes > 0 ? bytes : 1) != 0)
		scan_host_fail(ctx, "cannot allocate %zu elements of %zu bytes", count, size);
	return memset(memory, 0, bytes);
}

static void
scan_host_release(void *ctx, void *pointer)
{
	(void) ctx;
	free(pointer);
}

/* ctx points to the counter. */
static void
scan_host_check_interrupts(void *ctx)
{
	++*(long *) ctx;
}

static FmHost
scan_host(long *interrupt_checks)
{
	FmHost host = {.ctx = interrupt_checks,
				   .alloc = scan_host_alloc,
				   .release = scan_host_release,
				   .check_interrupts = scan_host_check_interrupts,
				   .fail = scan_host_fail};

	return host;
}

#endif
