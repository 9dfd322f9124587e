/*
 * What the plain-C core needs from the program that it runs in.
 *
 * Nothing below src/core includes a PostgreSQL header. Memory, cancellation and failure come
 * through this table, so the same code runs inside a backend (src/pg/host_pg.c) and in a
 * stand-alone test or benchmark (test/core, bench).
 *
 * Any of these callbacks may leave by a non-local exit (ereport(ERROR) longjmps). So the core holds
 * nothing between calls but memory obtained here, which the host frees with the context behind
 * `ctx`.
 */
#ifndef FMTOPX_CORE_HOST_H
#define FMTOPX_CORE_HOST_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define FM_PRINTF(fmt, args)
#endif

typedef struct FmHost
{
	void *ctx;

	/*
	 * Return count × size bytes aligned to FM_ALIGNMENT (core/layout.h), zeroed. Never returns
	 * NULL; fails on overflow.
	 */
	void *(*alloc)(void *ctx, size_t count, size_t size);
	void (*release)(void *ctx, void *pointer);

	/* Called at least every few milliseconds of work. May not return. */
	void (*check_interrupts)(void *ctx);

	/*
	 * Called after each iteration with the error on the ratings trained on, and what FmWatch says
	 * of held-out ratings (core/model/watch.h), or NaN. May be NULL.
	 */
	void (*progress)(void *ctx, const char *solver, int iteration, int iterations, double error,
					 double test);
	void *progress_ctx; /* its first argument */

	/* The team that this process is a member of (core/team.h); NULL: it works alone. */
	struct FmTeam *team;

	/* Report a numerical failure that the core cannot recover from. Does not return. */
	void (*fail)(void *ctx, const char *format, ...) FM_PRINTF(2, 3);
} FmHost;

#endif
