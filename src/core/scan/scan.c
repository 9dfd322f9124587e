/*
 * The exact top-x over a loaded matrix: for one query, a batch of queries, or a list of items.
 *
 * A scan goes through the matrix tile by tile. It keeps the best x items seen so far, by exact
 * score, in a heap in the caller's array of hits. The score of the worst of them is the threshold
 * that any other item must reach. If the bound of a tile does not reach it, the tile is skipped.
 * The items of other tiles are screened in 8 bits (scan_kernel.h), and those that pass are scored
 * exactly ("rescored"). As the screen never drops an item that reaches the threshold, the result is
 * exact.
 *
 * Items are visited in the order of their places in the matrix, not of their indices. So an item
 * that equals the threshold is rescored as well, and the heap settles the tie.
 *
 * Items that pass are not rescored at once but wait ("pending"), because most of them no longer
 * reach the threshold once it has risen. It also rises without rescoring: a screened score less its
 * error is a lower bound of the exact score, and the x-th best lower bound is a threshold, too.
 *
 * A batch goes through the tiles once for every QUERIES_AT_ONCE queries, and screens a tile for as
 * many queries at a time as the kernel takes. While one query is rescored, the rows of the next are
 * prefetched. Only a batch allocates memory. Its size does not depend on the number of queries or
 * items.
 *
 * A batch of cosines screens inner products of vectors of length 1, and rescores by the definition
 * of a cosine. The two differ by less than the slack, so thresholds are lowered by it
 * (FM_COSINE_SLACK).
 */
#include "core/scan/scan.h"

#include <math.h>
#include <string.h>

#include "core/bitset.h"
#include "core/layout.h"
#include "core/math/rounding.h"
#include "core/scan/best.h"
#include "core/scan/cosine.h"
#include "core/scan/scan_kernels.h"
#include "core/scan/scan_layout.h"
#include "core/scan/scan_screen.h"

#define LANES FM_SCAN_LANES

/*
 * If fewer than one query in this many are done with a tile, the tile is screened for all queries.
 */
#define NEARLY_ALL 4

/*
 * Queries of a batch that go through the matrix together: the codes of a tile are read once for
 * all.
 */
#define QUERIES_AT_ONCE 256

/*
 * Scoring an item of a list costs as much as screening this many items: it is somewhere in memory,
 * and in double precision.
 */
#define LIST_PAYS_BELOW 32

/*
 * Lower bounds are kept for at most MOST_LOWER hits, a multiple of LANES. With them, up to
 * MOST_PENDING items wait to be rescored.
 */
#define MOST_LOWER 128
#define MOST_PENDING 256

/* Items that wait without lower bounds: few, because then only rescoring raises the threshold. */
#define FEW_PENDING 16

/* Items that wait after seeds, which usually give a good threshold. */
#define SEEDED_PENDING 64

/* Rows are prefetched this many rows before they are scored. */
#define ROWS_AHEAD 16

/* Bytes of a row that are prefetched at most. */
#define MOST_PREFETCHED 1024

typedef struct Survivor
{
	int32_t place;
	float upper; /* the exact score is at most this, unless this is NaN */
} Survivor;

/* What a batch of cosines knows besides inner products. */
typedef struct Cosines
{
	const double *norms; /* of items; NULL: scores are inner products */
	double norm;		 /* of the query */
	int32_t own;		 /* the item that is the query, which is not eligible; -1: none */
	float slack;		 /* see FM_COSINE_SLACK; 0 for inner products */
} Cosines;

static const Cosines no_cosines = {NULL, 0, -1, 0};

