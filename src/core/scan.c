/*
 * The loaded matrix and the exact top-x over it.
 *
 * A matrix is one flat piece of memory that the caller owns:
 *
 *     FmScanMatrix | norm per item | vectors, in blocks of FM_SCAN_LANES items
 *
 * Within a block the items are interleaved, entry 0 of each, then entry 1 of each, and so on: one
 * SIMD register holds the same entry of many items, so a screen needs no horizontal sums. The last
 * block is padded with zero vectors. The floats are the only copy of an item; an exact score reads
 * them with a stride, mostly from a block that the screen has just pulled into the cache.
 *
 * The scan goes by ascending index and keeps the best x seen so far, by exact score, in a heap that
 * stands in the caller's array of hits; so it allocates nothing. Once the heap is full, the screen
 * (see scan_kernels.h) drops whatever cannot beat the worst of them. An item that only equals the
 * worst is dropped as well: its index is higher.
 */
#include "core/scan.h"

#include <math.h>
#include <string.h>

#include "core/scan_kernels.h"

#define LANES FM_SCAN_LANES

/* Between two looks for an interrupt: 4 MB, a fraction of a millisecond when screened. */
#define FLOATS_PER_CHECK (1 << 20)

/* From so many survivors on, scoring a whole block at once is cheaper than one by one. */
#define WHOLE_BLOCK_SURVIVORS 4

struct FmScanMatrix
{
	int32_t num_items;
	int32_t num_factors;
	int32_t num_blocks;
	int32_t length;		   /* num_factors + 1 */
	size_t norms_offset;   /* from the start of this struct; a multiple of 64, as is the next */
	size_t vectors_offset; /* num_blocks × length × LANES floats */
};

#define HEADER_SIZE 64

_Static_assert(sizeof(FmScanMatrix) <= HEADER_SIZE, "header does not fit its place");

static float *
matrix_norms(const FmScanMatrix *matrix)
{
	return (float *) ((char *) matrix + matrix->norms_offset);
}

static float *
matrix_vectors(const FmScanMatrix *matrix)
{
	return (float *) ((char *) matrix + matrix->vectors_offset);
}

/* Entry 0 of an item; entry f stands f × LANES floats further on. */
static float *
item_entries(const FmScanMatrix *matrix, int32_t item)
{
	size_t block = (size_t) item / LANES;

	return matrix_vectors(matrix) + block * LANES * matrix->length + item % LANES;
}

static size_t
count_blocks(int32_t num_items)
{
	return ((size_t) num_items + LANES - 1) / LANES;
}

size_t
fm_scan_matrix_size(int32_t num_items, int num_factors)
{
	size_t floats_per_block;
	size_t bytes;

	if (num_items < 0 || num_factors < 0)
		return 0;
	/* Per block: the norms and length = num_factors + 1 entries, of LANES items. */
	if (__builtin_mul_overflow((size_t) num_factors + 2, (size_t) LANES, &floats_per_block) ||
		__builtin_mul_overflow(floats_per_block, sizeof(float), &bytes) ||
		__builtin_mul_overflow(bytes, count_blocks(num_items), &bytes) ||
		__builtin_add_overflow(bytes, (size_t) HEADER_SIZE, &bytes))
		return 0;
	return bytes;
}

FmScanMatrix *
fm_scan_matrix_init(void *memory, int32_t num_items, int num_factors)
{
	FmScanMatrix *matrix = memory;
	size_t num_blocks = count_blocks(num_items);

	memset(memory, 0, HEADER_SIZE);
	matrix->num_items = num_items;
	matrix->num_factors = num_factors;
	matrix->num_blocks = (int32_t) num_blocks;
	matrix->length = num_factors + 1;
	matrix->norms_offset = HEADER_SIZE;
	matrix->vectors_offset = HEADER_SIZE + num_blocks * LANES * sizeof(float);
	if (num_blocks > 0)
	{
		size_t block_floats = (size_t) LANES * matrix->length;

		/* The lanes past the last item. */
		memset(matrix_vectors(matrix) + (num_blocks - 1) * block_floats, 0,
			   block_floats * sizeof(float));
	}
	return matrix;
}

void
fm_scan_matrix_set(FmScanMatrix *matrix, int32_t item, const float *v, float bias)
{
	float *entries = item_entries(matrix, item);

	for (int f = 0; f < matrix->num_factors; f++)
		entries[(size_t) f * LANES] = v[f];
	entries[(size_t) matrix->num_factors * LANES] = bias;
}

void
fm_scan_matrix_finish(FmScanMatrix *matrix)
{
	const float *entries = matrix_vectors(matrix);
	float *norms = matrix_norms(matrix);

	for (int32_t block = 0; block < matrix->num_blocks; block++)
	{
		double squares[LANES] = {0};

		for (int f = 0; f < matrix->length; f++, entries += LANES)
			for (int lane = 0; lane < LANES; lane++)
				squares[lane] += (double) entries[lane] * (double) entries[lane];
		for (int lane = 0; lane < LANES; lane++)
			*norms++ = fm_round_up(sqrt(squares[lane]));
	}
}

int32_t
fm_scan_matrix_items(const FmScanMatrix *matrix)
{
	return matrix->num_items;
}

int
fm_scan_matrix_factors(const FmScanMatrix *matrix)
{
	return matrix->num_factors;
}

void
fm_scan_get(const FmScanMatrix *matrix, int32_t item, float *v, float *bias)
{
	const float *entries = item_entries(matrix, item);

	for (int f = 0; f < matrix->num_factors; f++)
		v[f] = entries[(size_t) f * LANES];
	*bias = entries[(size_t) matrix->num_factors * LANES];
}

