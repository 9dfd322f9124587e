/*
 * The items of a model in the plane: the two principal axes of their directions.
 *
 * The vectors are those that fm_similar_items compares, each made as long as the others, so that
 * what is near each other is similar. Memory: the items placed, with their vectors in double.
 */
#include "report/item_map.h"

#include <math.h>

#include "core/math/eigen.h"
#include "core/math/lapack.h"
#include "pg/host_pg.h"
#include "report/popularity.h"
#include "serve/items.h"
#include "serve/list_score.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define LEAST_ITEMS 3

typedef struct Ranked
{
	int64 ratings;
	int32 item;
} Ranked;

static int
compare_ranked(const void *a, const void *b)
{
	const Ranked *left = a, *right = b;

	if (left->ratings != right->ratings)
		return left->ratings > right->ratings ? -1 : 1;
	return left->item - right->item;
}

/* Return all items, most ratings first. */
static Ranked *
rank_items(const FmLoaded *loaded)
{
	int32 num_items = loaded->version.num_items;
	Ranked *ranked = MemoryContextAllocHuge(CurrentMemoryContext, num_items * sizeof(Ranked));

	for (int32 item = 0; item < num_items; item++)
		ranked[item] = (Ranked){fm_item_ratings(loaded, item), item};
	qsort(ranked, num_items, sizeof(Ranked), compare_ranked);
	return ranked;
}

/* Set an item's vector of length 1; of zeros if it is. */
static void
set_direction(const FmLoaded *loaded, int32 item, int k, float *v, double *direction)
{
	const float *vector = fm_scan_rows(loaded->matrix) + (Size) item * fm_query_length(loaded);
	double square = 0;
	float w;

	if (loaded->shape.interest_factors > 0)
		memcpy(v, fm_list_item_interest(&loaded->shape, vector), k * sizeof(float));
	else
		fm_list_item_rating(&loaded->shape, vector, v, &w);
	for (int f = 0; f < k; f++)
		square += (double) v[f] * v[f];
	for (int f = 0; f < k; f++)
		direction[f] = square > 0 ? v[f] / sqrt(square) : 0;
}

/* Return the directions of the items, less their mean. */
static double *
directions(const FmLoaded *loaded, const Ranked *ranked, int count, int k)
{
	double *rows = MemoryContextAllocHuge(CurrentMemoryContext, (Size) count * k * sizeof(double));
	double *mean = palloc0(k * sizeof(double));
	float *v = palloc(k * sizeof(float));

	for (int i = 0; i < count; i++)
	{
		set_direction(loaded, ranked[i].item, k, v, rows + (Size) i * k);
		for (int f = 0; f < k; f++)
			mean[f] += rows[(Size) i * k + f] / count;
	}
	for (int i = 0; i < count; i++)
		for (int f = 0; f < k; f++)
			rows[(Size) i * k + f] -= mean[f];
	return rows;
}

/* Place rows on their two principal axes. */
static void
place(const double *rows, int k, FmItemMap *map)
{
	const FmHost *host = fm_pg_host(CurrentMemoryContext);
	double *square = palloc0((Size) k * k * sizeof(double));
	double *eigenvalue = palloc(k * sizeof(double));
	double one = 1, zero = 0, total = 0, *vectors;

	dsyrk_("L", "N", &k, &map->count, &one, rows, &k, &zero, square, &k, 1, 1);
	vectors = fm_eigen_largest(host, k, square, 2, eigenvalue);
	for (int i = 0; i < map->count; i++)
		for (int f = 0; f < k; f++)
		{
			map->items[i].x += rows[(Size) i * k + f] * vectors[(Size) (k - 1) * k + f];
			map->items[i].y += rows[(Size) i * k + f] * vectors[(Size) (k - 2) * k + f];
		}
	for (int f = 0; f < k; f++)
		total += Max(eigenvalue[f], 0);
	map->shown = total > 0 ? (eigenvalue[k - 1] + Max(eigenvalue[k - 2], 0)) / total : 0;
}

FmItemMap
fm_item_map(const FmServing *serving, int most)
{
	const FmLoaded *loaded = serving->loaded;
	int k = loaded->shape.interest_factors > 0 ? loaded->shape.interest_factors
											   : loaded->shape.num_factors;
	Ranked *ranked = rank_items(loaded);
	FmItemMap map = {.count = Min(most, loaded->version.num_items)};

	map.items = palloc0((map.count + 1) * sizeof(FmMapItem));
	for (int i = 0; i < map.count; i++)
	{
		map.items[i].id = text_to_cstring(
			DatumGetTextPP(fm_serve_item_out(serving, ranked[i].item)));
		map.items[i].title = map.items[i].id;
		map.items[i].ratings = ranked[i].ratings;
	}
	if (map.count < LEAST_ITEMS || k < 2)
		map.count = 0;
	else
		place(directions(loaded, ranked, map.count, k), k, &map);
	return map;
}
