/*
 * fm_top_x and fm_top_x_for: the exact best x items for a user, or for a basket of items.
 *
 * Filters apply before the scan, as a set of items that are not eligible. A short list of
 * candidates is scored directly, without a scan. Rows are returned in a tuplestore. Memory: the
 * context of the call. Locking: that of the queries.
 */
#include "serve/items.h"
#include "core/bitset.h"
#include "serve/list_score.h"
#include "serve/question_context.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/scan/scan.h"
#include "pg/host_pg.h"
#include "pg/ranked.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"

PG_FUNCTION_INFO_V1(fm_top_x_bigint);
PG_FUNCTION_INFO_V1(fm_top_x_text);
PG_FUNCTION_INFO_V1(fm_top_x_for_bigint);
PG_FUNCTION_INFO_V1(fm_top_x_for_text);
PG_FUNCTION_INFO_V1(fm_top_x_support);

/* The arguments of fm_top_x. */
enum
{
	ARG_USER_ID,
	ARG_X
};

/* The arguments of fm_top_x_for. */
enum
{
	ARG_FOR_ITEMS,
	ARG_FOR_RATINGS,
	ARG_FOR_X
};

/* The arguments that both have, counted from x. */
enum
{
	REST_X,
	REST_MODEL,
	REST_EXCLUDE_SEEN,
	REST_CANDIDATES,
	REST_EXCLUDE,
	REST_CONTEXT,
	REST_NOVELTY
};

/* A call of either function; `first` is the number of its argument x. */
typedef struct Call
{
	FunctionCallInfo fcinfo;
	int first;
	int32 x;
	FmServing serving;
	double novelty;
	FmUserVector user;
	uint64 *excluded;
} Call;

static void
begin(Call *call, FunctionCallInfo fcinfo, int first, FmIdForm form)
{
	double novelty;
	bool asked = fm_novelty_argument(fcinfo, first + REST_NOVELTY, &novelty);

	call->fcinfo = fcinfo;
	call->first = first;
	call->x = fm_x_argument(fcinfo, first + REST_X);
	fm_require_argument(fcinfo, first + REST_EXCLUDE_SEEN, "exclude_seen");
	fm_check_context(fcinfo, first + REST_CONTEXT);
	fm_serve_begin(&call->serving, fcinfo,
				   PG_ARGISNULL(first + REST_MODEL) ? NULL : PG_GETARG_TEXT_PP(first + REST_MODEL),
				   form, CurrentMemoryContext);
	call->novelty = fm_serve_novelty(&call->serving, asked ? &novelty : NULL);
	call->excluded = fm_new_item_set(call->serving.loaded);
}

/* Return an array argument, counted from x, or NULL. */
static ArrayType *
array_argument(const Call *call, int argument)
{
	FunctionCallInfo fcinfo = call->fcinfo;

	return PG_ARGISNULL(call->first + argument) ? NULL
												: PG_GETARG_ARRAYTYPE_P(call->first + argument);
}

/* Find the best x eligible items; return how many there are. */
static int32
find_best(Call *call, const float *query, FmHit *hits)
{
	const FmServing *serving = &call->serving;
	const FmLoaded *loaded = serving->loaded;
	ArrayType *candidates = array_argument(call, REST_CANDIDATES);
	ArrayType *exclude = array_argument(call, REST_EXCLUDE);
	int32 *eligible;
	int32 count;

	if (exclude != NULL)
		(void) fm_add_given_items(serving, exclude, call->excluded, &count);
	if (candidates != NULL)
	{
		eligible = fm_add_given_items(serving, candidates, call->excluded, &count);
		if (fm_scan_list_pays(loaded->matrix, count))
			return fm_scan_list_top_x(loaded->matrix, query, call->x, eligible, count, hits);
		fm_set_all_but(loaded, call->excluded, eligible, count);
	}
	return fm_scan_top_x(loaded->matrix, query, call->x, call->excluded,
						 fm_pg_host(CurrentMemoryContext), hits);
}

