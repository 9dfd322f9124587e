/*
 * The exact top-x over a loaded matrix: one query, a batch, or a list of items.
 *
 * A scan goes through the matrix tile by tile and keeps the best x seen so far, by exact score, in a
 * heap that stands in the caller's array of hits. The score of the worst of them is the threshold
 * that everything else must reach: a tile whose bound does not is passed over, the other tiles are
 * screened in 8 bits (scan_kernels.c), and what the screen lets through is rescored exactly. Items
 * come in the order of their places, not of their indices, so one that equals the threshold is
 * rescored too and the heap settles the tie.
 *
 * A batch goes through the tiles once for every QUERIES_AT_ONCE queries, and screens a tile for as
 * many of them at a time as the kernel takes. Only a batch needs memory of its own, of a size that
 * does not depend on the number of queries or items.
 */
#include "core/scan.h"

#include <math.h>
#include <string.h>

#include "core/scan_kernels.h"

#define LANES FM_SCAN_LANES

/* Queries of a batch that go through the matrix together: a tile's codes are read once for them. */
#define QUERIES_AT_ONCE 64

/* Items rescored side by side, because one sum would wait for the latency of every addition. */
#define SCORES_AT_ONCE 4

/*
 * Scoring an item of a list costs as much as screening so many: it is somewhere in memory, and in
 * double precision.
 */
#define LIST_PAYS_BELOW 32

/* The best hits so far: a heap with the worst of them on top. */
typedef struct Best
{
	FmHit *hits;
	int32_t count;
	int32_t wanted;
} Best;

typedef struct Search
{
	Best best;
	const uint64_t *excluded;
	FmScreenQuery query;
} Search;

/*
 * The definition of a score. The product of two floats is exact in a double, so a compiler that
 * fuses multiplication and addition changes nothing, and no sum of finite floats overflows.
 */
double
fm_scan_score(const FmScanMatrix *matrix, const float *query, int32_t item)
{
	const float *row = fm_scan_row(matrix, item);
	double score = 0;

	for (int f = 0; f <= matrix->num_factors; f++)
		score += (double) query[f] * (double) row[f];
	return score;
}

/* The same, bit for bit, of SCORES_AT_ONCE items. */
static void
score_some(const FmScanMatrix *matrix, const float *query, const int32_t *items, double *scores)
{
	const float *rows[SCORES_AT_ONCE];
	double sums[SCORES_AT_ONCE] = {0};

	for (int i = 0; i < SCORES_AT_ONCE; i++)
		rows[i] = fm_scan_row(matrix, items[i]);
	for (int f = 0; f <= matrix->num_factors; f++)
		for (int i = 0; i < SCORES_AT_ONCE; i++)
			sums[i] += (double) query[f] * (double) rows[i][f];
	memcpy(scores, sums, sizeof(sums));
}

static bool
ranks_before(FmHit a, FmHit b)
{
	return a.score > b.score || (a.score == b.score && a.item < b.item);
}

/* Put `hit` in the place of the top of a heap of `count`. */
static void
heap_replace_top(FmHit *hits, int32_t count, FmHit hit)
{
	int32_t hole = 0;

	/* 2 × hole + 1 < count, written so that it cannot overflow */
	while (hole < count / 2)
	{
		int32_t child = 2 * hole + 1;

		if (child + 1 < count && ranks_before(hits[child], hits[child + 1]))
			child++;
		if (!ranks_before(hit, hits[child]))
			break;
		hits[hole] = hits[child];
		hole = child;
	}
	hits[hole] = hit;
}

static void
heap_insert(FmHit *hits, int32_t count, FmHit hit)
{
	int32_t hole = count;

	while (hole > 0 && ranks_before(hits[(hole - 1) / 2], hit))
	{
		hits[hole] = hits[(hole - 1) / 2];
		hole = (hole - 1) / 2;
	}
	hits[hole] = hit;
}

static void
best_offer(Best *best, int32_t item, double score)
{
	FmHit hit = {item, score};

	if (best->count < best->wanted)
		heap_insert(best->hits, best->count++, hit);
	else if (ranks_before(hit, best->hits[0]))
		heap_replace_top(best->hits, best->count, hit);
}

