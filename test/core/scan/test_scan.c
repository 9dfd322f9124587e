/*
 * The scan: every kernel against brute force over the same floats, on seeded random and on awkward
 * matrices; batches and lists against single scans. Prints TAP.
 *
 * The brute force shares no code with the scan: it keeps its own row-major copy and sorts all
 * items.
 */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/bitset.h"
#include "core/scan/scan.h"
#include "core/scan/scan_kernels.h"
#include "support/data.h"
#include "support/tap.h"

/* Return a number in (-1, 1). */
static double
random_unit(void)
{
	return (double) (int64_t) random_bits() / 9223372036854775808.0;
}

typedef float (*Fill)(int32_t item, int f);

static float
fill_uniform(int32_t item, int f)
{
	(void) item, (void) f;
	return (float) random_unit();
}

/* Few distinct values: many ties. */
static float
fill_small_integers(int32_t item, int f)
{
	(void) item, (void) f;
	return (float) ((int) (random_bits() % 3) - 1);
}

static float
fill_equal(int32_t item, int f)
{
	(void) item;
	return 0.1f * (float) (f + 1);
}

static float
fill_zero(int32_t item, int f)
{
	(void) item, (void) f;
	return 0;
}

/* Each item is a little better than the one before: nothing can be screened out. */
static float
fill_ascending(int32_t item, int f)
{
	(void) f;
	return 1 + (float) item * 1e-6f;
}

static float
fill_descending(int32_t item, int f)
{
	return -fill_ascending(item, f);
}

static float
fill_huge(int32_t item, int f)
{
	(void) item, (void) f;
	return (float) (random_unit() * FLT_MAX);
}

static float
fill_extremes(int32_t item, int f)
{
	(void) item, (void) f;
	return random_bits() & 1 ? FLT_MAX : -FLT_MAX;
}

static float
fill_denormal(int32_t item, int f)
{
	(void) item, (void) f;
	return (float) (random_unit() * FLT_MIN);
}

/* Every scale that a float has, in one vector. */
static float
fill_all_scales(int32_t item, int f)
{
	(void) item, (void) f;
	return (float) ldexp(random_unit(), (int) (random_bits() % 276) - 148);
}

/* A few huge items among ordinary ones. */
static float
fill_some_huge(int32_t item, int f)
{
	(void) f;
	return (float) (random_unit() * (item % 37 == 5 ? FLT_MAX : 1));
}

/* As after a training: few items with long vectors, so that most tiles are skipped. */
static float
fill_few_long(int32_t item, int f)
{
	double length = item % 61 == 0 ? 1 : 0.02;

	return (float) (random_unit() * (f == 0 ? 0.5 : length));
}

/* One entry far larger than the others, which hardly register in 8 bits then. */
static float
fill_spiked(int32_t item, int f)
{
	return (float) (random_unit() * (f == item % 3 ? 1000 : 1));
}

/* Items differ in no more than a float's last bits; with one factor, only in the bias. */
static float
fill_last_bits(int32_t item, int f)
{
	(void) item;
	return f == 0 ? 0 : 1 + (float) (random_bits() % 16) * FLT_EPSILON;
}

/* Large terms that cancel, so that the float sum is mostly rounding error. */
static float
fill_cancelling(int32_t item, int f)
{
	float noise = (float) random_unit();

	(void) item;
	return (f % 2 == 0 ? 1e6f : -1e6f) + noise;
}

/* Most of the norm is in few entries, as in distilled factors. */
static float
fill_decaying(int32_t item, int f)
{
	(void) item;
	return (float) (random_unit() * pow(0.7, f));
}

/* Zeros after the first three entries. */
static float
fill_thin(int32_t item, int f)
{
	(void) item;
	return f < 3 ? (float) random_unit() : 0;
}

