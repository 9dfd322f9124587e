/*
 * fm_top_x: the best x items for one user, exactly.
 *
 * All the work is done in the first call of the set-returning function; the rows wait in its
 * multi-call context.
 */
#include "serve.h"

#include "funcapi.h"
#include "host_pg.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(fm_top_x_bigint);
PG_FUNCTION_INFO_V1(fm_top_x_text);

/* The arguments of fm_top_x, in the order of its declaration. */
enum
{
	ARG_USER_ID,
	ARG_X,
	ARG_MODEL,
	ARG_EXCLUDE_SEEN,
	ARG_CANDIDATES,
	ARG_EXCLUDE,
	ARG_CONTEXT
};

typedef struct TopXRows
{
	int32 count;
	Datum *item_ids;
	float *scores;
} TopXRows;

/* Scan all items, or only the candidates, for the best x; returns how many there are. */
static int32
find_best(const FmServing *serving, FunctionCallInfo fcinfo, const FmUserVector *user, int32 x,
		  const uint64 *excluded, FmHit *hits)
{
	const FmLoaded *loaded = serving->loaded;
	const FmHost *host = fm_pg_host(CurrentMemoryContext);
	uint64 *others;
	int32 *candidates;
	int32 count;
	int32 eligible = 0;

	if (PG_ARGISNULL(ARG_CANDIDATES))
		return fm_scan_top_x(loaded->matrix, user->query, x, excluded, host, hits);
	candidates = fm_serve_items(serving, PG_GETARG_ARRAYTYPE_P(ARG_CANDIDATES), &count);
	for (int32 i = 0; i < count; i++)
		if (!fm_item_is_in(excluded, candidates[i]))
			candidates[eligible++] = candidates[i];
	if (fm_scan_list_pays(loaded->matrix, eligible))
		return fm_scan_list_top_x(loaded->matrix, user->query, x, candidates, eligible, hits);
	others = fm_new_item_set(loaded);
	memset(others, 0xff, (loaded->num_items / 64 + 1) * sizeof(uint64));
	for (int32 i = 0; i < eligible; i++)
		others[candidates[i] / 64] &= ~(UINT64CONST(1) << (candidates[i] % 64));
	return fm_scan_top_x(loaded->matrix, user->query, x, others, host, hits);
}

static uint64 *
excluded_items(const FmServing *serving, FunctionCallInfo fcinfo, Datum user_id, bool user_possible)
{
	uint64 *excluded = fm_new_item_set(serving->loaded);

	if (PG_GETARG_BOOL(ARG_EXCLUDE_SEEN) && user_possible)
		fm_add_seen_items(serving, user_id, excluded);
	if (!PG_ARGISNULL(ARG_EXCLUDE))
	{
		int32 count;
		int32 *items = fm_serve_items(serving, PG_GETARG_ARRAYTYPE_P(ARG_EXCLUDE), &count);

		fm_add_items(excluded, items, count);
	}
	return excluded;
}

static void
compute_rows(FunctionCallInfo fcinfo, FmIdForm form, MemoryContext context, TopXRows *rows)
{
	int32 x = fm_x_argument(fcinfo, ARG_X);
	FmServing serving;
	FmUserVector user;
	uint64 *excluded;
	Datum user_id;
	bool possible;
	FmHit *hits;

	fm_require_argument(fcinfo, ARG_EXCLUDE_SEEN, "exclude_seen");
	fm_check_context(fcinfo, ARG_CONTEXT);
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(ARG_MODEL) ? NULL : PG_GETARG_TEXT_PP(ARG_MODEL),
				   form, context);
	possible = fm_serve_id_in(&serving, &serving.loaded->user_type, PG_GETARG_DATUM(ARG_USER_ID),
							  &user_id);
	user = fm_serve_user(&serving, possible, user_id);
	excluded = excluded_items(&serving, fcinfo, user_id, possible);
	x = Min(x, serving.loaded->num_items);
	hits = MemoryContextAllocHuge(CurrentMemoryContext, (x + 1) * sizeof(FmHit));
	rows->count = find_best(&serving, fcinfo, &user, x, excluded, hits);
	rows->item_ids = MemoryContextAllocHuge(context, (rows->count + 1) * sizeof(Datum));
	rows->scores = MemoryContextAllocHuge(context, (rows->count + 1) * sizeof(float));
	for (int32 r = 0; r < rows->count; r++)
	{
		rows->item_ids[r] = fm_serve_item_out(&serving, hits[r].item);
		rows->scores[r] = (float) (user.base + hits[r].score);
	}
	fm_serve_end(&serving);
}

static Datum
top_x(FunctionCallInfo fcinfo, FmIdForm form)
{
	FuncCallContext *call;
	TopXRows *rows;

	if (SRF_IS_FIRSTCALL())
	{
		TupleDesc desc;
		MemoryContext previous;

		call = SRF_FIRSTCALL_INIT();
		previous = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		call->tuple_desc = BlessTupleDesc(desc);
		rows = call->user_fctx = palloc0(sizeof(TopXRows));
		MemoryContextSwitchTo(previous);
		if (!PG_ARGISNULL(ARG_USER_ID)) /* for nobody there is nothing */
			compute_rows(fcinfo, form, call->multi_call_memory_ctx, rows);
	}
	call = SRF_PERCALL_SETUP();
	rows = call->user_fctx;
	if (call->call_cntr < rows->count)
	{
		int32 r = (int32) call->call_cntr;
		Datum values[] = {Int32GetDatum(r + 1), rows->item_ids[r], Float4GetDatum(rows->scores[r])};
		bool nulls[3] = {false};

		SRF_RETURN_NEXT(call, HeapTupleGetDatum(heap_form_tuple(call->tuple_desc, values, nulls)));
	}
	SRF_RETURN_DONE(call);
}

Datum
fm_top_x_bigint(PG_FUNCTION_ARGS)
{
	return top_x(fcinfo, FM_IDS_BIGINT);
}

Datum
fm_top_x_text(PG_FUNCTION_ARGS)
{
	return top_x(fcinfo, FM_IDS_TEXT);
}