/* Put the list into the result, and end the call. */
static void
finish(Call *call)
{
	const FmServing *serving = &call->serving;
	const FmLoaded *loaded = serving->loaded;
	const FmUserVector *user = &call->user;
	ReturnSetInfo *result = (ReturnSetInfo *) call->fcinfo->resultinfo;
	FmHit *hits;
	int32 count;

	fm_add_context(serving, call->fcinfo, call->first + REST_CONTEXT, &call->user);
	call->x = Min(call->x, loaded->version.num_items);
	hits = MemoryContextAllocHuge(CurrentMemoryContext, ((Size) call->x + 1) * sizeof(FmHit));
	count = find_best(call, fm_make_query(loaded, user, call->novelty), hits);
	for (int32 r = 0; r < count; r++)
	{
		double sum = fm_list_sum(loaded, user, hits[r].score);

		fm_put_ranked(result,
					  (FmRankedRow){.rank = r + 1,
									.id = fm_serve_item_out(serving, hits[r].item),
									.score = (float) fm_listed_score(loaded, sum),
									.rating = fm_listed_rating(loaded, user, hits[r].item)});
	}
	fm_serve_end(&call->serving);
}

static Datum
top_x(FunctionCallInfo fcinfo, FmIdForm form)
{
	Call call;
	Datum user_id;
	bool possible;

	fm_init_materialized_srf(fcinfo);
	if (PG_ARGISNULL(ARG_USER_ID))
		return (Datum) 0;
	begin(&call, fcinfo, ARG_X, form);
	possible = fm_serve_id_in(&call.serving, &call.serving.loaded->user_type,
							  PG_GETARG_DATUM(ARG_USER_ID), &user_id);
	call.user = fm_serve_user(&call.serving, possible, user_id);
	if (PG_GETARG_BOOL(ARG_X + REST_EXCLUDE_SEEN) && possible)
		fm_add_seen_items(&call.serving, user_id, call.excluded);
	finish(&call);
	return (Datum) 0;
}

/* Return the elements of an array argument; NULL is an empty array, a NULL element an error. */
static Datum *
elements(FunctionCallInfo fcinfo, int argument, const char *name, int *count)
{
	ArrayType *array;
	Datum *values;
	bool *nulls;
	int16 length;
	bool by_value;
	char alignment;

	*count = 0;
	if (PG_ARGISNULL(argument))
		return NULL;
	array = PG_GETARG_ARRAYTYPE_P(argument);
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &alignment);
	deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, alignment, &values, &nulls,
					  count);
	for (int i = 0; i < *count; i++)
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain NULL, but element %d is NULL", name, i + 1)));
	return values;
}

/* Return a rating of a basket, after checking that the model's task allows it. */
static float
basket_rating(const FmLoaded *loaded, Datum given)
{
	const FmVersion *version = &loaded->version;
	double value = DatumGetFloat8(given);
	float rating = (float) value;

	if (!isfinite(rating))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("ratings must be finite, but one is %g", value)));
	if (fm_is_classification(loaded->version.task) && rating != loaded->version.rating_min &&
		rating != loaded->version.rating_max)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("ratings must be %g (no) or %g (yes), but one is %g",
							   loaded->version.rating_min, loaded->version.rating_max, rating)));
	if (!fm_is_classification(version->task) && rating != fm_plausible_rating(version, rating))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("the rating %g is far outside the range of those in the training, "
							   "%g to %g",
							   value, version->rating_min, version->rating_max),
						errhint("Give ratings on the scale of the training.")));
	return rating;
}