static const struct
{
	const char *name;
	Fill fill;
	float query_scale;
	bool query_is_constant; /* all entries query_scale, instead of random below it */
} flavours[] = {
	{"uniform", fill_uniform, 1, false},
	{"many ties", fill_small_integers, 1, true},
	{"equal items", fill_equal, 1, false},
	{"zero items", fill_zero, 1, false},
	{"zero query", fill_uniform, 0, true},
	{"ascending scores", fill_ascending, 1, true},
	{"descending scores", fill_descending, 1, true},
	{"huge items", fill_huge, 1, false},
	{"huge items, tiny query", fill_huge, 1e-38f, false},
	{"huge items, huge query", fill_huge, FLT_MAX, false},
	{"items at the largest float", fill_extremes, FLT_MAX, true},
	{"items at the largest float, modest query", fill_extremes, 3, false},
	{"ordinary items, huge query", fill_uniform, FLT_MAX, false},
	{"denormal items", fill_denormal, 1, false},
	{"denormal items, denormal query", fill_denormal, FLT_MIN, false},
	{"denormal items, huge query", fill_denormal, FLT_MAX, false},
	{"ordinary items, denormal query", fill_uniform, FLT_MIN, false},
	{"all scales", fill_all_scales, 1, false},
	{"some huge items", fill_some_huge, 1, false},
	{"some huge items, larger query", fill_some_huge, 100, false},
	{"few long vectors", fill_few_long, 1, false},
	{"spiked", fill_spiked, 1, false},
	{"apart by the last bits", fill_last_bits, 1, false},
	{"apart by the last bits, equal query", fill_last_bits, 1.1f, true},
	{"spiked, equal query", fill_spiked, -1, true},
	{"cancelling terms", fill_cancelling, 1, true},
	{"decaying entries", fill_decaying, 1, false},
	{"thin", fill_thin, 1, false},
};

#define NUM_FLAVOURS ((int) (sizeof(flavours) / sizeof(flavours[0])))

typedef struct Case
{
	int32_t num_items;
	int num_factors;
	float *rows; /* num_items × (num_factors + 1) */
	float *query;
	uint64_t *excluded;
	FmScanMatrix *matrix;
	FmHit *sorted;	  /* all items, best first */
	FmHit *sorted_in; /* the items not excluded */
	int32_t num_in;
} Case;

static int
compare_hits(const void *a, const void *b)
{
	const FmHit *left = a;
	const FmHit *right = b;

	if (left->score != right->score)
		return left->score > right->score ? -1 : 1;
	return left->item < right->item ? -1 : left->item > right->item;
}

static void *
get_memory(size_t count, size_t size)
{
	return host.alloc(host.ctx, count, size);
}

/* Build a matrix in memory full of garbage and in a scattered order, both of which are allowed. */
static FmScanMatrix *
build_matrix(const float *rows, int32_t num_items, int num_factors)
{
	size_t size = fm_scan_matrix_size(num_items, num_factors);
	void *memory = get_memory(size, 1);
	FmScanMatrix *matrix;
	int32_t middle = num_items / 2;

	memset(memory, 0xff, size);
	matrix = fm_scan_matrix_init(memory, num_items, num_factors);
	for (int32_t i = 0; i < num_items; i++)
	{
		int32_t item = (i + middle) % num_items;
		const float *row = rows + (size_t) item * (num_factors + 1);

		fm_scan_matrix_set(matrix, item, row, row[num_factors]);
	}
	fm_scan_matrix_finish(matrix);
	return matrix;
}

static void
make_query(const Case *c, int flavour)
{
	float scale = flavours[flavour].query_scale;

	for (int f = 0; f <= c->num_factors; f++)
		c->query[f] = flavours[flavour].query_is_constant ? scale : (float) (random_unit() * scale);
}

