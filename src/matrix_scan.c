/*
 * fm_matrix_top_x: the exact best items of an fm_matrix for one query vector.
 *
 * The scan structure is built for the call, in a context of its own that is gone before the first
 * row is returned; only the hits live on, in the function's multi-call context.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "host_pg.h"
#include "matrix.h"

PG_FUNCTION_INFO_V1(fm_matrix_top_x);

#define NUM_COLUMNS 3

/* The scan structure of a matrix, allocated through the host. */
static FmScanMatrix *
matrix_to_scan(const FmMatrix *matrix, const FmHost *host)
{
	/* No fm_matrix is so large that the size could not be computed. */
	Size size = fm_scan_matrix_size(matrix->num_items, matrix->num_factors);
	FmScanMatrix *scan = fm_scan_matrix_init(host->alloc(host->ctx, size, 1), matrix->num_items,
											 matrix->num_factors);

	for (int32 item = 0; item < matrix->num_items; item++)
	{
		const float *v = fm_matrix_vector(matrix, item);

		host->check_interrupts(host->ctx);
		fm_scan_matrix_set(scan, item, v, v[matrix->num_factors]);
	}
	fm_scan_matrix_finish(scan);
	return scan;
}

/* The query with num_factors + 1 entries: without a last one, the bias counts once. */
static float *
augmented_query(ArrayType *array, int num_factors)
{
	float *query = palloc(((Size) num_factors + 1) * sizeof(float));
	int length;
	const float *elements = fm_vector_elements(array, "query", NULL, &length);

	if (length != num_factors && length != num_factors + 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("query must have %d or %d elements, not %d", num_factors, num_factors + 1,
						length),
				 errdetail("The matrix has %d factors; one more element multiplies the bias.",
						   num_factors)));
	query[num_factors] = 1;
	memcpy(query, elements, length * sizeof(float));
	return query;
}

/* A score is a sum of finite products in double; what does not fit a real has no honest answer. */
static float
score_as_real(double score, int64 item_id)
{
	float result = (float) score;

	if (isinf(result))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("score %g of item id %lld is out of range for type %s", score,
							   (long long) item_id, "real")));
	return result;
}

typedef struct Row
{
	int64 item_id;
	float score;
} Row;

/* The best x items, allocated in the current context. */
static Row *
find_rows(const FmMatrix *matrix, ArrayType *query_array, int32 x, int32 *num_rows)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fm_matrix_top_x",
												  ALLOCSET_DEFAULT_SIZES);
	const FmHost *host = fm_pg_host(context);
	float *query = augmented_query(query_array, matrix->num_factors);
	FmHit *hits = host->alloc(host->ctx, Min(x, matrix->num_items), sizeof(FmHit));
	FmScanMatrix *scan = matrix_to_scan(matrix, host);
	Row *rows;

	*num_rows = fm_scan_top_x(scan, query, x, NULL, host, hits);
	rows = palloc_extended((Size) *num_rows * sizeof(Row), MCXT_ALLOC_HUGE);
	for (int32 i = 0; i < *num_rows; i++)
	{
		rows[i].item_id = matrix->ids[hits[i].item];
		rows[i].score = score_as_real(hits[i].score, rows[i].item_id);
	}
	MemoryContextDelete(context);
	return rows;
}

/* Check the arguments, find all rows, and prepare to return them one by one. */
static void
start_call(FunctionCallInfo fcinfo)
{
	FuncCallContext *call = SRF_FIRSTCALL_INIT();
	const FmMatrix *matrix;
	ArrayType *query;
	MemoryContext old_context;
	TupleDesc descriptor;
	int32 num_rows;

	if (PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("x must not be NULL")));
	if (PG_GETARG_INT32(2) < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("x must not be negative, but is %d", PG_GETARG_INT32(2))));
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return;
	matrix = PG_GETARG_FM_MATRIX(0);
	query = PG_GETARG_ARRAYTYPE_P(1);

	/* the descriptor too must last until the last row */
	old_context = MemoryContextSwitchTo(call->multi_call_memory_ctx);
	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "fm_matrix_top_x must be called where rows are expected");
	call->tuple_desc = BlessTupleDesc(descriptor);
	call->user_fctx = find_rows(matrix, query, PG_GETARG_INT32(2), &num_rows);
	call->max_calls = num_rows;
	MemoryContextSwitchTo(old_context);
}

Datum
fm_matrix_top_x(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	const Row *row;
	Datum values[NUM_COLUMNS];
	bool nulls[NUM_COLUMNS] = {false};

	if (SRF_IS_FIRSTCALL())
		start_call(fcinfo);
	call = SRF_PERCALL_SETUP();
	if (call->call_cntr >= call->max_calls)
		SRF_RETURN_DONE(call);

	row = (const Row *) call->user_fctx + call->call_cntr;
	values[0] = Int32GetDatum((int32) call->call_cntr + 1);
	values[1] = Int64GetDatum(row->item_id);
	values[2] = Float4GetDatum(row->score);
	SRF_RETURN_NEXT(call, HeapTupleGetDatum(heap_form_tuple(call->tuple_desc, values, nulls)));
}
