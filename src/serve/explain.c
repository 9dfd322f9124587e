/*
 * fm_explain: the terms of a score.
 *
 * These are the terms of the model's formula, b + w_u + w_i + ⟨v_u, v_i⟩, where each w and v is
 * split by the features of the user or item (explain_parts.c). They sum to the score of fm_top_x.
 * In a classification that score is Φ(sum / √(1 + s²)), see fm_probability; the terms are divided
 * by the same root, and sum to the argument of Φ. Memory: the context of the call. Locking: that
 * of the queries.
 */
#include "core/data/ratings.h"
#include "serve/explain_parts.h"
#include "serve/items.h"
#include "serve/user.h"

#include <math.h>

#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(fm_explain_bigint);
PG_FUNCTION_INFO_V1(fm_explain_text);

enum
{
	ARG_USER_ID,
	ARG_ITEM_ID,
	ARG_MODEL
};

typedef struct Explanation
{
	ReturnSetInfo *result;
	double scale;
} Explanation;

static void
put_term(const Explanation *explanation, const char *term, double contribution)
{
	Datum values[] = {CStringGetTextDatum(term), Float8GetDatum(contribution * explanation->scale)};
	bool nulls[2] = {false};

	if (!isfinite(contribution))
		fm_check_score(contribution);
	tuplestore_putvalues(explanation->result->setResult, explanation->result->setDesc, values,
						 nulls);
}

static double
multiply(const double *a, const double *b, int count)
{
	double sum = 0;

	for (int f = 0; f < count; f++)
		sum += a[f] * b[f];
	return sum;
}

/* Put all terms. An item that the model does not know contributes zeros. */
static void
put_terms(const FmServing *serving, const FmUserVector *user, Datum user_id, bool user_possible,
		  int32 item, const Explanation *explanation)
{
	const FmLoaded *loaded = serving->loaded;
	int k = loaded->version.num_factors;
	const float *vector = item < 0 ? palloc0((k + 1) * sizeof(float))
								   : fm_scan_vector(loaded->matrix, item);
	FmPart *of_user;
	FmPart *of_item;
	int num_of_user;
	int num_of_item;

	of_user = fm_entity_parts(serving, FM_USERS, user_possible, user_id,
							  user->base - loaded->version.b, user->query, &num_of_user);
	of_item = fm_entity_parts(serving, FM_ITEMS, item >= 0,
							  item < 0 ? (Datum) 0 : fm_loaded_item_id(loaded, item), vector[k],
							  vector, &num_of_item);
	put_term(explanation, "bias", loaded->version.b);
	for (int u = 0; u < num_of_user; u++)
		put_term(explanation, of_user[u].name, of_user[u].w);
	for (int i = 0; i < num_of_item; i++)
		put_term(explanation, of_item[i].name, of_item[i].w);
	for (int u = 0; u < num_of_user; u++)
		for (int i = 0; i < num_of_item; i++)
			put_term(explanation, psprintf("%s x %s", of_user[u].name, of_item[i].name),
					 multiply(of_user[u].v, of_item[i].v, k));
}

static Datum
explain(FunctionCallInfo fcinfo, FmIdForm form)
{
	Explanation explanation = {(ReturnSetInfo *) fcinfo->resultinfo, 1};
	FmServing serving;
	FmUserVector user;
	Datum user_id;
	bool possible;

	fm_init_materialized_srf(fcinfo);
	if (PG_ARGISNULL(ARG_USER_ID) || PG_ARGISNULL(ARG_ITEM_ID))
		return (Datum) 0;
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(ARG_MODEL) ? NULL : PG_GETARG_TEXT_PP(ARG_MODEL),
				   form, CurrentMemoryContext);
	if (fm_is_classification(serving.loaded->version.task))
		explanation.scale = 1 / sqrt(1 + serving.loaded->version.score_variance);
	possible = fm_serve_id_in(&serving, &serving.loaded->user_type, PG_GETARG_DATUM(ARG_USER_ID),
							  &user_id);
	user = fm_serve_user(&serving, possible, user_id);
	put_terms(&serving, &user, user_id, possible,
			  fm_serve_item(&serving, PG_GETARG_DATUM(ARG_ITEM_ID)), &explanation);
	fm_serve_end(&serving);
	return (Datum) 0;
}

Datum
fm_explain_bigint(PG_FUNCTION_ARGS)
{
	return explain(fcinfo, FM_IDS_BIGINT);
}

Datum
fm_explain_text(PG_FUNCTION_ARGS)
{
	return explain(fcinfo, FM_IDS_TEXT);
}