typedef struct Search
{
	const FmScanKernel *kernel;
	Cosines cosines;
	FmBest best; /* of the items rescored */
	const uint64_t *excluded;
	int32_t num_pending;
	int32_t most_pending;
	bool keeps_lower; /* lower bounds raise the threshold */
	bool seeded;	  /* seeds gave a threshold before the scan */
	int32_t num_seeds;
	uint64_t seed_bits;		   /* bit i % 64 is set for each seed i */
	int32_t seeds[MOST_LOWER]; /* items already offered to `best` */
	FmScreenQuery query __attribute__((aligned(FM_ALIGNMENT))); /* with the threshold */
	float lower[MOST_LOWER]; /* the best lower bounds, in descending order */
	Survivor pending[MOST_PENDING + LANES];
} Search;

/*
 * The definition of a score. The product of two floats is exact in a double, so it makes no
 * difference whether a compiler fuses multiplication and addition, and no sum of finite floats
 * overflows.
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

/* Prefetch an item's row. */
static void
prefetch_row(const FmScanMatrix *matrix, int32_t item)
{
	const char *row = (const char *) fm_scan_row(matrix, item);
	size_t bytes = ((size_t) matrix->num_factors + 1) * sizeof(float);

	if (bytes > MOST_PREFETCHED)
		bytes = MOST_PREFETCHED; /* the CPU prefetches the rest by itself */
	for (size_t offset = 0; offset < bytes; offset += FM_CACHE_LINE)
		__builtin_prefetch(row + offset);
	__builtin_prefetch(row + bytes - 1);
}

static void
offer_items(const FmScanMatrix *matrix, const FmScanKernel *kernel, const Cosines *cosines,
			const float *query, const int32_t *items, int32_t count, FmBest *best)
{
	for (int32_t j = 0; j < ROWS_AHEAD && j < count; j++)
		prefetch_row(matrix, items[j]);
	for (int32_t i = 0; i < count; i += FM_SCORES_AT_ONCE)
	{
		int32_t left = count - i < FM_SCORES_AT_ONCE ? count - i : FM_SCORES_AT_ONCE;
		const float *rows[FM_SCORES_AT_ONCE];
		double scores[FM_SCORES_AT_ONCE];

		for (int32_t j = i + ROWS_AHEAD; j < i + ROWS_AHEAD + FM_SCORES_AT_ONCE && j < count; j++)
			prefetch_row(matrix, items[j]);
		for (int j = 0; j < FM_SCORES_AT_ONCE; j++)
			rows[j] = fm_scan_row(matrix, items[i + (j < left ? j : 0)]);
		kernel->score_rows(rows, query, matrix->num_factors + 1, scores);
		for (int j = 0; j < left && cosines->norms != NULL; j++)
			scores[j] = fm_cosine(scores[j], cosines->norm, cosines->norms[items[i + j]]);
		for (int j = 0; j < left; j++)
			fm_best_offer(best, items[i + j], scores[j]);
	}
}

static bool
is_seed(const Search *search, int32_t item)
{
	int found = 0;

	if ((search->seed_bits >> (item % 64) & 1) == 0)
		return false;
	/* no early exit, so that the compiler makes vectors of it */
	for (int32_t i = 0; i < search->num_seeds; i++)
		found |= search->seeds[i] == item;
	return found != 0;
}

/* Return whether an item is eligible and has not been scored yet. */
static bool
is_open(const Search *search, int32_t item)
{
	return item != search->cosines.own && !is_seed(search, item) &&
		   (search->excluded == NULL || !fm_bitset_has(search->excluded, item));
}

/*
 * Add a lower bound to the best ones. They are in descending order, and the last of as many as hits
 * are wanted is a threshold. Inserting avoids branches that could be mispredicted.
 */
static void
offer_lower(Search *search, float value)
{
	float *lower = search->lower;
	float above[MOST_LOWER];
	int32_t wanted = search->best.wanted;
	int32_t end = (wanted + LANES - 1) / LANES * LANES;

	if (!isfinite(value) || value <= lower[wanted - 1])
		return;
	above[0] = INFINITY;
	memcpy(above + 1, lower, (end - 1) * sizeof(float));
	for (int32_t i = 0; i < end; i++)
	{
		float moved = above[i] < value ? above[i] : value;

		lower[i] = lower[i] > moved ? lower[i] : moved;
	}
	if (lower[wanted - 1] > search->query.threshold)
		search->query.threshold = lower[wanted - 1];
}

