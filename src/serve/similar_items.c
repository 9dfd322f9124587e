/*
 * fm_similar_items: the items whose vectors have the largest cosine with an item's.
 *
 * Memory: the context of the call. Rows are returned in a tuplestore. Locking: that of serving.c.
 */
#include "serve/similar_items.h"

#include "pg/host_pg.h"
#include "pg/ranked.h"
#include "serve/items.h"

PG_FUNCTION_INFO_V1(fm_similar_items_bigint);
PG_FUNCTION_INFO_V1(fm_similar_items_text);

enum
{
	ARG_ITEM_ID,
	ARG_X,
	ARG_MODEL,
	ARG_CANDIDATES,
	ARG_EXCLUDE
};

FmFactorRange
fm_compared_factors(const FmLoaded *loaded)
{
	const FmVersion *version = &loaded->version;

	if (version->interest_factors > 0)
		return (FmFactorRange){version->num_factors + 1, version->interest_factors};
	return (FmFactorRange){0, version->num_factors};
}

/* Return the items that may be in the list. */
static FmEligible
eligible_items(FunctionCallInfo fcinfo, const FmServing *serving)
{
	uint64 *excluded = fm_new_item_set(serving->loaded);
	FmEligible eligible = {.excluded = excluded};

	if (!PG_ARGISNULL(ARG_EXCLUDE))
		(void) fm_add_given_items(serving, PG_GETARG_ARRAYTYPE_P(ARG_EXCLUDE), excluded,
								  &eligible.count);
	if (!PG_ARGISNULL(ARG_CANDIDATES))
	{
		/* those that are new to the set are none of the excluded ones */
		eligible.items = fm_add_given_items(serving, PG_GETARG_ARRAYTYPE_P(ARG_CANDIDATES),
											excluded, &eligible.count);
		eligible.excluded = NULL;
	}
	return eligible;
}

static void
put_rows(const FmServing *serving, const FmHit *hits, int32 count, ReturnSetInfo *result)
{
	for (int32 r = 0; r < count; r++)
		fm_put_ranked(result, (FmRankedRow){.rank = r + 1,
											.id = fm_serve_item_out(serving, hits[r].item),
											.score = (float) hits[r].score});
}

static Datum
similar_items(FunctionCallInfo fcinfo, FmIdForm form)
{
	FmServing serving;
	FmHit *hits;
	int32 item;
	int32 x;

	fm_init_materialized_srf(fcinfo);
	if (PG_ARGISNULL(ARG_ITEM_ID))
		return (Datum) 0;
	x = fm_x_argument(fcinfo, ARG_X);
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(ARG_MODEL) ? NULL : PG_GETARG_TEXT_PP(ARG_MODEL),
				   form, CurrentMemoryContext);
	item = fm_serve_item(&serving, PG_GETARG_DATUM(ARG_ITEM_ID));
	if (item >= 0)
	{
		x = Min(x, serving.loaded->version.num_items);
		hits = MemoryContextAllocHuge(CurrentMemoryContext, ((Size) x + 1) * sizeof(FmHit));
		put_rows(&serving, hits,
				 fm_similar(serving.loaded->matrix, fm_compared_factors(serving.loaded), item, x,
							eligible_items(fcinfo, &serving), fm_pg_host(CurrentMemoryContext),
							hits),
				 (ReturnSetInfo *) fcinfo->resultinfo);
	}
	fm_serve_end(&serving);
	return (Datum) 0;
}

Datum
fm_similar_items_bigint(PG_FUNCTION_ARGS)
{
	return similar_items(fcinfo, FM_IDS_BIGINT);
}

Datum
fm_similar_items_text(PG_FUNCTION_ARGS)
{
	return similar_items(fcinfo, FM_IDS_TEXT);
}