/*
 * The definition of a score. The product of two floats is exact in a double, so a compiler that
 * fuses multiplication and addition changes nothing, and no sum of finite floats overflows.
 */
double
fm_scan_score(const FmScanMatrix *matrix, const float *query, int32_t item)
{
	const float *entries = item_entries(matrix, item);
	double score = 0;

	for (int f = 0; f < matrix->length; f++)
		score += (double) query[f] * (double) entries[(size_t) f * LANES];
	return score;
}

/* The same, bit for bit, of all items of a block. */
static void
score_block(const FmScanMatrix *matrix, const float *query, int32_t block, double *scores)
{
	const float *entries = item_entries(matrix, block * LANES);
	double sum[LANES] = {0};

	for (int f = 0; f < matrix->length; f++, entries += LANES)
		for (int lane = 0; lane < LANES; lane++)
			sum[lane] += (double) query[f] * (double) entries[lane];
	memcpy(scores, sum, sizeof(sum));
}

/* The best hits so far: a heap with the worst of them on top. */
typedef struct Best
{
	FmHit *hits;
	int32_t count;
	int32_t wanted;
} Best;

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

/* Returns whether the hit was taken. */
static bool
best_offer(Best *best, int32_t item, double score)
{
	FmHit hit = {item, score};

	if (best->count < best->wanted)
		heap_insert(best->hits, best->count++, hit);
	else if (ranks_before(hit, best->hits[0]))
		heap_replace_top(best->hits, best->count, hit);
	else
		return false;
	return true;
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

/* The lanes of a block that hold an item, less the excluded ones. */
static uint32_t
eligible_lanes(const FmScanMatrix *matrix, int32_t block, const uint64_t *excluded)
{
	const uint32_t all = (UINT32_C(1) << LANES) - 1;
	int32_t first = block * LANES;
	int32_t present = matrix->num_items - first;
	uint32_t lanes = present < LANES ? (UINT32_C(1) << present) - 1 : all;

	if (excluded != NULL)
		lanes &= ~(uint32_t) (excluded[first / 64] >> (first % 64));
	return lanes & all;
}

/* Rescore the given lanes of a block. Returns whether any of them was taken. */
static bool
rescore(const FmScanMatrix *matrix, const float *query, int32_t block, uint32_t lanes, Best *best)
{
	double scores[LANES];
	bool whole = __builtin_popcount(lanes) >= WHOLE_BLOCK_SURVIVORS;
	bool taken = false;

	if (whole)
		score_block(matrix, query, block, scores);
	for (; lanes != 0; lanes &= lanes - 1)
	{
		int lane = __builtin_ctz(lanes);
		int32_t item = block * LANES + lane;

		if (best_offer(best, item, whole ? scores[lane] : fm_scan_score(matrix, query, item)))
			taken = true;
	}
	return taken;
}

/* Blocks [from, to), continuing from what *best and the screen's threshold already hold. */
static void
scan_blocks(const FmScanMatrix *matrix, FmScreen *screen, FmScreenKernel kernel, int32_t from,
			int32_t to, const uint64_t *excluded, Best *best)
{
	for (int32_t block = from; block < to; block++)
	{
		uint32_t lanes = ~UINT32_C(0);

		if (best->count == best->wanted)
		{
			block = kernel(screen, block, to, &lanes);
			if (block == to)
				break;
		}
		lanes &= eligible_lanes(matrix, block, excluded);
		if (rescore(matrix, screen->query, block, lanes, best) && best->count == best->wanted)
			fm_screen_set_threshold(screen, best->hits[0].score);
	}
}

int32_t
fm_scan_top_x(const FmScanMatrix *matrix, const float *query, int32_t x, const uint64_t *excluded,
			  const FmHost *host, FmHit *hits)
{
	Best best = {hits, 0, x < matrix->num_items ? x : matrix->num_items};
	FmScreenKernel kernel = fm_screen_kernel();
	int32_t step = FLOATS_PER_CHECK / (LANES * matrix->length) + 1;
	FmScreen screen;

	if (best.wanted <= 0)
		return 0;
	fm_screen_prepare(&screen, query, matrix_vectors(matrix), matrix_norms(matrix), matrix->length);
	for (int32_t from = 0; from < matrix->num_blocks;)
	{
		int32_t left = matrix->num_blocks - from;
		int32_t to = from + (left < step ? left : step);

		host->check_interrupts(host->ctx);
		scan_blocks(matrix, &screen, kernel, from, to, excluded, &best);
		from = to;
	}
	return best_finish(&best);
}

void
fm_scan_batch_top_x(const FmScanMatrix *matrix, const float *queries, int32_t num_queries,
					int32_t x, const uint64_t *const *excluded, const FmHost *host, FmHit *hits,
					int32_t *counts)
{
	size_t room = x < matrix->num_items ? x : matrix->num_items;

	for (int32_t q = 0; q < num_queries; q++)
		counts[q] = fm_scan_top_x(matrix, queries + (size_t) q * matrix->length, x,
								  excluded != NULL ? excluded[q] : NULL, host, hits + q * room);
}

int32_t
fm_scan_list_top_x(const FmScanMatrix *matrix, const float *query, int32_t x, const int32_t *items,
				   int32_t num_list, FmHit *hits)
{
	Best best = {hits, 0, x < num_list ? x : num_list};

	if (best.wanted <= 0)
		return 0;
	for (int32_t i = 0; i < num_list; i++)
		best_offer(&best, items[i], fm_scan_score(matrix, query, items[i]));
	return best_finish(&best);
}
