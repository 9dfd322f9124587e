/*
 * fm_popularity: which items lists are made of, by how many ratings items had in the training.
 *
 * Memory: a count for each item, in the context of the call.
 */
#include "report/popularity.h"

#include <math.h>

#include "batch/batch.h"
#include "common/hashfn.h"
#include "pg/arguments.h"
#include "registry/progress.h"
#include "serve/list_score.h"
#include "serve/seen.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(fm_popularity);

/* Lists are those of about so many users, chosen by a hash of their idx. */
#define MOST_USERS 2000

/* Bins of ratings: 0, 1, 2 to 3, 4 to 7 and so on, each up to twice the last. */
#define MAX_BINS 65

typedef struct Bin
{
	int64 items;
	int64 listed; /* items that are in any list */
	int64 entries;
} Bin;

typedef struct Popularity
{
	FmServing serving;
	int32 *entries; /* of lists, by item */
} Popularity;

/* FmCurrentCallback: whether a user is left out of the sample. */
static bool
is_left_out(void *state, const FmBatchUser *user)
{
	const Popularity *popularity = state;
	uint32 num_users = (uint32) popularity->serving.loaded->version.num_users;
	uint64 hash = (uint64) murmurhash32((uint32) user->idx);

	return (hash * num_users) >> 32 >= MOST_USERS;
}

/* FmListCallback */
static void
count_entries(void *state, const FmBatchUser *user, const FmHit *hits, int32 count)
{
	Popularity *popularity = state;

	for (int32 r = 0; r < count; r++)
		popularity->entries[hits[r].item]++;
}

static void
make_lists(Popularity *popularity, int32 x)
{
	const FmServing *serving = &popularity->serving;
	FmListRules rules = {.x = x,
						 .exclude_seen = fm_knows_seen(serving),
						 .novelty = fm_serve_novelty(serving, NULL)};
	FmListReceiver receiver = {.state = popularity,
							   .put = count_entries,
							   .current = is_left_out,
							   .without_xmin = true};
	FmOuterProgress outer;

	fm_progress_begin_lists(serving->model.name, &outer);
	(void) fm_batch_top_x(serving, &rules, &receiver);
	fm_progress_end_lists(&outer);
}

int64
fm_item_ratings(const FmLoaded *loaded, int32 item)
{
	/* the inverse of fm_list_popularity */
	const float *vector = fm_scan_rows(loaded->matrix) + (Size) item * fm_query_length(loaded);
	double popularity = fm_list_item_popularity(&loaded->shape, vector);
	double count = round(loaded->version.mean_item_count * (2 * exp(popularity) - 1));

	return count > 0 && count < 0x1p63 ? (int64) count : 0;
}

static int
bin_of(int64 count)
{
	int bin = 0;

	for (; count > 0; count /= 2)
		bin++;
	return bin;
}

static void
put_bin(ReturnSetInfo *result, int number, const Bin *bin, const Bin *all, bool knows_ratings)
{
	int64 least = number == 0 ? 0 : INT64CONST(1) << (number - 1);
	int64 most = number == 0 ? 0 : least - 1 + least;
	double entries = all->entries == 0 ? 1 : (double) all->entries;
	Datum values[] = {Int64GetDatum(least),
					  Int64GetDatum(most),
					  Int64GetDatum(bin->items),
					  Int64GetDatum(bin->listed),
					  Int64GetDatum(bin->entries),
					  Float8GetDatum((double) bin->items / all->items),
					  Float8GetDatum((double) bin->entries / entries)};
	bool nulls[] = {!knows_ratings, !knows_ratings, false, false, false, false, all->entries == 0};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_bins(const Popularity *popularity, ReturnSetInfo *result)
{
	const FmLoaded *loaded = popularity->serving.loaded;
	bool knows_ratings = loaded->version.has_popularity;
	Bin bins[MAX_BINS] = {0}, all = {.items = loaded->version.num_items};

	for (int32 item = 0; item < loaded->version.num_items; item++)
	{
		Bin *bin = &bins[knows_ratings ? bin_of(fm_item_ratings(loaded, item)) : 0];

		bin->items++;
		bin->listed += popularity->entries[item] > 0;
		bin->entries += popularity->entries[item];
		all.entries += popularity->entries[item];
		if (item % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	for (int b = 0; b < MAX_BINS; b++)
		if (bins[b].items > 0)
			put_bin(result, b, &bins[b], &all, knows_ratings);
}

Datum
fm_popularity(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int32 x = fm_x_argument(fcinfo, 1);
	Popularity popularity = {0};

	fm_init_materialized_srf(fcinfo);
	fm_serve_begin(&popularity.serving, fcinfo, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0),
				   FM_IDS_TEXT, CurrentMemoryContext);
	popularity.entries = MemoryContextAllocExtended(CurrentMemoryContext,
													popularity.serving.loaded->version.num_items *
														sizeof(int32),
													MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	make_lists(&popularity, x);
	put_bins(&popularity, result);
	fm_serve_end(&popularity.serving);
	return (Datum) 0;
}
