/*
 * fm_explain: the terms of a score.
 *
 * These are the terms of the model's formula, b + w_u + w_i + ⟨v_u, v_i⟩, where each w and v is
 * split by the features of the user or item (explain_parts.c). With two heads, they are those of
 * the interest, then those of the rating times β', less the mean of the ratings in the first; they
 * have "rating: " before their names. Last comes what popularity takes off. They sum to the score
 * of fm_top_x.
 *
 * In a classification without an interest head that score is Φ(sum / √(1 + s²)), see
 * fm_probability; the terms are divided by the same root, and sum to the argument of Φ. Memory: the
 * context of the call. Locking: that of the queries.
 */
#include "core/data/ratings.h"
#include "serve/explain_parts.h"
#include "serve/items.h"
#include "serve/list_score.h"

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
	const FmServing *serving;
	const FmUserVector *user;
	bool has_user; /* there may be such a user */
	Datum user_id;
	int32 item;
} Explanation;

static void
put_term(const Explanation *explanation, const char *term, double contribution)
{
	Datum values[] = {CStringGetTextDatum(term), Float8GetDatum(contribution)};
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

/* One head's formula. */
typedef struct Formula
{
	FmHead head;
	const char *prefix; /* of the terms' names */
	double scale;		/* of the terms */
	double b;
	double mean; /* what is subtracted from the score */
	double user_w;
	const float *user_v;
	double item_w;
	const float *item_v;
} Formula;

/* Put the terms of a formula. */
static void
put_formula(const Explanation *explanation, const Formula *formula)
{
	const FmServing *serving = explanation->serving;
	const FmLoaded *loaded = serving->loaded;
	const char *prefix = formula->prefix;
	double scale = formula->scale;
	Datum item_id = fm_loaded_item_id(loaded, explanation->item);
	int num_of_user, num_of_item;
	FmPart *of_user = fm_entity_parts(serving, formula->head, FM_USERS, explanation->has_user,
									  explanation->user_id, formula->user_w, formula->user_v,
									  &num_of_user);
	FmPart *of_item = fm_entity_parts(serving, formula->head, FM_ITEMS, true, item_id,
									  formula->item_w, formula->item_v, &num_of_item);

	put_term(explanation, psprintf("%sbias", prefix), scale * (formula->b - formula->mean));
	for (int u = 0; u < num_of_user; u++)
		put_term(explanation, psprintf("%s%s", prefix, of_user[u].name), scale * of_user[u].w);
	for (int i = 0; i < num_of_item; i++)
		put_term(explanation, psprintf("%s%s", prefix, of_item[i].name), scale * of_item[i].w);
	for (int u = 0; u < num_of_user; u++)
		for (int i = 0; i < num_of_item; i++)
			put_term(explanation, psprintf("%s%s x %s", prefix, of_user[u].name, of_item[i].name),
					 scale * multiply(of_user[u].v, of_item[i].v,
									  fm_head_factors(loaded, formula->head)));
}

/* Put the terms of the interest head. */
static void
put_interest(const Explanation *explanation, const float *item)
{
	const FmLoaded *loaded = explanation->serving->loaded;
	const FmVersion *version = &loaded->version;
	const FmUserVector *user = explanation->user;

	put_formula(explanation, &(Formula){.head = FM_INTEREST_HEAD,
										.prefix = "",
										.scale = 1,
										.b = version->interest_b,
										.user_w = user->interest_base - version->interest_b,
										.user_v = user->interest_v,
										.item_w = item[fm_list_factors(&loaded->shape)],
										.item_v = fm_list_item_interest(&loaded->shape, item)});
}

/* Put the terms of the rating head, or of the only one. */
static void
put_rating(const Explanation *explanation, const float *item)
{
	const FmLoaded *loaded = explanation->serving->loaded;
	const FmVersion *version = &loaded->version;
	bool is_part = version->interest_factors > 0;
	bool is_probit = fm_is_classification(version->task);
	const FmUserVector *user = explanation->user;
	float *v = palloc(version->num_factors * sizeof(float));
	float w;

	fm_list_item_rating(&loaded->shape, item, v, &w);
	put_formula(explanation, &(Formula){.head = FM_RATING_HEAD,
										.prefix = is_part ? "rating: " : "",
										.scale = is_part	 ? version->rating_share
												 : is_probit ? 1 / sqrt(1 + version->score_variance)
															 : 1,
										.b = version->b,
										.mean = is_part && !is_probit ? version->rating_mean : 0,
										.user_w = user->base - version->b,
										.user_v = user->v,
										.item_w = w,
										.item_v = v});
}

/* Put what popularity takes off, if lists are of any novelty. */
static void
put_popularity(const Explanation *explanation, const float *item)
{
	const FmLoaded *loaded = explanation->serving->loaded;
	const FmVersion *version = &loaded->version;
	double novelty = fm_serve_novelty(explanation->serving, NULL);
	bool is_probit = fm_is_classification(version->task) && version->interest_factors == 0;

	if (novelty == 0)
		return;
	put_term(explanation, "popularity",
			 -novelty * version->novelty_unit * fm_list_item_popularity(&loaded->shape, item) /
				 (is_probit ? sqrt(1 + version->score_variance) : 1));
}

static void
put_terms(const Explanation *explanation)
{
	const FmLoaded *loaded = explanation->serving->loaded;
	const float *item = fm_scan_vector(loaded->matrix, explanation->item);

	if (loaded->version.interest_factors > 0)
		put_interest(explanation, item);
	put_rating(explanation, item);
	put_popularity(explanation, item);
}

static Datum
explain(FunctionCallInfo fcinfo, FmIdForm form)
{
	FmServing serving;
	FmUserVector user;
	Explanation explanation = {.result = (ReturnSetInfo *) fcinfo->resultinfo,
							   .serving = &serving,
							   .user = &user};

	fm_init_materialized_srf(fcinfo);
	if (PG_ARGISNULL(ARG_USER_ID) || PG_ARGISNULL(ARG_ITEM_ID))
		return (Datum) 0;
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(ARG_MODEL) ? NULL : PG_GETARG_TEXT_PP(ARG_MODEL),
				   form, CurrentMemoryContext);
	explanation.has_user = fm_serve_id_in(&serving, &serving.loaded->user_type,
										  PG_GETARG_DATUM(ARG_USER_ID), &explanation.user_id);
	user = fm_serve_user(&serving, explanation.has_user, explanation.user_id);
	explanation.item = fm_serve_item(&serving, PG_GETARG_DATUM(ARG_ITEM_ID));
	if (explanation.item >= 0)
		put_terms(&explanation);
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