/* Check that there is a rating for each item, or that the task needs none. */
static void
check_basket(const Call *call, int num_items, int num_ratings)
{
	FunctionCallInfo fcinfo = call->fcinfo;
	const FmLoaded *loaded = call->serving.loaded;

	if (fm_is_ranking(loaded->version.task) && !PG_ARGISNULL(ARG_FOR_RATINGS))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("model \"%s\" is a ranking, which has no ratings",
							   call->serving.model.name),
						errhint("Omit ratings: every item in the basket counts as liked.")));
	if (!PG_ARGISNULL(ARG_FOR_RATINGS) && num_items != num_ratings)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("there are %d items but %d ratings", num_items, num_ratings),
						errhint("Give one rating for each item, in the same order.")));
	if (PG_ARGISNULL(ARG_FOR_RATINGS) && num_items > 0 &&
		!fm_is_classification(loaded->version.task) && !fm_is_ranking(loaded->version.task))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("model \"%s\" predicts ratings, so the items need ratings",
						call->serving.model.name),
				 errhint("Give one for each item with ratings => ARRAY[...], between %g and %g; "
						 "for one only bought or clicked, choose the rating that this is worth.",
						 loaded->version.rating_min, loaded->version.rating_max)));
}

/* Set *basket to the ratings of the items that the model knows; return their number. */
static int64
read_basket(Call *call, FmOwnRating **basket)
{
	FunctionCallInfo fcinfo = call->fcinfo;
	const FmLoaded *loaded = call->serving.loaded;
	int num_items;
	int num_ratings;
	Datum *items = elements(fcinfo, ARG_FOR_ITEMS, "items", &num_items);
	Datum *ratings = elements(fcinfo, ARG_FOR_RATINGS, "ratings", &num_ratings);
	int64 count = 0;

	check_basket(call, num_items, num_ratings);
	*basket = MemoryContextAllocHuge(CurrentMemoryContext,
									 ((Size) num_items + 1) * sizeof(FmOwnRating));
	for (int i = 0; i < num_items; i++)
	{
		double rating = ratings == NULL ? loaded->version.rating_max
										: basket_rating(loaded, ratings[i]);
		int32 item = fm_serve_item(&call->serving, items[i]);

		if (item >= 0)
			(*basket)[count++] = (FmOwnRating){item,
											   fm_own_rating_value(&call->serving.model.definition,
																   &loaded->version, rating),
											   0};
	}
	return count;
}

static Datum
top_x_for(FunctionCallInfo fcinfo, FmIdForm form)
{
	Call call;
	FmOwnRating *basket;
	int64 count;

	fm_init_materialized_srf(fcinfo);
	begin(&call, fcinfo, ARG_FOR_X, form);
	count = read_basket(&call, &basket);
	call.user = fm_serve_fold(call.serving.loaded, NULL, NULL, basket, count);
	if (PG_GETARG_BOOL(ARG_FOR_X + REST_EXCLUDE_SEEN))
		for (int64 i = 0; i < count; i++)
			fm_bitset_add(call.excluded, basket[i].item);
	finish(&call);
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

Datum
fm_top_x_for_bigint(PG_FUNCTION_ARGS)
{
	return top_x_for(fcinfo, FM_IDS_BIGINT);
}

Datum
fm_top_x_for_text(PG_FUNCTION_ARGS)
{
	return top_x_for(fcinfo, FM_IDS_TEXT);
}

/* Planner support for functions with an argument x: estimate x rows, if x is known. */
Datum
fm_top_x_support(PG_FUNCTION_ARGS)
{
	Node *request = (Node *) PG_GETARG_POINTER(0);
	SupportRequestRows *rows;
	Node *x = NULL;
	ListCell *cell;

	if (!IsA(request, SupportRequestRows) || !is_funcclause(((SupportRequestRows *) request)->node))
		PG_RETURN_POINTER(NULL);
	rows = (SupportRequestRows *) request;
	foreach (cell, ((FuncExpr *) rows->node)->args)
	{
		Node *argument = estimate_expression_value(rows->root, lfirst(cell));

		/* x is the last bigint among the arguments: a user or an item comes before it */
		if (exprType(argument) == INT8OID)
			x = argument;
	}
	if (x == NULL || !IsA(x, Const) || ((Const *) x)->constisnull)
		PG_RETURN_POINTER(NULL);
	rows->rows = Max(DatumGetInt64(((Const *) x)->constvalue), 0);
	PG_RETURN_POINTER(request);
}
