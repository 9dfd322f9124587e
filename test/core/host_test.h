/*
 * A host for the stand-alone tests of the core: aligned memory, a count of interrupt checks, abort on
 * failure.
 */
#ifndef FMTOPX_TEST_HOST_H
#define FMTOPX_TEST_HOST_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host.h"

static void
test_host_fail(void *ctx, const char *format, ...)
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
test_host_alloc(void *ctx, size_t count, size_t size)
{
	size_t bytes;
	void *memory = NULL;

	if (__builtin_mul_overflow(count, size, &bytes) ||
		posix_memalign(&memory, 64, bytes > 0 ? bytes : 1) != 0)
		test_host_fail(ctx, "cannot allocate %zu elements of %zu bytes", count, size);
	return memset(memory, 0, bytes);
}

static void
test_host_release(void *ctx, void *pointer)
{
	(void) ctx;
	free(pointer);
}

/* ctx points to the counter. */
static void
test_host_check_interrupts(void *ctx)
{
	++*(long *) ctx;
}

static FmHost
test_host(long *interrupt_checks)
{
	FmHost host = {.ctx = interrupt_checks,
				   .alloc = test_host_alloc,
				   .release = test_host_release,
				   .check_interrupts = test_host_check_interrupts,
				   .fail = test_host_fail};

	return host;
}

#endif
