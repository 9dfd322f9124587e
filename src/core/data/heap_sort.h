/*
 * Sorting rows that are spread over parallel arrays, in place: a heap sort that compares and swaps
 * by callbacks. It takes no memory, and the host's may be an arena that never takes any back.
 */
#ifndef FMTOPX_CORE_HEAP_SORT_H
#define FMTOPX_CORE_HEAP_SORT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host.h"

typedef struct FmHeapSort
{
	const FmHost *host; /* whose interrupts are checked */
	const void *rows;
	bool (*comes_before)(const void *rows, int64_t a, int64_t b);
	void (*swap)(const void *rows, int64_t a, int64_t b);
} FmHeapSort;

/* Let the root of a heap at `first`, with the last row on top, sink to its place. */
static inline void
fm_sift_down(const FmHeapSort *sort, int64_t first, int64_t root, int64_t count)
{
	for (int64_t child; (child = 2 * root + 1) < count; root = child)
	{
		if (child + 1 < count && sort->comes_before(sort->rows, first + child, first + child + 1))
			child++;
		if (!sort->comes_before(sort->rows, first + root, first + child))
			return;
		sort->swap(sort->rows, first + root, first + child);
	}
}

/* Sort the rows [first, first + count). */
static inline void
fm_heap_sort(const FmHeapSort *sort, int64_t first, int64_t count)
{
	for (int64_t root = count / 2; root-- > 0;)
		fm_sift_down(sort, first, root, count);
	for (int64_t last = count - 1; last > 0; last--)
	{
		if (last % (1 << 16) == 0)
			sort->host->check_interrupts(sort->host->ctx);
		sort->swap(sort->rows, first, first + last);
		fm_sift_down(sort, first, 0, last);
	}
}

#endif
