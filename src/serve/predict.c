/*
 * fm_predict: the expected rating of an item by a user, or the probability of a yes.
 *
 * A user of whom nothing is known contributes nothing, so the prediction falls back to the bias of
 * the item. An item that the model does not know has no prediction. Memory: the context of the
 * call. Locking: that of serving.c.
 */
#include "serve/items.h"
#include "serve/list_score.h"
#include "serve/question_context.h"

#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(fm_predict_bigint);
PG_FUNCTION_INFO_V1(fm_predict_text);

enum
{
	ARG_USER_ID,
	ARG_ITEM_ID,
	ARG_MODEL,
	ARG_CONTEXT
};

static Datum
predict(FunctionCallInfo fcinfo, FmIdForm form)
{
	FmServing serving;
	FmUserVector user;
	Datum user_id;
	bool possible;
	int32 item;
	double prediction = 0;

	fm_check_context(fcinfo, ARG_CONTEXT);
	if (PG_ARGISNULL(ARG_USER_ID) || PG_ARGISNULL(ARG_ITEM_ID))
		PG_RETURN_NULL();
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(ARG_MODEL) ? NULL : PG_GETARG_TEXT_PP(ARG_MODEL),
				   form, CurrentMemoryContext);
	possible = fm_serve_id_in(&serving, &serving.loaded->user_type, PG_GETARG_DATUM(ARG_USER_ID),
							  &user_id);
	user = fm_serve_user(&serving, possible, user_id);
	fm_add_context(&serving, fcinfo, ARG_CONTEXT, &user);
	item = fm_serve_item(&serving, PG_GETARG_DATUM(ARG_ITEM_ID));
	if (item >= 0)
		prediction = fm_prediction(serving.loaded, &user, item);
	fm_serve_end(&serving);
	if (item < 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(prediction);
}

Datum
fm_predict_bigint(PG_FUNCTION_ARGS)
{
	return predict(fcinfo, FM_IDS_BIGINT);
}

Datum
fm_predict_text(PG_FUNCTION_ARGS)
{
	return predict(fcinfo, FM_IDS_TEXT);
}
