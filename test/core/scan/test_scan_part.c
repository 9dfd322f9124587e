/*
 * A part of a matrix, against the whole with the other items excluded. Prints TAP.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/bitset.h"
#include "core/scan/scan.h"
#include "core/scan/scan_part.h"
#include "support/data.h"
#include "support/tap.h"

/* Compare scans for some queries. Many items are equal to others, so that there are ties. */
static bool
is_right(int32_t num_items, int num_factors, double share, int32_t x)
{
	int32_t *items = malloc((num_items + 1) * sizeof(int32_t)), count = 0;
	uint64_t *others = calloc(fm_bitset_words(num_items), sizeof(uint64_t));
	FmScanMatrix *whole =
		fm_scan_matrix_init(aligned_alloc(64, fm_scan_matrix_size(num_items, num_factors)),
							num_items, num_factors);
	float *v = malloc((num_factors + 1) * sizeof(float));
	FmHit *expected = malloc((num_items + 1) * sizeof(FmHit));
	FmHit *hits = malloc((num_items + 1) * sizeof(FmHit));
	FmScanPart *part;
	bool right = true;

	for (int32_t item = 0; item < num_items; item++)
	{
		for (int f = 0; f < num_factors; f++)
			v[f] = (float) ((int) (5 * uniform()) - 2);
		fm_scan_matrix_set(whole, item, v, (float) (int) (3 * uniform()));
		if (uniform() < share)
			items[count++] = item;
		else
			fm_bitset_add(others, item);
	}
	fm_scan_matrix_finish(whole);
	part = fm_scan_part_init(aligned_alloc(64, fm_scan_part_size(whole, count)), whole, items,
							 count);
	for (int32_t item = -1; item <= num_items; item++)
	{
		int32_t place = fm_scan_part_find(part, item);
		bool listed = item >= 0 && item < num_items && !fm_bitset_has(others, item);

		right = right &&
				(listed ? place >= 0 && fm_scan_part_items(part)[place] == item : place == -1);
	}
	for (int q = 0; q < 20 && right; q++)
	{
		int32_t found, best;

		for (int f = 0; f <= num_factors; f++)
			v[f] = (float) (int) (4 * uniform());
		found = fm_scan_top_x(whole, v, x, others, &host, expected);
		best = fm_scan_top_x(fm_scan_part_matrix(part), v, x, NULL, &host, hits);
		right = found == best;
		for (int32_t i = 0; i < found && right; i++)
			right = fm_scan_part_items(part)[hits[i].item] == expected[i].item &&
					hits[i].score == expected[i].score;
	}
	free(items);
	free(others);
	free(whole);
	free(v);
	free(expected);
	free(hits);
	free(part);
	return right;
}

int
main(void)
{
	ok(is_right(2000, 8, 0.3, 20), "a third of the items");
	ok(is_right(2000, 8, 0.01, 50), "fewer than are wanted");
	ok(is_right(500, 3, 1, 10), "all items");
	ok(is_right(500, 3, 0, 10), "none");
	ok(is_right(1, 1, 1, 1), "one item");
	return done_testing();
}