/* Drop the pending items that no longer reach the threshold. */
static void
sift_pending(Search *search)
{
	int32_t kept = 0;

	for (int32_t i = 0; i < search->num_pending; i++)
		if (!(search->pending[i].upper < search->query.threshold))
			search->pending[kept++] = search->pending[i];
	search->num_pending = kept;
}

/* Rescore the pending items. */
static void
rescore_pending(const FmScanMatrix *matrix, Search *search)
{
	int32_t items[MOST_PENDING + LANES];
	int32_t count = search->num_pending;

	for (int32_t i = 0; i < count; i++)
		items[i] = fm_scan_items(matrix)[search->pending[i].place];
	search->num_pending = 0;
	if (count == 0)
		return;
	offer_items(matrix, search->kernel, &search->cosines, search->query.query, items, count,
				&search->best);
	if (search->best.count == search->best.wanted)
		fm_screen_raise_threshold(&search->query,
								  search->best.hits[0].score - search->cosines.slack);
}

/* Sift the pending items, and rescore them if too many remain. */
static void
make_room(const FmScanMatrix *matrix, Search *search)
{
	sift_pending(search);
	if (search->num_pending > search->most_pending / 2)
		rescore_pending(matrix, search);
}

/* Add to the pending items what passed the screen of one block for one query. */
static void
add_survivors(const FmScanMatrix *matrix, int32_t block, const FmSurvivors *survivors, int column,
			  float error, Search *search)
{
	for (uint32_t lanes = survivors->lanes[column]; lanes != 0; lanes &= lanes - 1)
	{
		int lane = __builtin_ctz(lanes);
		int32_t place = block * LANES + lane;
		float upper = survivors->upper[column][lane];

		if (place >= matrix->num_items || !is_open(search, fm_scan_items(matrix)[place]))
			continue;
		search->pending[search->num_pending++] = (Survivor){place, upper};
		if (search->keeps_lower)
			offer_lower(search, fm_screen_lower(upper, error) - 2 * search->cosines.slack);
	}
	if (search->num_pending >= search->most_pending)
		make_room(matrix, search);
}

/*
 * Return whether a tile may have hits. The test is "not less", not "more or equal", because with
 * NaN nothing is known.
 */
static bool
may_find_more(const Search *search, const FmScanTile *tile)
{
	return !(fm_screen_reach(&search->query, tile) < search->query.threshold);
}

static void
begin_search(const FmScanMatrix *matrix, const FmScanKernel *kernel, const float *query, int32_t x,
			 const uint64_t *excluded, FmHit *hits, Search *search)
{
	search->kernel = kernel;
	search->cosines = no_cosines;
	search->best = (FmBest){hits, 0, x < matrix->num_items ? x : matrix->num_items};
	search->excluded = excluded;
	search->num_pending = 0;
	search->keeps_lower = search->best.wanted <= MOST_LOWER;
	search->most_pending = search->keeps_lower ? MOST_PENDING : FEW_PENDING;
	search->seeded = false;
	search->num_seeds = 0;
	search->seed_bits = 0;
	for (int i = 0; i < MOST_LOWER; i++)
		search->lower[i] = -INFINITY;
	fm_screen_prepare(&search->query, query, matrix->num_factors, kernel->four_max,
					  kernel->code_zero);
}

/* Prefetch the rows that finishing this search will read. */
static void
fetch_pending(const FmScanMatrix *matrix, Search *search)
{
	sift_pending(search);
	for (int32_t i = 0; i < search->num_pending; i++)
		prefetch_row(matrix, fm_scan_items(matrix)[search->pending[i].place]);
}

/*
 * Start from items that may be among the best. Those that are eligible and distinct are scored now,
 * and skipped when the scan meets them. If there are as many as hits are wanted, they give a
 * threshold; fewer give at least lower bounds.
 */