static void
brute_force(Case *c)
{
	c->num_in = 0;
	for (int32_t item = 0; item < c->num_items; item++)
	{
		const float *row = c->rows + (size_t) item * (c->num_factors + 1);
		double score = 0;

		for (int f = 0; f <= c->num_factors; f++)
			score += (double) c->query[f] * (double) row[f];
		c->sorted[item] = (FmHit){item, score};
		if (!fm_bitset_has(c->excluded, item))
			c->sorted_in[c->num_in++] = c->sorted[item];
	}
	qsort(c->sorted, c->num_items, sizeof(FmHit), compare_hits);
	qsort(c->sorted_in, c->num_in, sizeof(FmHit), compare_hits);
}

static Case
make_case(int32_t num_items, int num_factors, int flavour)
{
	Case c = {.num_items = num_items, .num_factors = num_factors};
	size_t length = (size_t) num_factors + 1;

	c.rows = get_memory((size_t) num_items * length, sizeof(float));
	c.query = get_memory(length, sizeof(float));
	c.excluded = get_memory(fm_bitset_words(num_items), sizeof(uint64_t));
	c.sorted = get_memory(num_items, sizeof(FmHit));
	c.sorted_in = get_memory(num_items, sizeof(FmHit));
	for (int32_t item = 0; item < num_items; item++)
		for (int f = 0; f <= num_factors; f++)
			c.rows[(size_t) item * length + f] = flavours[flavour].fill(item, f);
	for (int32_t item = 0; item < num_items; item++)
		if (random_bits() % 3 == 0)
			fm_bitset_add(c.excluded, item);
	make_query(&c, flavour);
	c.matrix = build_matrix(c.rows, num_items, num_factors);
	brute_force(&c);
	return c;
}

static void
free_case(Case *c)
{
	host.release(host.ctx, c->rows);
	host.release(host.ctx, c->query);
	host.release(host.ctx, c->excluded);
	host.release(host.ctx, c->matrix);
	host.release(host.ctx, c->sorted);
	host.release(host.ctx, c->sorted_in);
}

/* Return whether hits are the same bit for bit, with none beyond the room for them. */
static bool
same_hits(const FmHit *hits, int32_t count, const FmHit *expected, int32_t available, int32_t x)
{
	int32_t wanted = x < 0 ? 0 : x < available ? x : available;

	if (count != wanted)
		return false;
	for (int32_t i = 0; i < count; i++)
		if (hits[i].item != expected[i].item ||
			memcmp(&hits[i].score, &expected[i].score, sizeof(double)) != 0)
			return false;
	return true;
}

/* Test all ways to ask one case for its best x items. */
static bool
case_holds(const Case *c, int32_t x)
{
	int32_t room = x < 0 ? 0 : x < c->num_items ? x : c->num_items;
	FmHit *hits = get_memory(room, sizeof(FmHit));
	int32_t *list = get_memory(c->num_items, sizeof(int32_t));
	bool holds;
	int32_t count = fm_scan_top_x(c->matrix, c->query, x, NULL, &host, hits);

	holds = same_hits(hits, count, c->sorted, c->num_items, x);
	count = fm_scan_top_x(c->matrix, c->query, x, c->excluded, &host, hits);
	holds = same_hits(hits, count, c->sorted_in, c->num_in, x) && holds;
	/* The list of items not excluded, worst first. */
	for (int32_t i = 0; i < c->num_in; i++)
		list[i] = c->sorted_in[c->num_in - 1 - i].item;
	count = fm_scan_list_top_x(c->matrix, c->query, x, list, c->num_in, hits);
	holds = same_hits(hits, count, c->sorted_in, c->num_in, x) && holds;
	host.release(host.ctx, hits);
	host.release(host.ctx, list);
	return holds;
}

/*
 * Make seeds for one query: its hits, all of them or with gaps; the first items; random items (some
 * of them twice, or not eligible); or items that do not exist.
 */
