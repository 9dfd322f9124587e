/*
 * TAP for the tests of the core: a numbered line for each test. main() ends with done_testing().
 */
#ifndef FMTOPX_TEST_TAP_H
#define FMTOPX_TEST_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/host.h"

static int tests = 0;
static int failures = 0;

static void FM_PRINTF(2, 3) ok(bool passed, const char *format, ...)
{
	va_list args;

	printf("%sok %d - ", passed ? "" : "not ", ++tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	failures += !passed;
}

/* Print the plan; return the exit code of main(). */
static int
done_testing(void)
{
	printf("1..%d\n", tests);
	return failures > 0;
}

#endif
