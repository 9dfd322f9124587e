/*
 * fm_top_x_all: the list of every user, as a set of rows.
 *
 * Memory: the text forms of all item ids, in the context of the call. Rows go into a tuplestore.
 */
#include "batch/batch.h"

#include "core/scan/best.h"
#include "pg/ranked.h"
#include "registry/progress.h"
#include "serve/items.h"
#include "serve/list_score.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_top_x_all);

enum
{
	ARG_X,
	ARG_MODEL,
	ARG_EXCLUDE_SEEN,
	ARG_USERS,
	ARG_ITEMS,
	ARG_CONTEXT,
	ARG_NOVELTY
};

typedef struct AllRows
{
	FmServing *serving;
	Datum *item_texts; /* by idx */
	ReturnSetInfo *result;
} AllRows;

/* FmListCallback: return a row for each item. */
static void
put_text_rows(void *state, const FmBatchUser *user, const FmHit *hits, int32 count)
{
	AllRows *rows = state;
	FmLoaded *loaded = rows->serving->loaded;
	Datum user_id = CStringGetTextDatum(fm_id_text(&loaded->user_type, user->id));

	for (int32 r = 0; r < count; r++)
	{
		double sum = fm_list_sum(loaded, &user->vector, hits[r].score);

		fm_put_ranked(rows->result, (FmRankedRow){.owner = &user_id,
												  .rank = r + 1,
												  .id = rows->item_texts[hits[r].item],
												  .score = (float) fm_listed_score(loaded, sum),
												  .rating = fm_listed_rating(loaded, &user->vector,
																			 hits[r].item)});
	}
}

Datum
fm_top_x_all(PG_FUNCTION_ARGS)
{
	FmServing serving;
	AllRows rows = {&serving, NULL, (ReturnSetInfo *) fcinfo->resultinfo};
	MemoryContext context = CurrentMemoryContext;
	FmListRules rules = {.x = fm_x_argument(fcinfo, ARG_X)};
	FmOuterProgress outer;
	double novelty;
	bool asked = fm_novelty_argument(fcinfo, ARG_NOVELTY, &novelty);
	FmListFilter filter;
	int32 num_items;

	fm_require_argument(fcinfo, ARG_EXCLUDE_SEEN, "exclude_seen");
	fm_check_context(fcinfo, ARG_CONTEXT);
	rules.exclude_seen = PG_GETARG_BOOL(ARG_EXCLUDE_SEEN);
	fm_init_materialized_srf(fcinfo);
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(ARG_MODEL) ? NULL : PG_GETARG_TEXT_PP(ARG_MODEL),
				   FM_IDS_TEXT, context);
	rules.novelty = fm_serve_novelty(&serving, asked ? &novelty : NULL);
	filter = fm_list_filter_read(&serving,
								 PG_ARGISNULL(ARG_USERS) ? InvalidOid : PG_GETARG_OID(ARG_USERS),
								 PG_ARGISNULL(ARG_ITEMS) ? InvalidOid : PG_GETARG_OID(ARG_ITEMS),
								 PG_ARGISNULL(ARG_CONTEXT) ? NULL : PG_GETARG_JSONB_P(ARG_CONTEXT));
	rules.filter = &filter;
	num_items = serving.loaded->version.num_items;
	rows.item_texts = MemoryContextAllocHuge(CurrentMemoryContext, num_items * sizeof(Datum));
	for (int32 item = 0; item < num_items; item++)
		rows.item_texts[item] = fm_serve_item_out(&serving, item);
	fm_progress_begin_lists(serving.model.name, &outer);
	(void) fm_batch_top_x(&serving, &rules,
						  &(FmListReceiver){.state = &rows, .put = put_text_rows});
	fm_progress_end_lists(&outer);
	fm_serve_end(&serving);
	return (Datum) 0;
}