static void
make_seeds(const Case *c, const float *query, const uint64_t *excluded, int32_t room,
		   int32_t *seeds)
{
	FmHit *hits = get_memory(room, sizeof(FmHit));
	int32_t count = fm_scan_top_x(c->matrix, query, room, excluded, &host, hits);
	int kind = (int) (random_bits() % 4);
	bool gaps = random_bits() % 2 == 0;

	for (int32_t i = 0; i < room; i++)
		if (kind == 0 && i < count)
			seeds[i] = gaps && random_bits() % 8 == 0 ? -1 : hits[i].item;
		else if (kind == 1)
			seeds[i] = i; /* distinct */
		else if (kind == 2)
			seeds[i] = (int32_t) (random_bits() % c->num_items);
		else
			seeds[i] = random_bits() % 9 == 0 ? c->num_items : -1;
	host.release(host.ctx, hits);
}

/*
 * Each query of a batch finds the same as alone. Every third query, or every one, has no excluded
 * items.
 */
static bool
batch_holds(const Case *c, int flavour, int32_t num_queries, int32_t x)
{
	size_t length = (size_t) c->num_factors + 1;
	size_t room = x < 0 ? 0 : x < c->num_items ? x : c->num_items;
	float *queries = get_memory(num_queries * length, sizeof(float));
	const uint64_t **excluded = get_memory(num_queries, sizeof(uint64_t *));
	FmHit *hits = get_memory(num_queries * room, sizeof(FmHit));
	FmHit *alone = get_memory(room, sizeof(FmHit));
	int32_t *counts = get_memory(num_queries, sizeof(int32_t));
	int32_t *seeds = get_memory(num_queries * room, sizeof(int32_t));
	bool none_excluded = random_bits() % 4 == 0;
	bool seeded = random_bits() % 2 == 0;
	bool holds = true;

	for (int32_t q = 0; q < num_queries; q++)
	{
		make_query(c, flavour);
		memcpy(queries + q * length, c->query, length * sizeof(float));
		excluded[q] = none_excluded || q % 3 == 0 ? NULL : c->excluded;
		make_seeds(c, c->query, excluded[q], (int32_t) room, seeds + q * room);
	}
	fm_scan_batch_top_x(c->matrix, queries, num_queries, x, none_excluded ? NULL : excluded,
						seeded ? seeds : NULL, &host, hits, counts);
	for (int32_t q = 0; q < num_queries; q++)
	{
		int32_t count = fm_scan_top_x(c->matrix, queries + q * length, x, excluded[q], &host,
									  alone);

		/* field by field, because there is padding in between */
		holds = count == counts[q] && holds;
		for (int32_t i = 0; i < count && holds; i++)
			holds = alone[i].item == hits[q * room + i].item &&
					alone[i].score == hits[q * room + i].score;
	}
	host.release(host.ctx, queries);
	host.release(host.ctx, excluded);
	host.release(host.ctx, hits);
	host.release(host.ctx, alone);
	host.release(host.ctx, counts);
	host.release(host.ctx, seeds);
	return holds;
}

static const struct
{
	int32_t num_items;
	int num_factors;
} shapes[] = {{0, 3},
			  {1, 1},
			  {2, 2},
			  {15, 3},
			  {16, 4},
			  {17, 5},
			  {64, 7},
			  {65, 16},
			  {333, 8},
			  {1000, 1},
			  {999, 2},
			  {500, 33},
			  {90, 1024},
			  {2500, 64},
			  {20, FM_SCAN_MAX_FACTORS - 6},
			  {20, FM_SCAN_MAX_FACTORS}};

#define NUM_SHAPES ((int) (sizeof(shapes) / sizeof(shapes[0])))

