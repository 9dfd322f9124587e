/*
 * Similar items of many items: the scan over a second matrix, of directions.
 *
 * The matrix is coded from the vectors divided by their norms, and then its rows are set to the
 * vectors themselves, which is what cosines are computed from (fm_scan_batch_cosines). Its items
 * are numbered in the order of the original ones, so ties have the same order. The memory is the
 * caller's. What has been prepared is only read, by any number of processes at once.
 */
#include "core/scan/directions.h"

#include <stdbool.h>

#include "core/layout.h"
#include "core/scan/cosine.h"
#include "core/scan/scan.h"

#define ITEMS_PER_CHECK 1024

struct FmDirections
{
	int32_t count;
	size_t items_offset; /* an int32_t for each number */
	size_t norms_offset; /* a double for each number */
	size_t matrix_offset;
};

static int32_t *
items_of(const FmDirections *directions)
{
	return (int32_t *) ((char *) directions + directions->items_offset);
}

static double *
norms_of(const FmDirections *directions)
{
	return (double *) ((char *) directions + directions->norms_offset);
}

static FmScanMatrix *
matrix_of(const FmDirections *directions)
{
	return (FmScanMatrix *) ((char *) directions + directions->matrix_offset);
}

/* Fill in the header; return the size of the whole, 0 if it does not fit a size_t. */
static size_t
lay_out(FmDirections *directions, int32_t num_items, int num_factors)
{
	FmLayout layout = {0};
	size_t matrix_size = fm_scan_matrix_size(num_items, num_factors);

	directions->count = num_items;
	(void) fm_layout_add(&layout, 1, sizeof(FmDirections));
	directions->items_offset = fm_layout_add(&layout, num_items, sizeof(int32_t));
	directions->norms_offset = fm_layout_add(&layout, num_items, sizeof(double));
	directions->matrix_offset = fm_layout_add(&layout, 1, matrix_size);
	return layout.overflows || matrix_size == 0 ? 0 : layout.bytes;
}

size_t
fm_directions_size(int32_t num_items, int num_factors)
{
	FmDirections header;

	return lay_out(&header, num_items, num_factors);
}

/* Set a direction, num_factors entries and a bias of 0. */
static void
set_direction(const float *vector, double norm, int num_factors, float *direction)
{
	for (int f = 0; f < num_factors; f++)
		direction[f] = norm > 0 ? (float) (vector[f] / norm) : 0;
	direction[num_factors] = 0;
}

FmDirections *
fm_directions_init(void *memory, const FmScanMatrix *matrix, FmFactorRange range,
				   const int32_t *items, int32_t num_items, const FmHost *host)
{
	FmDirections *directions = memory;
	float *direction = host->alloc(host->ctx, range.count + 1, sizeof(float));
	FmScanMatrix *own;

	(void) lay_out(directions, num_items, range.count);
	own = fm_scan_matrix_init(matrix_of(directions), num_items, range.count);
	for (int32_t i = 0; i < num_items; i++)
	{
		int32_t item = items != NULL ? items[i] : i;
		const float *vector = fm_scan_vector(matrix, item) + range.first;
		double norm = fm_vector_norm(vector, range.count);

		if (i % ITEMS_PER_CHECK == 0)
			host->check_interrupts(host->ctx);
		items_of(directions)[i] = item;
		norms_of(directions)[i] = norm;
		set_direction(vector, norm, range.count, direction);
		fm_scan_matrix_set(own, i, direction, 0);
	}
	fm_scan_matrix_finish(own);
	for (int32_t i = 0; i < num_items; i++)
		fm_scan_matrix_set(own, i, fm_scan_vector(matrix, items_of(directions)[i]) + range.first,
						   0);
	host->release(host->ctx, direction);
	return directions;
}

/* Return the number of an item, or -1. */
static int32_t
number_of(const FmDirections *directions, int32_t item)
{
	const int32_t *items = items_of(directions);
	int32_t first = 0;
	int32_t end = directions->count;

	while (first < end)
	{
		int32_t middle = first + (end - first) / 2;

		if (items[middle] == item)
			return middle;
		if (items[middle] < item)
			first = middle + 1;
		else
			end = middle;
	}
	return -1;
}

/* Make the list of an item that has cosine 0 with every other: the first ones. */
static int32_t
first_items(const FmDirections *directions, int32_t number, int32_t x, FmHit *hits)
{
	int32_t count = 0;

	for (int32_t i = 0; i < directions->count && count < x; i++)
		if (i != number)
			hits[count++] = (FmHit){i, 0};
	return count;
}

/* Find the hits, by number, of some numbers whose vectors are not zero. */
static void
scan_numbers(const FmDirections *directions, const int32_t *numbers, int32_t count, int32_t x,
			 const int32_t *seeds, const FmHost *host, FmHit *hits, int32_t *counts)
{
	const FmScanMatrix *matrix = matrix_of(directions);
	const int num_factors = fm_scan_matrix_factors(matrix);
	float *queries = host->alloc(host->ctx, (size_t) count * (num_factors + 1), sizeof(float));

	for (int32_t q = 0; q < count; q++)
		set_direction(fm_scan_vector(matrix, numbers[q]), norms_of(directions)[numbers[q]],
					  num_factors, queries + (size_t) q * (num_factors + 1));
	fm_scan_batch_cosines(matrix, norms_of(directions), queries, numbers, count, x, seeds, host,
						  hits, counts);
	host->release(host->ctx, queries);
}

/* Return seeds as numbers, in memory from the host. */
static int32_t *
numbers_of_seeds(const FmDirections *directions, const int32_t *seeds, size_t count,
				 const FmHost *host)
{
	int32_t *numbers = host->alloc(host->ctx, count, sizeof(int32_t));

	for (size_t i = 0; i < count; i++)
		numbers[i] = number_of(directions, seeds[i]);
	return numbers;
}

void
fm_similar_batch(const FmDirections *directions, const int32_t *numbers, int32_t count, int32_t x,
				 const int32_t *seeds, const FmHost *host, FmHit *hits, int32_t *counts)
{
	const double *norms = norms_of(directions);
	const size_t stride = x < directions->count ? x : directions->count;
	int32_t *own_seeds = seeds == NULL ? NULL
									   : numbers_of_seeds(directions, seeds, count * stride, host);

	for (int32_t q = 0; q < count;)
	{
		int32_t end = q;

		while (end < count && norms[numbers[end]] > 0)
			end++;
		if (end > q)
			scan_numbers(directions, numbers + q, end - q, x,
						 own_seeds == NULL ? NULL : own_seeds + q * stride, host, hits + q * stride,
						 counts + q);
		for (; end < count && !(norms[numbers[end]] > 0); end++)
			counts[end] = first_items(directions, numbers[end], x, hits + end * stride);
		q = end;
	}
	for (int32_t q = 0; q < count; q++)
		for (int32_t r = 0; r < counts[q]; r++)
			hits[q * stride + r].item = items_of(directions)[hits[q * stride + r].item];
	if (own_seeds != NULL)
		host->release(host->ctx, own_seeds);
}
