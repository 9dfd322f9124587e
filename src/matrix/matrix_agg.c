/*
 * The aggregate fm_matrix_agg(item_id bigint, v real[], w real), and its overload with double
 * precision, which is stored as real.
 *
 * The transition state is an FmMatrixBuilder in the aggregate's context. It keeps the items in the
 * order of the rows. Only the final function sorts, and it makes a new value. So it can be called
 * repeatedly, as it is in a window, and the result depends neither on the order of the rows nor on
 * which process collected them.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"

#include "core/model/list_vector.h"
#include "matrix/matrix_build.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(fm_matrix_agg_transfn);
PG_FUNCTION_INFO_V1(fm_matrix_agg_double_transfn);
PG_FUNCTION_INFO_V1(fm_matrix_agg_combinefn);
PG_FUNCTION_INFO_V1(fm_matrix_agg_serialfn);
PG_FUNCTION_INFO_V1(fm_matrix_agg_deserialfn);
PG_FUNCTION_INFO_V1(fm_matrix_agg_finalfn);

/*
 * A serialized state: this header, the ids, the rows. It goes from one process of a server to
 * another, so it is in the server's byte order. A bytea's data need not be aligned, so memcpy reads
 * it.
 */
typedef struct StateHeader
{
	int32 num_items;
	int32 num_factors;
} StateHeader;

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("function %s is called outside an aggregate",
							   get_func_name(fcinfo->flinfo->fn_oid)),
						errhint("Call the aggregate fm_matrix_agg.")));
	return context;
}

static FmMatrixBuilder *
state_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : (FmMatrixBuilder *) PG_GETARG_POINTER(n);
}

static void
check_num_factors(const FmMatrixBuilder *state, int64 item_id, int num_factors)
{
	if (num_factors < FM_MIN_FACTORS || num_factors > FM_MAX_LIST_FACTORS)
		ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
						errmsg("v must have between %d and %d elements, not %d", FM_MIN_FACTORS,
							   FM_MAX_LIST_FACTORS, num_factors),
						errdetail("The item id is %lld.", (long long) item_id)));
	if (state != NULL && num_factors != state->num_factors)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("v must have the same number of elements for every item"),
				 errdetail("It has %d for item id %lld and %d for item id %lld.", num_factors,
						   (long long) item_id, state->num_factors, (long long) state->ids[0])));
}

/* Add a row to the state; w_of reads the bias, which is of type real or double precision. */
static Datum
add_row(FunctionCallInfo fcinfo, float (*w_of)(Datum))
{
	MemoryContext context = aggregate_context(fcinfo);
	FmMatrixBuilder *state = state_argument(fcinfo, 0);
	float row[FM_MAX_LIST_FACTORS + 1];
	int64 item_id;
	const float *v;
	int num_factors;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}
	item_id = PG_GETARG_INT64(1);
	v = fm_vector_elements(PG_GETARG_ARRAYTYPE_P(2), "v", &item_id, &num_factors);
	check_num_factors(state, item_id, num_factors);
	memcpy(row, v, num_factors * sizeof(float));
	row[num_factors] = w_of(PG_GETARG_DATUM(3));
	if (!isfinite(row[num_factors]))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("w must be finite, but is %s", fm_not_finite_text(row[num_factors])),
						errdetail("The item id is %lld.", (long long) item_id)));
	if (state == NULL)
		state = fm_matrix_builder_create(context, num_factors);
	fm_matrix_builder_add(state, 1, &item_id, row);
	PG_RETURN_POINTER(state);
}

static float
real_bias(Datum w)
{
	return DatumGetFloat4(w);
}

static float
double_bias(Datum w)
{
	return (float) DatumGetFloat8(w);
}

Datum
fm_matrix_agg_transfn(PG_FUNCTION_ARGS)
{
	return add_row(fcinfo, real_bias);
}

Datum
fm_matrix_agg_double_transfn(PG_FUNCTION_ARGS)
{
	return add_row(fcinfo, double_bias);
}

Datum
fm_matrix_agg_combinefn(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	FmMatrixBuilder *state = state_argument(fcinfo, 0);
	FmMatrixBuilder *other = state_argument(fcinfo, 1);

	if (other != NULL)
	{
		/* copy `other` even if there is no state yet, because its context is deleted earlier */
		check_num_factors(state, other->ids[0], other->num_factors);
		if (state == NULL)
			state = fm_matrix_builder_create(context, other->num_factors);
		fm_matrix_builder_add(state, other->num_items, other->ids, other->vectors);
	}
	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(state);
}

Datum
fm_matrix_agg_serialfn(PG_FUNCTION_ARGS)
{
	FmMatrixBuilder *state = (FmMatrixBuilder *) PG_GETARG_POINTER(0);
	StateHeader header = {state->num_items, state->num_factors};
	Size ids_size = (Size) state->num_items * sizeof(int64);
	Size rows_size = (Size) state->num_items * (state->num_factors + 1) * sizeof(float);
	Size size = VARHDRSZ + sizeof(header) + ids_size + rows_size;
	bytea *result = palloc(size);
	char *data = VARDATA(result);

	(void) aggregate_context(fcinfo);
	SET_VARSIZE(result, size);
	memcpy(data, &header, sizeof(header));
	memcpy(data + sizeof(header), state->ids, ids_size);
	memcpy(data + sizeof(header) + ids_size, state->vectors, rows_size);
	PG_RETURN_BYTEA_P(result);
}

Datum
fm_matrix_agg_deserialfn(PG_FUNCTION_ARGS)
{
	bytea *serialized = PG_GETARG_BYTEA_PP(0);
	const char *data = VARDATA_ANY(serialized);
	Size size = VARSIZE_ANY_EXHDR(serialized);
	FmMatrixBuilder *state = palloc0(sizeof(FmMatrixBuilder));
	StateHeader header = {0};
	Size ids_size;
	Size rows_size;

	(void) aggregate_context(fcinfo);
	if (size >= sizeof(header))
		memcpy(&header, data, sizeof(header));
	ids_size = (Size) header.num_items * sizeof(int64);
	rows_size = (Size) header.num_items * (header.num_factors + 1) * sizeof(float);
	if (size != sizeof(header) + ids_size + rows_size)
		elog(ERROR, "serialized state of fm_matrix_agg has %zu bytes, not %zu", size,
			 sizeof(header) + ids_size + rows_size);

	state->context = CurrentMemoryContext;
	state->num_factors = header.num_factors;
	state->num_items = header.num_items;
	state->capacity = header.num_items;
	state->ids = palloc(ids_size);
	state->vectors = palloc(rows_size);
	memcpy(state->ids, data + sizeof(header), ids_size);
	memcpy(state->vectors, data + sizeof(header) + ids_size, rows_size);
	PG_RETURN_POINTER(state);
}

Datum
fm_matrix_agg_finalfn(PG_FUNCTION_ARGS)
{
	FmMatrixBuilder *state = state_argument(fcinfo, 0);

	(void) aggregate_context(fcinfo);
	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(fm_matrix_build(state));
}
