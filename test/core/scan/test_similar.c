/*
 * Similar items, against plain cosines. Prints TAP.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/bitset.h"
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

int
main(void)
{
	test_similar(1, 3);
	test_similar(9, 1);
	test_similar(500, 12);
	return done_testing();
}