static void
use_seeds(const FmScanMatrix *matrix, const int32_t *seeds, Search *search)
{
	const int32_t wanted = search->best.wanted;

	if (wanted > MOST_LOWER)
		return;
	for (int32_t i = 0; i < wanted; i++)
		if (seeds[i] >= 0 && seeds[i] < matrix->num_items && is_open(search, seeds[i]))
		{
			search->seeds[search->num_seeds++] = seeds[i];
			search->seed_bits |= UINT64_C(1) << (seeds[i] % 64);
		}
	offer_items(matrix, search->kernel, &search->cosines, search->query.query, search->seeds,
				search->num_seeds, &search->best);
	search->seeded = search->num_seeds == wanted;
	if (search->seeded)
	{
		search->keeps_lower = false;
		search->most_pending = SEEDED_PENDING;
		fm_screen_raise_threshold(&search->query,
								  search->best.hits[0].score - search->cosines.slack);
	}
	else
		for (int32_t i = 0; i < search->num_seeds; i++)
			offer_lower(search, fm_round_down(search->best.hits[i].score - search->cosines.slack));
}

/* Prefetch the rows that using these seeds will read. */
static void
fetch_seeds(const FmScanMatrix *matrix, const int32_t *seeds, int32_t count)
{
	for (int32_t i = 0; i < count && i < MOST_LOWER; i++)
		if (seeds[i] >= 0 && seeds[i] < matrix->num_items)
			prefetch_row(matrix, seeds[i]);
}

static int32_t
finish_search(const FmScanMatrix *matrix, Search *search)
{
	sift_pending(search);
	rescore_pending(matrix, search);
	return fm_best_finish(&search->best);
}

static void
begin_screen(const FmScanMatrix *matrix, FmScreen *screen)
{
	screen->num_groups = matrix->num_groups;
	screen->codes = fm_scan_codes(matrix);
	screen->scales = fm_scan_scales(matrix);
	screen->per_scale = fm_scan_per_scale(matrix);
	screen->biases = fm_scan_biases(matrix);
	memset(screen->loaded, 0, sizeof(screen->loaded));
}

/*
 * Copy a query's codes to its column of a screen of `width` queries, unless they are there already.
 */
static void
load_codes(FmScreen *screen, int column, int width, const FmScreenQuery *query)
{
	if (screen->loaded[column] == query)
		return;
	screen->loaded[column] = query;
	screen->offset[column] = query->offset;
	screen->unit[column] = query->unit;
	screen->bias_weight[column] = query->bias_weight;
	for (int g = 0; g < screen->num_groups; g++)
		memcpy(&screen->groups[g * width + column], query->codes + g * FM_SCAN_GROUP,
			   FM_SCAN_GROUP);
}

/*
 * Screen a few blocks for `count` queries whose codes are loaded, and add what passes to the
 * pending items.
 */
static void
search_blocks(const FmScanMatrix *matrix, int32_t from, int32_t to, FmScreenBlocks screen_blocks,
			  FmScreen *screen, Search *const *searches, int count)
{
	const FmScanTile *tile = fm_scan_tiles(matrix) + from / FM_SCAN_TILE_BLOCKS;
	FmSurvivors survivors[FM_SCAN_TILE_BLOCKS];
	uint32_t blocks;

	for (int i = 0; i < count; i++)
	{
		screen->threshold[i] = searches[i]->query.threshold;
		screen->needed[i] = fm_screen_needed(&searches[i]->query, tile, screen->error[i]);
	}
	for (blocks = screen_blocks(screen, from, to, survivors); blocks != 0; blocks &= blocks - 1)
	{
		int b = __builtin_ctz(blocks);

		for (int i = 0; i < count; i++)
			if (survivors[b].lanes[i] != 0)
				add_survivors(matrix, from + b, &survivors[b], i, screen->error[i], searches[i]);
	}
}

