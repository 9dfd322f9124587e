/*
 * The scan as a shared library for bench.py: a host outside of PostgreSQL, and functions that
 * ctypes can call.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/scan/scan.h"

static void *
host_alloc(void *ctx, size_t count, size_t size)
{
	size_t bytes = (count * size + 63) / 64 * 64;
	void *memory = aligned_alloc(64, bytes > 0 ? bytes : 64);

	(void) ctx;
	if (memory == NULL)
	{
		fprintf(stderr, "out of memory: %zu bytes\n", bytes);
		exit(1);
	}
	return memset(memory, 0, bytes);
}

static void
host_release(void *ctx, void *pointer)
{
	(void) ctx;
	free(pointer);
}

static void
host_check_interrupts(void *ctx)
{
	(void) ctx;
}

static const FmHost host = {.alloc = host_alloc,
							.release = host_release,
							.check_interrupts = host_check_interrupts};

/* rows: num_items × (num_factors + 1), the bias last. */
FmScanMatrix *
bench_build(const float *rows, int32_t num_items, int num_factors)
{
	FmScanMatrix *matrix =
		fm_scan_matrix_init(host_alloc(NULL, 1, fm_scan_matrix_size(num_items, num_factors)),
							num_items, num_factors);

	for (int32_t i = 0; i < num_items; i++)
	{
		const float *row = rows + (size_t) i * (num_factors + 1);

		fm_scan_matrix_set(matrix, i, row, row[num_factors]);
	}
	fm_scan_matrix_finish(matrix);
	return matrix;
}

void
bench_free(FmScanMatrix *matrix)
{
	free(matrix);
}

int32_t
bench_one(const FmScanMatrix *matrix, const float *query, int32_t x, FmHit *hits)
{
	return fm_scan_top_x(matrix, query, x, NULL, &host, hits);
}

void
bench_batch(const FmScanMatrix *matrix, const float *queries, int32_t num_queries, int32_t x,
			FmHit *hits, int32_t *counts)
{
	fm_scan_batch_top_x(matrix, queries, num_queries, x, NULL, NULL, &host, hits, counts);
}
