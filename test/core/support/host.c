/*
 * The host of the tests of the core. The sanitizers report what is not released.
 */
#include "support/host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

long interrupt_checks = 0;

static void
fail(void *ctx, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\nBail out! the core failed\n");
	abort();
}

static void *
allocate(void *ctx, size_t count, size_t size)
{
	size_t bytes;
	void *memory = NULL;

	if (__builtin_mul_overflow(count, size, &bytes) ||
		posix_memalign(&memory, 64, bytes > 0 ? bytes : 1) != 0)
		fail(ctx, "cannot allocate %zu elements of %zu bytes", count, size);
	return memset(memory, 0, bytes);
}

static void
release(void *ctx, void *pointer)
{
	free(pointer);
}

static void
check_interrupts(void *ctx)
{
	interrupt_checks++;
}

const FmHost host = {.alloc = allocate,
					 .release = release,
					 .check_interrupts = check_interrupts,
					 .fail = fail};