/*
 * Screen a whole tile at once. Its blocks are screened one by one as long as some query has no
 * threshold, and in the first tile, where thresholds rise so fast that using the newest pays; but
 * not there if seeds gave every query a threshold.
 */
static void
search_tile(const FmScanMatrix *matrix, int32_t t, FmScreenBlocks screen_blocks, FmScreen *screen,
			Search *const *searches, int count)
{
	int32_t block = t * FM_SCAN_TILE_BLOCKS;
	int32_t left = matrix->num_blocks - block;
	int32_t end = block + (left < FM_SCAN_TILE_BLOCKS ? left : FM_SCAN_TILE_BLOCKS);

	for (int i = 0; i < count; i++)
		screen->error[i] = fm_screen_error(&searches[i]->query, fm_scan_tiles(matrix) + t);
	while (block < end)
	{
		int32_t to = end;

		for (int i = 0; i < count; i++)
			if (searches[i]->query.threshold == -INFINITY || (t == 0 && !searches[i]->seeded))
				to = block + 1;
		search_blocks(matrix, block, to, screen_blocks, screen, searches, count);
		block = to;
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
	return finish_search(matrix, &search);
}

/* The state of QUERIES_AT_ONCE queries, with as many screens as they fill. */
typedef struct Batch
{
	int32_t count;
	Search searches[QUERIES_AT_ONCE];
	FmScreen screens[];
} Batch;

/* Screen one tile for queries whose codes are in the first columns of a screen. */
static void
search_columns(const FmScanMatrix *matrix, int32_t t, const FmScanKernel *kernel, FmScreen *screen,
			   Search *const *column, int filled)
{
	/* let nothing pass in columns that stay empty */
	for (int j = filled; j < kernel->width; j++)
	{
		load_codes(screen, j, kernel->width, &column[0]->query);
		screen->error[j] = -INFINITY;
		screen->threshold[j] = 0;
		screen->needed[j] = INFINITY;
	}
	search_tile(matrix, t, kernel->screen_many, screen, column, filled);
}

/*
 * Screen one tile for all queries of a batch that may find something there, one screen of queries
 * at a time. If these are nearly all queries, every query keeps its column: moving codes would cost
 * more than screening for the others.
 */
static void
search_tile_for_many(const FmScanMatrix *matrix, int32_t t, const FmScanKernel *kernel,
					 Batch *batch)
{
	const FmScanTile *tile = fm_scan_tiles(matrix) + t;
	FmScreen *screen = batch->screens;
	Search *searches[QUERIES_AT_ONCE];
	int32_t count = 0;

	for (int32_t i = 0; i < batch->count; i++)
		if (may_find_more(&batch->searches[i], tile))
			searches[count++] = &batch->searches[i];
	if (count > batch->count - batch->count / NEARLY_ALL)
		for (count = 0; count < batch->count; count++)
			searches[count] = &batch->searches[count];
	for (int32_t i = 0; i < count; i += kernel->width)
	{
		int filled = count - i < kernel->width ? count - i : kernel->width;

		for (int j = 0; j < filled; j++)
			load_codes(screen, j, kernel->width, &searches[i + j]->query);
		search_columns(matrix, t, kernel, screen++, searches + i, filled);
	}
}

/* What a batch is asked. */
typedef struct Queries
{
	const float *queries; /* as they are screened */
	int32_t count;
	int32_t x; /* at most the number of items */
	const uint64_t *const *excluded;
	const int32_t *seeds;
	const double *norms; /* NULL: inner products */
	const int32_t *own;	 /* for cosines: the item that each query is */
} Queries;

/* Turn the search for an inner product into one for the cosine with an item. */
static void
search_cosines(const FmScanMatrix *matrix, const Queries *queries, int32_t q, Search *search)
{
	int32_t own = queries->own[q];

	search->query.query = fm_scan_row(matrix, own);
	search->cosines = (Cosines){queries->norms, queries->norms[own], own, FM_COSINE_SLACK};
}

/* Begin the searches of a batch with query number `first`, and use their seeds. */
static void
begin_batch(const FmScanMatrix *matrix, const FmScanKernel *kernel, const Queries *queries,
			int32_t first, FmHit *hits, Batch *batch)
{
	const size_t x = queries->x;
	const int32_t *seeds = x > 0 ? queries->seeds : NULL;

	for (int s = 0; s < QUERIES_AT_ONCE / kernel->width; s++)
		begin_screen(matrix, &batch->screens[s]);
	for (int32_t i = 0; i < batch->count; i++)
	{
		const size_t q = (size_t) first + i;

		begin_search(matrix, kernel, queries->queries + q * (matrix->num_factors + 1), queries->x,
					 queries->excluded != NULL ? queries->excluded[q] : NULL, hits + q * x,
					 &batch->searches[i]);
		if (queries->norms != NULL)
			search_cosines(matrix, queries, (int32_t) q, &batch->searches[i]);
		if (seeds == NULL)
			continue;
		if (i + 1 < batch->count)
			fetch_seeds(matrix, seeds + (q + 1) * x, queries->x);
		use_seeds(matrix, seeds + q * x, &batch->searches[i]);
	}
}

static void
search_batch(const FmScanMatrix *matrix, const Queries *queries, const FmHost *host, FmHit *hits,
			 int32_t *counts)
{
	const FmScanKernel *kernel = fm_scan_kernel();
	int num_screens = QUERIES_AT_ONCE / kernel->width;
	Batch *batch = host->alloc(host->ctx, 1, sizeof(Batch) + num_screens * sizeof(FmScreen));

	for (int32_t first = 0; first < queries->count; first += batch->count)
	{
		int32_t left = queries->count - first;

		batch->count = left < QUERIES_AT_ONCE ? left : QUERIES_AT_ONCE;
		begin_batch(matrix, kernel, queries, first, hits, batch);
		for (int32_t t = 0; t < matrix->num_tiles && queries->x > 0; t++)
		{
			host->check_interrupts(host->ctx);
			search_tile_for_many(matrix, t, kernel, batch);
		}
		for (int32_t i = 0; i < batch->count; i++)
		{
			if (i + 1 < batch->count)
				fetch_pending(matrix, &batch->searches[i + 1]);
			counts[first + i] = finish_search(matrix, &batch->searches[i]);
		}
	}
	host->release(host->ctx, batch);
}

/* Return how many of x items there can be. */
static int32_t
room(const FmScanMatrix *matrix, int32_t x)
{
	return x < 0 ? 0 : x < matrix->num_items ? x : matrix->num_items;
}

void
fm_scan_batch_top_x(const FmScanMatrix *matrix, const float *queries, int32_t num_queries,
					int32_t x, const uint64_t *const *excluded, const int32_t *seeds,
					const FmHost *host, FmHit *hits, int32_t *counts)
{
	search_batch(matrix,
				 &(Queries){.queries = queries,
							.count = num_queries,
							.x = room(matrix, x),
							.excluded = excluded,
							.seeds = seeds},
				 host, hits, counts);
}

void
fm_scan_batch_cosines(const FmScanMatrix *matrix, const double *norms, const float *directions,
					  const int32_t *items, int32_t num_items, int32_t x, const int32_t *seeds,
					  const FmHost *host, FmHit *hits, int32_t *counts)
{
	search_batch(matrix,
				 &(Queries){.queries = directions,
							.count = num_items,
							.x = room(matrix, x),
							.seeds = seeds,
							.norms = norms,
							.own = items},
				 host, hits, counts);
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
	FmBest best = {hits, 0, x < num_list ? x : num_list};

	if (best.wanted <= 0)
		return 0;
	offer_items(matrix, fm_scan_kernel(), &no_cosines, query, items, num_list, &best);
	return fm_best_finish(&best);
}