/* Turn the heap into a list, best first. */
static int32_t
best_finish(Best *best)
{
	for (int32_t last = best->count - 1; last > 0; last--)
	{
		FmHit worst = best->hits[0];

		heap_replace_top(best->hits, last, best->hits[last]);
		best->hits[last] = worst;
	}
	return best->count;
}

static void
offer_items(const FmScanMatrix *matrix, const float *query, const int32_t *items, int32_t count,
			Best *best)
{
	int32_t i = 0;

	for (; i + SCORES_AT_ONCE <= count; i += SCORES_AT_ONCE)
	{
		double scores[SCORES_AT_ONCE];

		score_some(matrix, query, items + i, scores);
		for (int j = 0; j < SCORES_AT_ONCE; j++)
			best_offer(best, items[i + j], scores[j]);
	}
	for (; i < count; i++)
		best_offer(best, items[i], fm_scan_score(matrix, query, items[i]));
}

static bool
is_excluded(const uint64_t *excluded, int32_t item)
{
	return excluded != NULL && (excluded[item / 64] >> (item % 64) & 1) != 0;
}

/* Rescore what a screen let through of one block. */
static void
rescore(const FmScanMatrix *matrix, int32_t block, uint32_t lanes, Search *search)
{
	const int32_t *items = fm_scan_items(matrix) + (size_t) block * LANES;
	int32_t eligible[LANES];
	int32_t count = 0;

	for (; lanes != 0; lanes &= lanes - 1)
	{
		int32_t item = items[__builtin_ctz(lanes)];

		if (item >= 0 && !is_excluded(search->excluded, item)) /* below 0: padding */
			eligible[count++] = item;
	}
	offer_items(matrix, search->query.query, eligible, count, &search->best);
	if (search->best.count == search->best.wanted)
		fm_screen_set_threshold(&search->query, search->best.hits[0].score);
}

static bool
may_find_more(const Search *search, const FmScanTile *tile)
{
	/* not less, rather than more or equal: NaN means nothing is known */
	return search->best.count < search->best.wanted ||
		   !(fm_screen_reach(&search->query, tile) < search->best.hits[0].score);
}

static void
begin_search(const FmScanMatrix *matrix, const FmScanKernel *kernel, const float *query, int32_t x,
			 const uint64_t *excluded, FmHit *hits, Search *search)
{
	search->best = (Best){hits, 0, x < matrix->num_items ? x : matrix->num_items};
	search->excluded = excluded;
	fm_screen_prepare(&search->query, query, matrix->num_factors, kernel->code_max);
}

static void
begin_screen(const FmScanMatrix *matrix, FmScreen *screen)
{
	screen->num_groups = matrix->num_groups;
	screen->codes = fm_scan_codes(matrix);
	screen->scales = fm_scan_scales(matrix);
	screen->biases = fm_scan_biases(matrix);
}

/* Put a query's codes into its column of a screen of `width` queries. */
static void
load_codes(FmScreen *screen, int column, int width, const FmScreenQuery *query)
{
	screen->offset[column] = query->offset;
	screen->unit[column] = query->unit;
	screen->bias_weight[column] = query->bias_weight;
	for (int g = 0; g < screen->num_groups; g++)
		memcpy(&screen->groups[g * width + column], query->codes + g * FM_SCAN_GROUP,
			   FM_SCAN_GROUP);
}

/* Screen a tile for `count` queries whose codes are loaded, and rescore what comes through. */
static void
search_tile(const FmScanMatrix *matrix, int32_t t, FmScreenBlocks screen_blocks, FmScreen *screen,
			Search *const *searches, int count)
{
	const FmScanTile *tile = fm_scan_tiles(matrix) + t;
	int32_t block = t * FM_SCAN_TILE_BLOCKS;
	int32_t left = matrix->num_blocks - block;
	int32_t end = block + (left < FM_SCAN_TILE_BLOCKS ? left : FM_SCAN_TILE_BLOCKS);
	uint32_t survivors[FM_SCREEN_MAX_WIDTH];

	for (int i = 0; i < count; i++)
	{
		screen->error[i] = fm_screen_error(&searches[i]->query, tile);
		screen->threshold[i] = searches[i]->query.threshold;
	}
	while ((block = screen_blocks(screen, block, end, survivors)) < end)
	{
		for (int i = 0; i < count; i++)
			if (survivors[i] != 0)
			{
				rescore(matrix, block, survivors[i], searches[i]);
				screen->threshold[i] = searches[i]->query.threshold;
			}
		block++;
	}
}

