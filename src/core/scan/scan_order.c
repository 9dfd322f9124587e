/*
 * The order of items in a loaded matrix: a partition of the plane of (bias, norm) into tiles.
 *
 * The plane is halved repeatedly, each time across the side on which its items are spread wider,
 * until a tile is left: a k-d tree of which only the leaves are kept. So a tile is narrow in bias
 * and in norm, and their two maxima bound the score of any of its items closely. The halves with
 * more bias or more norm come first, so that a scan meets good items early. Works in place and in
 * O(n log n); the result depends on the items alone.
 */
#include "core/scan/scan_order.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/scan/scan_layout.h"

typedef struct Spread
{
	double bias; /* standard deviations of all items, the units of the plane's sides */
	double norm;
} Spread;

static double
coordinate(const FmScanPlace *place, bool by_bias)
{
	return by_bias ? place->bias : place->norm;
}

static double
standard_deviation(const FmScanPlace *places, int32_t count, bool by_bias)
{
	double sum = 0;
	double squares = 0;

	for (int32_t i = 0; i < count; i++)
		sum += coordinate(&places[i], by_bias);
	for (int32_t i = 0; i < count; i++)
	{
		double off = coordinate(&places[i], by_bias) - sum / count;

		squares += off * off;
	}
	return sqrt(squares / count);
}

static double
range(const FmScanPlace *places, int32_t count, bool by_bias)
{
	double low = INFINITY;
	double high = -INFINITY;

	for (int32_t i = 0; i < count; i++)
	{
		low = fmin(low, coordinate(&places[i], by_bias));
		high = fmax(high, coordinate(&places[i], by_bias));
	}
	return high - low;
}

/*
 * Partition the places (quickselect): none before `middle` has a smaller coordinate than any from
 * it on.
 */
static void
split(FmScanPlace *places, int32_t count, int32_t middle, bool by_bias)
{
	int32_t first = 0;
	int32_t last = count - 1;
	uint32_t random = 1; /* so that no given order of the items is always the worst case */

	while (first < last)
	{
		int32_t left = first;
		int32_t right = last;
		double pivot;

		random = random * 1664525 + 1013904223;
		pivot = coordinate(&places[first + (uint64_t) random * (last - first + 1) / 4294967296],
						   by_bias);
		while (left <= right)
		{
			while (coordinate(&places[left], by_bias) > pivot)
				left++;
			while (coordinate(&places[right], by_bias) < pivot)
				right--;
			if (left <= right)
			{
				FmScanPlace place = places[left];

				places[left++] = places[right];
				places[right--] = place;
			}
		}
		if (middle <= right)
			last = right;
		else if (middle >= left)
			first = left;
		else
			return;
	}
}

static void
partition(FmScanPlace *places, int32_t count, const Spread *unit)
{
	while (count > FM_SCAN_TILE_ITEMS)
	{
		int32_t tiles = (count - 1) / FM_SCAN_TILE_ITEMS + 1;
		int32_t middle = tiles / 2 * FM_SCAN_TILE_ITEMS;
		bool by_bias = range(places, count, true) * unit->norm >
					   range(places, count, false) * unit->bias;

		split(places, count, middle, by_bias);
		partition(places, middle, unit);
		places += middle;
		count -= middle;
	}
}

/* Within a tile, order by norm, so that the items of a block have similar scales. */
static int
compare_norms(const void *a, const void *b)
{
	const FmScanPlace *left = a;
	const FmScanPlace *right = b;

	if (left->norm != right->norm)
		return left->norm > right->norm ? -1 : 1;
	return left->item < right->item ? -1 : left->item > right->item;
}

void
fm_scan_order(FmScanPlace *places, int32_t count)
{
	Spread unit;

	if (count == 0)
		return;
	unit.bias = standard_deviation(places, count, true);
	unit.norm = standard_deviation(places, count, false);
	partition(places, count, &unit);
	for (int32_t first = 0; first < count;)
	{
		int32_t left = count - first;
		int32_t size = left < FM_SCAN_TILE_ITEMS ? left : FM_SCAN_TILE_ITEMS;

		qsort(places + first, size, sizeof(FmScanPlace), compare_norms);
		first += size;
	}
}
