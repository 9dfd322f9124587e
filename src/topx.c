/*
 * fm_top_x: the best x items for one user, exactly.
 *
 * Filters are applied before the scan, as a set of items that are not eligible; a short list of candidates is
 * scored by itself, without looking at the rest. The rows are handed over in a tuplestore.
 */
#include "serve.h"

#include "catalog/pg_type.h"
#include "host_pg.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"

PG_FUNCTION_INFO_V1(fm_top_x_bigint);
PG_FUNCTION_INFO_V1(fm_top_x_text);
PG_FUNCTION_INFO_V1(fm_top_x_support);

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

/* What the user has seen, and what the call excludes. */
static uint64 *
excluded_items(const FmServing *serving, FunctionCallInfo fcinfo, Datum user_id, bool user_possible)
{
	uint64 *excluded = fm_new_item_set(serving->loaded);
	int32 count;

	if (PG_GETARG_BOOL(ARG_EXCLUDE_SEEN) && user_possible)
		fm_add_seen_items(serving, user_id, excluded);
	if (!PG_ARGISNULL(ARG_EXCLUDE))
		(void) fm_add_given_items(serving, PG_GETARG_ARRAYTYPE_P(ARG_EXCLUDE), excluded, &count);
	return excluded;
}

/* Scan the eligible items for the best x; returns how many there are. */
static int32
find_best(const FmServing *serving, FunctionCallInfo fcinfo, const FmUserVector *user, int32 x,
		  uint64 *excluded, FmHit *hits)
{
	const FmLoaded *loaded = serving->loaded;
	int32 *eligible;
	int32 count;

	if (!PG_ARGISNULL(ARG_CANDIDATES))
	{
		eligible = fm_add_given_items(serving, PG_GETARG_ARRAYTYPE_P(ARG_CANDIDATES), excluded,
									  &count);
		if (fm_scan_list_pays(loaded->matrix, count))
			return fm_scan_list_top_x(loaded->matrix, user->query, x, eligible, count, hits);
		fm_set_all_but(loaded, excluded, eligible, count);
	}
	return fm_scan_top_x(loaded->matrix, user->query, x, excluded, fm_pg_host(CurrentMemoryContext),
						 hits);
}

static void
put_rows(FmServing *serving, const FmUserVector *user, const FmHit *hits, int32 count,
		 ReturnSetInfo *result)
{
	const bool nulls[3] = {false};

	for (int32 r = 0; r < count; r++)
	{
		Datum values[] = {Int32GetDatum(r + 1), fm_serve_item_out(serving, hits[r].item),
						  Float4GetDatum(
							  (float) fm_serve_score(serving->loaded, user->base + hits[r].score))};

		tuplestore_putvalues(result->setResult, result->setDesc, values, (bool *) nulls);
	}
}

static Datum
top_x(FunctionCallInfo fcinfo, FmIdForm form)
{
	FmServing serving;
	FmUserVector user;
	uint64 *excluded;
	Datum user_id;
	bool possible;
	FmHit *hits;
	int32 x;

	fm_init_materialized_srf(fcinfo);
	if (PG_ARGISNULL(ARG_USER_ID)) /* for nobody there is nothing */
		return (Datum) 0;
	x = fm_x_argument(fcinfo, ARG_X);
	fm_require_argument(fcinfo, ARG_EXCLUDE_SEEN, "exclude_seen");
	fm_check_context(fcinfo, ARG_CONTEXT);
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(ARG_MODEL) ? NULL : PG_GETARG_TEXT_PP(ARG_MODEL),
				   form, CurrentMemoryContext);
	possible = fm_serve_id_in(&serving, &serving.loaded->user_type, PG_GETARG_DATUM(ARG_USER_ID),
							  &user_id);
	user = fm_serve_user(&serving, possible, user_id);
	fm_add_context(&serving, fcinfo, ARG_CONTEXT, &user);
	excluded = excluded_items(&serving, fcinfo, user_id, possible);
	x = Min(x, serving.loaded->num_items);
	hits = MemoryContextAllocHuge(CurrentMemoryContext, ((Size) x + 1) * sizeof(FmHit));
	put_rows(&serving, &user, hits, find_best(&serving, fcinfo, &user, x, excluded, hits),
			 (ReturnSetInfo *) fcinfo->resultinfo);
	fm_serve_end(&serving);
	return (Datum) 0;
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

/* Planner support: x rows, where x is known, of this function or fm_matrix_top_x. */
Datum
fm_top_x_support(PG_FUNCTION_ARGS)
{
	Node *request = (Node *) PG_GETARG_POINTER(0);
	SupportRequestRows *rows;
	ListCell *cell;

	if (!IsA(request, SupportRequestRows) || !is_funcclause(((SupportRequestRows *) request)->node))
		PG_RETURN_POINTER(NULL);
	rows = (SupportRequestRows *) request;
	foreach (cell, ((FuncExpr *) rows->node)->args)
	{
		Node *argument = estimate_expression_value(rows->root, lfirst(cell));

		/* x is the only integer among the arguments */
		if (!IsA(argument, Const) || ((Const *) argument)->consttype != INT4OID ||
			((Const *) argument)->constisnull)
			continue;
		rows->rows = Max(DatumGetInt32(((Const *) argument)->constvalue), 0);
		PG_RETURN_POINTER(request);
	}
	PG_RETURN_POINTER(NULL);
}
