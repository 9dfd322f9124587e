/*
 * fm_list_vector: what the matrix of a model holds of an item, from the item's row.
 *
 * The numbers of the row may be anything, so all are checked by fm_matrix_agg, which is called with
 * the result.
 */
#include "postgres.h"

#include "core/model/list_vector.h"
#include "fmgr.h"
#include "matrix/matrix.h"
#include "pg/real_array.h"

PG_FUNCTION_INFO_V1(fm_list_vector);

enum
{
	ARG_V,
	ARG_W,
	ARG_INTEREST_V,
	ARG_POPULARITY,
	ARG_RATING_SHARE,
	ARG_NOVELTY_UNIT
};

/* Return the elements of an argument, or NULL; it is an error if there are too many. */
static const float *
vector_argument(FunctionCallInfo fcinfo, int argument, const char *name, int *length)
{
	const float *vector;

	*length = 0;
	if (PG_ARGISNULL(argument))
		return NULL;
	vector = fm_vector_elements(PG_GETARG_ARRAYTYPE_P(argument), name, NULL, length);
	if (*length > FM_MAX_FACTORS)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION), errmsg("%s must have at most %d elements, not %d",
														 name, FM_MAX_FACTORS, *length)));
	return vector;
}

Datum
fm_list_vector(PG_FUNCTION_ARGS)
{
	FmListShape shape = {.has_popularity = !PG_ARGISNULL(ARG_POPULARITY)};
	float vector[FM_MAX_LIST_FACTORS + 1];
	const float *v = vector_argument(fcinfo, ARG_V, "v", &shape.num_factors);
	const float *interest = vector_argument(fcinfo, ARG_INTEREST_V, "interest_v",
											&shape.interest_factors);

	if (v == NULL || PG_ARGISNULL(ARG_W) || PG_ARGISNULL(ARG_RATING_SHARE) ||
		PG_ARGISNULL(ARG_NOVELTY_UNIT))
		PG_RETURN_NULL();
	shape.rating_share = PG_GETARG_FLOAT8(ARG_RATING_SHARE);
	shape.novelty_unit = PG_GETARG_FLOAT8(ARG_NOVELTY_UNIT);
	fm_list_item(&shape, v, PG_GETARG_FLOAT4(ARG_W), interest, 0,
				 shape.has_popularity ? PG_GETARG_FLOAT4(ARG_POPULARITY) : 0, vector);
	return fm_real_array(vector, fm_list_factors(&shape));
}
