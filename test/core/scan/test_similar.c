/*
 * Similar items, against plain cosines. Prints TAP.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/bitset.h"
#include "core/scan/directions.h"
#include "core/scan/scan_kernels.h"
#include "core/scan/similar.h"
#include "support/data.h"
#include "support/tap.h"

static double
around_zero(void)
{
	return uniform() + uniform() + uniform() + uniform() - 2;
}

static const FmEligible everything = {NULL, 0, NULL};

/* The list of all items, without those that a filter leaves out, against the filtered one. */
static bool
same_but(const FmHit *all, int32_t found, const uint64_t *out, const FmHit *hits, int32_t few)
{
	int32_t r = 0;

	for (int32_t i = 0; i < found && r < few; i++)
		if (!fm_bitset_has(out, all[i].item))
		{
			if (hits[r].item != all[i].item || hits[r].score != all[i].score)
				return false;
			r++;
		}
	return r == few;
}

static bool
right_with_filters(const FmScanMatrix *matrix, FmFactorRange range, int32_t item, int32_t count)
{
	FmHit *all = malloc(count * sizeof(FmHit)), *hits = malloc(count * sizeof(FmHit));
	int32_t *candidates = malloc(count * sizeof(int32_t)), num_candidates = 0, left = 0;
	uint64_t *out = calloc(fm_bitset_words(count), sizeof(uint64_t));
	int32_t found = fm_similar(matrix, range, item, count, everything, &host, all);
	bool right;

	for (int32_t i = count - 1; i >= 0; i--)
		if (uniform() < 0.4)
			candidates[num_candidates++] = i;
		else
			fm_bitset_add(out, i);
	for (int32_t i = 0; i < num_candidates; i++)
		left += candidates[i] != item;
	right = fm_similar(matrix, range, item, count, (FmEligible){.excluded = out}, &host, hits) ==
				left &&
			same_but(all, found, out, hits, left);
	right = right &&
			fm_similar(matrix, range, item, count, (FmEligible){candidates, num_candidates, NULL},
					   &host, hits) == left &&
			same_but(all, found, out, hits, left);
	free(all);
	free(hits);
	free(candidates);
	free(out);
	return right;
}

static void
test_similar(int32_t count, int k)
{
	/* the factors that are compared stand among others */
	FmFactorRange range = {1, k};
	FmScanMatrix *matrix = fm_scan_matrix_init(host.alloc(host.ctx,
														  fm_scan_matrix_size(count, k + 3), 1),
											   count, k + 3);
	float *whole_vector = malloc((k + 3) * sizeof(float));
	float *v = malloc((size_t) count * k * sizeof(float));
	FmHit *hits = malloc(count * sizeof(FmHit)), *all = malloc(count * sizeof(FmHit));
	bool right = true, whole = true, filtered = true;

	for (int32_t i = 0; i < count; i++)
	{
		/* some are twice another one, some are zeros */
		for (int f = 0; f < k; f++)
			v[(size_t) i * k + f] = i % 7 == 3	 ? 0
									: i % 5 == 4 ? 2 * v[(size_t) (i / 2) * k + f]
												 : (float) around_zero();
		for (int f = 0; f < k + 3; f++)
			whole_vector[f] = f >= 1 && f <= k ? v[(size_t) i * k + f - 1] : (float) around_zero();
		fm_scan_matrix_set(matrix, i, whole_vector, 5);
	}
	fm_scan_matrix_finish(matrix);
	for (int32_t item = 0; item < count && item < 12; item++)
	{
		int32_t found = fm_similar(matrix, range, item, count, everything, &host, all), few;

		whole &= found == count - 1;
		for (int32_t r = 0; r < found; r++)
		{
			const float *a = v + (size_t) item * k, *b = v + (size_t) all[r].item * k;
			double inner = 0, square_a = 0, square_b = 0, cosine = 0;

			for (int f = 0; f < k; f++)
			{
				inner += (double) a[f] * b[f];
				square_a += (double) a[f] * a[f];
				square_b += (double) b[f] * b[f];
			}
			if (square_a > 0 && square_b > 0)
				cosine = inner / sqrt(square_a * square_b);
			right &= all[r].item != item && fabs(all[r].score - cosine) < 1e-12;
			right &= r == 0 || all[r - 1].score > all[r].score ||
					 (all[r - 1].score == all[r].score && all[r - 1].item < all[r].item);
		}
		few = fm_similar(matrix, range, item, 3, everything, &host, hits);
		right &= few == (found < 3 ? found : 3);
		for (int32_t r = 0; r < few; r++)
			right &= hits[r].item == all[r].item && hits[r].score == all[r].score;
		right &= fm_similar(matrix, range, item, 0, everything, &host, hits) == 0;
	}
	for (int32_t item = 0; item < count && item < 12; item++)
		filtered &= right_with_filters(matrix, range, item, count);
	ok(filtered, "lists of candidates, and lists without some of %d items", count);
	ok(whole && right, "cosines of %d items with %d factors, in order", count, k);
	host.release(host.ctx, matrix);
	free(whole_vector);
	free(v);
	free(hits);
	free(all);
}

