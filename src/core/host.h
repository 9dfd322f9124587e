/*
 * What the plain-C core asks of the program it runs in.
 *
 * Nothing below src/core includes a PostgreSQL header. Memory, cancellation and failure come through
 * this table, so that the same code runs inside a backend (src/pg/host_pg.c) and in a stand-alone test
 * or benchmark (test/core, bench).
 *
 * Any of these callbacks may leave by a non-local exit (ereport(ERROR) longjmps), so the core holds
 * nothing between calls but memory obtained here: the host frees that with the context behind `ctx`.
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

	/* `count` × `size` bytes aligned to 64, zeroed; never returns NULL; fails on overflow. */
	void *(*alloc)(void *ctx, size_t count, size_t size);
	void (*release)(void *ctx, void *pointer);

	/* Called at least every few milliseconds of work. May not return. */
	void (*check_interrupts)(void *ctx);

	/* After each iteration; metric is the training RMSE so far. May be NULL. */
	void (*progress)(void *ctx, const char *phase, int iteration, int iterations, double metric);

	/* The team that this host's program is a member of (core/team.h); NULL: it works alone. */
	struct FmTeam *team;

	/* A numerical failure the core cannot mend. Does not return. */
	void (*fail)(void *ctx, const char *format, ...) FM_PRINTF(2, 3);
} FmHost;

#endif
