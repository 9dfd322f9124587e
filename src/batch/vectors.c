/*
 * fm_user_vectors and fm_item_vectors: the vectors whose inner product orders items as fm_top_x
 * does (core/model/list_vector.h). Of one head they are V_u ‖ 1 and V_i ‖ w_i.
 *
 * Memory: one row. The rows go to a tuplestore.
 */
#include "batch/users.h"

#include "pg/real_array.h"
#include "serve/list_score.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_user_vectors);
PG_FUNCTION_INFO_V1(fm_item_vectors);

static void
put_vector(ReturnSetInfo *result, char *id, const float *vector, int length)
{
	Datum values[] = {CStringGetTextDatum(id), fm_real_array(vector, length)};
	bool nulls[2] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
begin(FmServing *serving, FunctionCallInfo fcinfo)
{
	fm_init_materialized_srf(fcinfo);
	fm_serve_begin(serving, fcinfo, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0), FM_IDS_TEXT,
				   CurrentMemoryContext);
}

Datum
fm_user_vectors(PG_FUNCTION_ARGS)
{
	FmServing serving;
	MemoryContext row;
	FmUserWalk *walk;
	const FmBatchUser *user;
	double novelty;
	float *query;

	begin(&serving, fcinfo);
	novelty = fm_serve_novelty(&serving, NULL);
	query = palloc(fm_query_length(serving.loaded) * sizeof(float));
	row = AllocSetContextCreate(CurrentMemoryContext, "fmtopx row", ALLOCSET_SMALL_SIZES);
	walk = fm_users_open(&serving, false);
	while ((user = fm_users_next(walk)) != NULL)
	{
		MemoryContext previous = MemoryContextSwitchTo(row);

		CHECK_FOR_INTERRUPTS();
		fm_set_query(serving.loaded, &user->vector, novelty, query);
		put_vector((ReturnSetInfo *) fcinfo->resultinfo,
				   fm_id_text(&serving.loaded->user_type, user->id), query,
				   fm_query_length(serving.loaded));
		MemoryContextSwitchTo(previous);
		MemoryContextReset(row);
	}
	fm_users_close(walk);
	fm_serve_end(&serving);
	return (Datum) 0;
}

Datum
fm_item_vectors(PG_FUNCTION_ARGS)
{
	FmServing serving;
	FmLoaded *loaded;
	MemoryContext row;

	begin(&serving, fcinfo);
	loaded = serving.loaded;
	row = AllocSetContextCreate(CurrentMemoryContext, "fmtopx row", ALLOCSET_SMALL_SIZES);
	for (int32 item = 0; item < loaded->version.num_items; item++)
	{
		MemoryContext previous = MemoryContextSwitchTo(row);

		CHECK_FOR_INTERRUPTS();
		put_vector((ReturnSetInfo *) fcinfo->resultinfo,
				   fm_id_text(&loaded->item_type, fm_loaded_item_id(loaded, item)),
				   fm_scan_vector(loaded->matrix, item), fm_query_length(loaded));
		MemoryContextSwitchTo(previous);
		MemoryContextReset(row);
	}
	fm_serve_end(&serving);
	return (Datum) 0;
}
