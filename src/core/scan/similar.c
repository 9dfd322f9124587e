/*
 * Similar items of a matrix: the cosine with every other item, in double, summed in index order.
 *
 * The screen of the scan bounds inner products. For cosines it needs the items divided by their
 * norms, that is, the matrix a second time, which pays for many items (directions.c). For one item,
 * reading every item is fast enough: 200,000 items of 64 factors take 11 ms. Nothing is allocated.
 */
#include "core/scan/similar.h"

#include "core/bitset.h"
#include "core/scan/best.h"
#include "core/scan/cosine.h"

/* Items side by side, because one sum would wait for the latency of every addition. */
#define ITEMS_AT_ONCE 8

#define COMPARISONS_PER_CHECK 1024

/* Compute the cosines of one vector with ITEMS_AT_ONCE items. */
static void
cosines(const FmScanMatrix *matrix, FmFactorRange range, const float *vector, double norm,
		const int32_t *items, double *cosine)
{
	const float *rows[ITEMS_AT_ONCE];
	double inner[ITEMS_AT_ONCE] = {0};
	double square[ITEMS_AT_ONCE] = {0};

	for (int i = 0; i < ITEMS_AT_ONCE; i++)
		rows[i] = fm_scan_vector(matrix, items[i]) + range.first;
	for (int f = 0; f < range.count; f++)
		for (int i = 0; i < ITEMS_AT_ONCE; i++)
		{
			double value = rows[i][f];

			inner[i] += vector[f] * value;
			square[i] += value * value;
		}
	for (int i = 0; i < ITEMS_AT_ONCE; i++)
		cosine[i] = fm_cosine(inner[i], norm, sqrt(square[i]));
}

/* Collect the next items to be compared, from number *next on; return how many there are. */
static int
next_items(FmEligible eligible, int32_t item, int32_t total, int32_t *next, int32_t *items)
{
	int count = 0;

	while (*next < total && count < ITEMS_AT_ONCE)
	{
		int32_t other = eligible.items != NULL ? eligible.items[*next] : *next;

		(*next)++;
		if (other != item &&
			(eligible.excluded == NULL || !fm_bitset_has(eligible.excluded, other)))
			items[count++] = other;
	}
	return count;
}

int32_t
fm_similar(const FmScanMatrix *matrix, FmFactorRange range, int32_t item, int32_t x,
		   FmEligible eligible, const FmHost *host, FmHit *hits)
{
	const float *vector = fm_scan_vector(matrix, item) + range.first;
	double norm = fm_vector_norm(vector, range.count);
	int32_t total = eligible.items != NULL ? eligible.count : fm_scan_matrix_items(matrix);
	FmBest best = {hits, 0, x};
	int32_t items[ITEMS_AT_ONCE] = {0};
	double cosine[ITEMS_AT_ONCE];
	int64_t compared = 0;
	int count;

	if (x < 1)
		return 0;
	for (int32_t next = 0; (count = next_items(eligible, item, total, &next, items)) > 0;)
	{
		if (compared++ % COMPARISONS_PER_CHECK == 0)
			host->check_interrupts(host->ctx);
		cosines(matrix, range, vector, norm, items, cosine);
		for (int i = 0; i < count; i++)
			fm_best_offer(&best, items[i], cosine[i]);
	}
	return fm_best_finish(&best);
}