int32_t
fm_scan_top_x(const FmScanMatrix *matrix, const float *query, int32_t x, const uint64_t *excluded,
			  const FmHost *host, FmHit *hits)
{
	const FmScanKernel *kernel = fm_scan_kernel();
	const FmScanTile *tiles = fm_scan_tiles(matrix);
	Search search;
	Search *searches[] = {&search};
	FmScreen screen;

	begin_search(matrix, kernel, query, x, excluded, hits, &search);
	if (search.best.wanted <= 0)
		return 0;
	begin_screen(matrix, &screen);
	load_codes(&screen, 0, 1, &search.query);
	for (int32_t t = 0; t < matrix->num_tiles; t++)
		if (may_find_more(&search, &tiles[t]))
		{
			host->check_interrupts(host->ctx);
			search_tile(matrix, t, kernel->screen_one, &screen, searches, 1);
		}
	return best_finish(&search.best);
}

/* One tile for all queries of a batch that may find something there, a screenful at a time. */
static void
search_tile_for_many(const FmScanMatrix *matrix, int32_t t, const FmScanKernel *kernel,
					 FmScreen *screen, Search *searches, int count)
{
	const FmScanTile *tile = fm_scan_tiles(matrix) + t;
	Search *column[FM_SCREEN_MAX_WIDTH];
	int filled = 0;

	for (int i = 0; i < count; i++)
	{
		if (may_find_more(&searches[i], tile))
		{
			column[filled] = &searches[i];
			load_codes(screen, filled, kernel->width, &searches[i].query);
			filled++;
		}
		if (filled == kernel->width || (filled > 0 && i == count - 1))
		{
			/* Columns that stay empty let nothing through. */
			for (int j = filled; j < kernel->width; j++)
			{
				load_codes(screen, j, kernel->width, &column[0]->query);
				screen->error[j] = -INFINITY;
				screen->threshold[j] = 0;
			}
			search_tile(matrix, t, kernel->screen_many, screen, column, filled);
			filled = 0;
		}
	}
}

void
fm_scan_batch_top_x(const FmScanMatrix *matrix, const float *queries, int32_t num_queries,
					int32_t x, const uint64_t *const *excluded, const FmHost *host, FmHit *hits,
					int32_t *counts)
{
	const FmScanKernel *kernel = fm_scan_kernel();
	size_t room = x < 0 ? 0 : x < matrix->num_items ? x : matrix->num_items;
	int32_t at_once = num_queries < QUERIES_AT_ONCE ? num_queries : QUERIES_AT_ONCE;
	Search *searches;
	FmScreen screen;

	if (num_queries <= 0)
		return;
	searches = host->alloc(host->ctx, at_once, sizeof(Search));
	begin_screen(matrix, &screen);
	for (int32_t first = 0; first < num_queries; first += at_once)
	{
		int32_t count = num_queries - first < at_once ? num_queries - first : at_once;

		for (int32_t i = 0; i < count; i++)
		{
			size_t q = first + i;

			begin_search(matrix, kernel, queries + q * (matrix->num_factors + 1), (int32_t) room,
						 excluded != NULL ? excluded[q] : NULL, hits + q * room, &searches[i]);
		}
		for (int32_t t = 0; t < matrix->num_tiles && room > 0; t++)
		{
			host->check_interrupts(host->ctx);
			search_tile_for_many(matrix, t, kernel, &screen, searches, count);
		}
		for (int32_t i = 0; i < count; i++)
			counts[first + i] = best_finish(&searches[i].best);
	}
	host->release(host->ctx, searches);
}

bool
fm_scan_list_pays(const FmScanMatrix *matrix, int32_t num_list)
{
	return num_list <= matrix->num_items / LIST_PAYS_BELOW;
}

int32_t
fm_scan_list_top_x(const FmScanMatrix *matrix, const float *query, int32_t x, const int32_t *items,
				   int32_t num_list, FmHit *hits)
{
	Best best = {hits, 0, x < num_list ? x : num_list};

	if (best.wanted <= 0)
		return 0;
	offer_items(matrix, query, items, num_list, &best);
	return best_finish(&best);
}