static void
test_against_brute_force(const char *kernel, int flavour)
{
	bool holds = true;

	for (int s = 0; s < NUM_SHAPES; s++)
	{
		Case c = make_case(shapes[s].num_items, shapes[s].num_factors, flavour);
		const int32_t xs[] = {
			-1, 0, 1, 2, 10, 100, c.num_items - 1, c.num_items, c.num_items + 1, INT32_MAX};

		for (size_t i = 0; i < sizeof(xs) / sizeof(xs[0]); i++)
			if (!case_holds(&c, xs[i]))
			{
				printf("# wrong for %d items, %d factors, x = %d\n", c.num_items, c.num_factors,
					   xs[i]);
				holds = false;
			}
		for (int32_t num_queries = 0; num_queries <= 9; num_queries += 3)
			if (!batch_holds(&c, flavour, num_queries, num_queries % 2 == 0 ? 10 : c.num_items))
			{
				printf("# wrong for a batch of %d over %d items, %d factors\n", num_queries,
					   c.num_items, c.num_factors);
				holds = false;
			}
		free_case(&c);
	}
	ok(holds, "%s: %s", kernel, flavours[flavour].name);
}

/* Return a number in [1, most] of random magnitude. */
static int32_t
random_size(int32_t most)
{
	return (int32_t) fmin(exp((random_unit() + 1) / 2 * log(most + 1.0)), most);
}

/*
 * Matrices of random size and kind, each queried by every kernel: 1,000 cases in all on a CPU with
 * four kernels.
 */
#define NUM_RANDOM 250
#define MOST_ITEMS 100000
#define MOST_FACTORS 300
#define MOST_FLOATS 1500000

static void
test_random(void)
{
	bool holds = true;

	random_state = 7;
	for (int n = 0; n < NUM_RANDOM; n++)
	{
		int flavour = (int) (random_bits() % NUM_FLAVOURS);
		int num_factors = random_size(MOST_FACTORS);
		int32_t num_items = random_size(MOST_ITEMS);
		int32_t x = random_size(num_items);
		Case c;

		if (num_items > MOST_FLOATS / (num_factors + 1))
			num_items = MOST_FLOATS / (num_factors + 1);
		c = make_case(num_items, num_factors, flavour);
		for (const char *const *kernel = fm_scan_kernel_names(); *kernel != NULL; kernel++)
		{
			fm_scan_use_kernel(*kernel);
			if (!case_holds(&c, x) || !case_holds(&c, 20))
			{
				printf("# %s wrong in case %d: %s, %d items, %d factors, x = %d\n", *kernel, n,
					   flavours[flavour].name, num_items, num_factors, x);
				holds = false;
			}
		}
		for (const char *const *kernel = fm_scan_kernel_names(); *kernel != NULL; kernel++)
		{
			fm_scan_use_kernel(*kernel);
			if (!batch_holds(&c, flavour, (int32_t) (random_bits() % 12), 20))
			{
				printf("# %s wrong in a batch of case %d: %s, %d items, %d factors\n", *kernel, n,
					   flavours[flavour].name, num_items, num_factors);
				holds = false;
			}
		}
		free_case(&c);
	}
	fm_scan_use_kernel("auto");
	ok(holds, "%d random matrices, every kernel", NUM_RANDOM);
}

/* Test more queries than go through the matrix together. */
static void
test_large_batch(void)
{
	Case c = make_case(3000, 10, 0);

	ok(batch_holds(&c, 0, 600, 20), "a batch of 600 queries");
	free_case(&c);
}

static void
test_list_pays(void)
{
	Case c = make_case(2000, 3, 0);

	ok(fm_scan_list_pays(c.matrix, 20) && !fm_scan_list_pays(c.matrix, 1000),
	   "a short list is scanned by itself, a long one by exclusion");
	free_case(&c);
}

/* Test many queries over one matrix, large enough for several checks for interrupts. */
static void
test_large(const char *kernel)
{
	Case c = make_case(20000, 127, 0);
	bool holds = true;

	interrupt_checks = 0;
	for (int round = 0; round < 3; round++)
	{
		make_query(&c, 0);
		brute_force(&c);
		holds = case_holds(&c, 20) && holds;
	}
	ok(holds, "%s: a large matrix", kernel);
	ok(interrupt_checks >= 12, "%s: looks for interrupts while scanning", kernel);
	free_case(&c);
}