/*
 * Fill a vector: kind 0 around zero; 1 few values, so many ties; 2 near one of few directions; 3
 * tiny or huge.
 */
static void
fill_vector(int kind, int32_t item, int k, float *v)
{
	double scale = kind == 3 ? (item % 3 == 0 ? 1e-38 : item % 3 == 1 ? 1e-44 : 1e37) : 1;

	for (int f = 0; f < k; f++)
	{
		double value = around_zero();

		if (kind == 1)
			value = floor(3 * uniform()) - 1;
		if (kind == 2)
			value = sin((item % 7 + 1) * (f + 1)) + (item % 2) * 1e-4 * value;
		v[f] = (float) (scale * value);
	}
	if (item % 41 == 7)
		memset(v, 0, k * sizeof(float));
}

/* The similar items of all items, or of some, against those of one. */
static void
test_batch(const char *kernel, int32_t count, int k, int kind, int32_t x, double share)
{
	FmFactorRange range = {2, k};
	FmScanMatrix *matrix = fm_scan_matrix_init(host.alloc(host.ctx,
														  fm_scan_matrix_size(count, k + 4), 1),
											   count, k + 4);
	int32_t *items = malloc(count * sizeof(int32_t)), *numbers, *counts, *seeds, num_items = 0,
			room;
	float *v = malloc((k + 4) * sizeof(float));
	FmDirections *directions;
	FmHit *hits, *expected = malloc((count + 1) * sizeof(FmHit));
	bool right = true;

	for (int32_t i = 0; i < count; i++)
	{
		for (int f = 0; f < k + 4; f++)
			v[f] = (float) around_zero();
		fill_vector(kind, i, k, v + range.first);
		fm_scan_matrix_set(matrix, i, v, (float) around_zero());
		if (uniform() < share)
			items[num_items++] = i;
	}
	fm_scan_matrix_finish(matrix);
	directions = fm_directions_init(host.alloc(host.ctx, fm_directions_size(num_items, k), 1),
									matrix, range, share < 1 ? items : NULL, num_items, &host);
	room = x < num_items ? x : num_items;
	numbers = malloc((num_items + 1) * sizeof(int32_t));
	counts = malloc((num_items + 1) * sizeof(int32_t));
	hits = malloc(((size_t) num_items * room + 1) * sizeof(FmHit));
	seeds = malloc(((size_t) num_items * room + 1) * sizeof(int32_t));
	for (int32_t i = 0; i < num_items; i++)
		numbers[i] = i;
	for (int seeded = 0; seeded < 3; seeded++)
	{
		for (int32_t i = 0; i < num_items * room; i++)
			seeds[i] = seeded == 1		 ? (int32_t) (uniform() * count)
					   : uniform() < 0.3 ? -1
										 : hits[i].item;
		fm_similar_batch(directions, numbers, num_items, x, seeded == 0 ? NULL : seeds, &host, hits,
						 counts);
		for (int32_t i = 0; i < num_items; i++)
		{
			int32_t found = fm_similar(matrix, range, items[i], x,
									   (FmEligible){items, num_items, NULL}, &host, expected);

			right &= counts[i] == found;
			for (int32_t r = 0; right && r < found; r++)
				right &= hits[(size_t) i * room + r].item == expected[r].item &&
						 hits[(size_t) i * room + r].score == expected[r].score;
		}
	}
	ok(right, "%s: all of %d items, %d factors, kind %d, lists of %d", kernel, num_items, k, kind,
	   x);
	host.release(host.ctx, matrix);
	host.release(host.ctx, directions);
	free(items), free(numbers), free(counts), free(seeds), free(hits), free(v), free(expected);
}

static void
test_batches(const char *kernel)
{
	for (int kind = 0; kind < 4; kind++)
	{
		test_batch(kernel, 1, 5, kind, 3, 1);
		test_batch(kernel, 400, 8, kind, 10, 1);
		test_batch(kernel, 700, 33, kind, 7, 0.4);
		test_batch(kernel, 300, 64, kind, 150, 0.9);
		test_batch(kernel, 30, 3, kind, 100, 1);
		test_batch(kernel, 30, 3, kind, 0, 1);
	}
}

int
main(void)
{
	for (const char *const *kernel = fm_scan_kernel_names(); *kernel != NULL; kernel++)
		if (fm_scan_use_kernel(*kernel))
			test_batches(*kernel);
	fm_scan_use_kernel("auto");
	test_similar(1, 3);
	test_similar(9, 1);
	test_similar(500, 12);
	return done_testing();
}
