/*
 * fm_matrix_top_x: the exact best items of an fm_matrix for one query vector.
 *
 * The scan structure is built from the value. If the value is stored out of line, the structure is
 * kept until the query ends: the value's TOAST pointer identifies the value for as long as the
 * query's snapshot lives. So a statement with many query vectors reads the value once. Memory: each
 * structure has a context of its own.
 */
#include "pg/compat.h"

#include <math.h>

#include "access/detoast.h"
#include "core/scan/scan.h"
#include "pg/arguments.h"
#include "fmgr.h"
#include "pg/host_pg.h"
#include "matrix/matrix.h"
#include "pg/ranked.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_matrix_top_x);

/* A scan structure and the TOAST pointer of its value; fn_extra points to it. */
typedef struct MatrixScan
{
	MemoryContext context;
	struct varatt_external origin;
	int32 num_items;
	int num_factors;
	int64 *ids;
	FmScanMatrix *scan;
} MatrixScan;

/* Build the scan matrix, allocated through the host. */
static FmScanMatrix *
matrix_to_scan(const FmMatrix *matrix, const FmHost *host)
{
	/* An fm_matrix is never so large that this fails. */
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

/*
 * Return the query with num_factors + 1 elements; the last one, which multiplies the bias, defaults
 * to 1.
 */
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

/* Convert a score, which is finite as a double. It is an error if it does not fit a real. */
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

/* Build a scan structure in a child of the current context. */
static MatrixScan *
build_scan(const FmMatrix *matrix)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fm_matrix_top_x",
												  ALLOCSET_DEFAULT_SIZES);
	const FmHost *host = fm_pg_host(context);
	MatrixScan *result = MemoryContextAllocZero(context, sizeof(MatrixScan));
	Size ids_size = (Size) matrix->num_items * sizeof(int64);

	result->context = context;
	result->num_items = matrix->num_items;
	result->num_factors = matrix->num_factors;
	result->ids = MemoryContextAllocHuge(context, ids_size);
	memcpy(result->ids, matrix->ids, ids_size);
	result->scan = matrix_to_scan(matrix, host);
	return result;
}

/* Return the scan structure of the first argument: that of the last call, or a new one. */
static const MatrixScan *
get_scan(FunctionCallInfo fcinfo)
{
	struct varlena *value = (struct varlena *) PG_GETARG_POINTER(0);
	MatrixScan *kept = fcinfo->flinfo->fn_extra;
	MatrixScan *scan;
	struct varatt_external origin;

	if (!VARATT_IS_EXTERNAL_ONDISK(value))
		return build_scan(PG_GETARG_FM_MATRIX(0));
	VARATT_EXTERNAL_GET_POINTER(origin, value);
	if (kept != NULL && memcmp(&kept->origin, &origin, sizeof(origin)) == 0)
		return kept;
	scan = build_scan(PG_GETARG_FM_MATRIX(0));
	scan->origin = origin;
	fcinfo->flinfo->fn_extra = NULL;
	if (kept != NULL)
		MemoryContextDelete(kept->context);
	MemoryContextSetParent(scan->context, fcinfo->flinfo->fn_mcxt);
	fcinfo->flinfo->fn_extra = scan;
	return scan;
}

static void
put_rows(const MatrixScan *scan, const FmHit *hits, int32 count, ReturnSetInfo *result)
{
	for (int32 r = 0; r < count; r++)
	{
		int64 item_id = scan->ids[hits[r].item];

		fm_put_ranked(result, (FmRankedRow){.rank = r + 1,
											.id = Int64GetDatum(item_id),
											.score = score_as_real(hits[r].score, item_id)});
	}
}

Datum
fm_matrix_top_x(PG_FUNCTION_ARGS)
{
	const FmHost *host;
	const MatrixScan *scan;
	const float *query;
	FmHit *hits;
	int32 x;

	x = fm_x_argument(fcinfo, 2);
	fm_init_materialized_srf(fcinfo);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	scan = get_scan(fcinfo);
	query = augmented_query(PG_GETARG_ARRAYTYPE_P(1), scan->num_factors);
	host = fm_pg_host(CurrentMemoryContext);
	hits = host->alloc(host->ctx, Min(x, scan->num_items), sizeof(FmHit));
	put_rows(scan, hits, fm_scan_top_x(scan->scan, query, x, NULL, host, hits),
			 (ReturnSetInfo *) fcinfo->resultinfo);
	host->release(host->ctx, hits);
	if (scan != fcinfo->flinfo->fn_extra)
		MemoryContextDelete(scan->context);
	return (Datum) 0;
}