static void
test_read_back(void)
{
	bool same = true;

	for (int flavour = 0; flavour < NUM_FLAVOURS; flavour++)
	{
		Case c = make_case(77, 19, flavour);
		float v[20];

		for (int32_t item = 0; item < c.num_items; item++)
		{
			const float *row = c.rows + (size_t) item * 20;
			double score = 0;

			fm_scan_get(c.matrix, item, v, &v[19]);
			same = memcmp(v, row, sizeof(v)) == 0 && same;
			for (int f = 0; f < 20; f++)
				score += (double) c.query[f] * (double) row[f];
			same = fm_scan_score(c.matrix, c.query, item) == score && same;
		}
		same = fm_scan_matrix_items(c.matrix) == 77 && same;
		same = fm_scan_matrix_factors(c.matrix) == 19 && same;
		free_case(&c);
	}
	ok(same, "vectors and scores come back bit for bit");
}

/* A matrix holds no pointers, so a copy of its bytes is a matrix. */
static void
test_copy(void)
{
	Case c = make_case(1000, 12, 0);
	size_t size = fm_scan_matrix_size(1000, 12);
	FmScanMatrix *copy = get_memory(size, 1);

	memcpy(copy, c.matrix, size);
	memset(c.matrix, 0xff, size);
	host.release(host.ctx, c.matrix);
	c.matrix = copy;
	ok(case_holds(&c, 10), "a copy of the bytes works like the original");
	free_case(&c);
}

static void
test_sizes(void)
{
	ok(fm_scan_matrix_size(0, 1024) > 0, "a matrix of no items has a size");
	ok(fm_scan_matrix_size(1000, 63) >= 1000 * 64 * sizeof(float), "a size holds the vectors");
	ok(fm_scan_matrix_size(-1, 10) == 0, "no size for a negative number of items");
	ok(fm_scan_matrix_size(10, -1) == 0, "no size for a negative number of factors");
	ok(fm_scan_matrix_size(10, FM_SCAN_MAX_FACTORS) > 0 &&
		   fm_scan_matrix_size(10, FM_SCAN_MAX_FACTORS + 1) == 0,
	   "no size for too many factors");
#if SIZE_MAX > UINT32_MAX
	ok(fm_scan_matrix_size(INT32_MAX, 1024) > (size_t) INT32_MAX * 1025 * sizeof(float),
	   "the largest matrix has a size");
#else
	ok(fm_scan_matrix_size(INT32_MAX, 1024) == 0, "the largest matrix does not fit");
#endif
}

static void
test_kernel_choice(void)
{
	const char *const *names = fm_scan_kernel_names();
	const char *best = names[0];
	bool all = true;
	const char *last = NULL;

	ok(strcmp(fm_scan_kernel_in_use(), best) == 0, "the best kernel is used by itself");
	for (int i = 0; names[i] != NULL; i++)
	{
		all = fm_scan_use_kernel(names[i]) && all;
		all = strcmp(fm_scan_kernel_in_use(), names[i]) == 0 && all;
		last = names[i];
	}
	ok(all, "every kernel named can be chosen");
	ok(strcmp(last, "c") == 0, "plain C is the last resort");
	ok(!fm_scan_use_kernel("abacus") && strcmp(fm_scan_kernel_in_use(), "c") == 0,
	   "an unknown kernel is refused and changes nothing");
	ok(fm_scan_use_kernel("auto") && strcmp(fm_scan_kernel_in_use(), best) == 0,
	   "auto goes back to the best");
}

int
main(void)
{
	test_kernel_choice();
	test_sizes();
	test_read_back();
	test_copy();
	test_random();
	test_large_batch();
	test_list_pays();
	for (const char *const *name = fm_scan_kernel_names(); *name != NULL; name++)
	{
		fm_scan_use_kernel(*name);
		random_state = 42; /* the same cases for every kernel */
		for (int flavour = 0; flavour < NUM_FLAVOURS; flavour++)
			test_against_brute_force(*name, flavour);
		test_large(*name);
	}
	return done_testing();
}
