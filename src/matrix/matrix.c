/*
 * The type fm_matrix: the layout of a value, its size, and the checks on it and on real[]
 * arguments.
 *
 * What is read from outside is checked here and in matrix_io.c, so that the rest of the code can
 * trust a value. Memory: results are allocated in the current context.
 */
#include "matrix/matrix.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/model/list_vector.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_matrix_items);
PG_FUNCTION_INFO_V1(fm_matrix_factors);

/* Bytes per item. */
static Size
item_size(int num_factors)
{
	return sizeof(int64) + ((Size) num_factors + 1) * sizeof(float);
}

int32
fm_matrix_max_items(int num_factors)
{
	return (MaxAllocSize - offsetof(FmMatrix, ids)) / item_size(num_factors);
}

Size
fm_matrix_size(int64 num_items, int num_factors)
{
	if (num_items > fm_matrix_max_items(num_factors))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("fm_matrix of %lld items with %d factors is too large",
							   (long long) num_items, num_factors),
						errdetail("One value holds at most %d items with %d factors.",
								  fm_matrix_max_items(num_factors), num_factors),
						errhint("Use fewer factors, or divide the items among several matrices.")));
	return offsetof(FmMatrix, ids) + num_items * item_size(num_factors);
}

FmMatrix *
fm_matrix_create(int32 num_items, int num_factors)
{
	Size size = fm_matrix_size(num_items, num_factors);
	FmMatrix *matrix = palloc(size);

	SET_VARSIZE(matrix, size);
	matrix->format = FM_MATRIX_FORMAT;
	matrix->num_items = num_items;
	matrix->num_factors = num_factors;
	return matrix;
}

static void
check_header(const FmMatrix *matrix)
{
	if (matrix->format != FM_MATRIX_FORMAT || matrix->num_items < 1 ||
		matrix->num_factors < FM_MIN_FACTORS || matrix->num_factors > FM_MAX_LIST_FACTORS)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("fm_matrix value with an unknown or damaged header")));
}

const FmMatrix *
fm_matrix_from_datum(Datum datum)
{
	const FmMatrix *matrix = (const FmMatrix *) PG_DETOAST_DATUM(datum);

	if (VARSIZE(matrix) < offsetof(FmMatrix, ids))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("fm_matrix value of only %zu bytes", (Size) VARSIZE(matrix))));
	check_header(matrix);
	if (VARSIZE(matrix) != fm_matrix_size(matrix->num_items, matrix->num_factors))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("fm_matrix value of %zu bytes instead of %zu", (Size) VARSIZE(matrix),
						fm_matrix_size(matrix->num_items, matrix->num_factors))));
	return matrix;
}

/* Return the header alone. Of a value that is stored out of line, this reads one chunk only. */
static const FmMatrix *
header_argument(FunctionCallInfo fcinfo)
{
	const Size size = offsetof(FmMatrix, ids) - VARHDRSZ;
	const FmMatrix *matrix = (const FmMatrix *) PG_DETOAST_DATUM_SLICE(PG_GETARG_DATUM(0), 0, size);

	if (VARSIZE(matrix) < size + VARHDRSZ)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("fm_matrix value of only %zu bytes", (Size) VARSIZE(matrix))));
	check_header(matrix);
	return matrix;
}

Datum
fm_matrix_items(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(header_argument(fcinfo)->num_items);
}

Datum
fm_matrix_factors(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(header_argument(fcinfo)->num_factors);
}

static int
mention_item(const int64 *item_id)
{
	return item_id != NULL ? errdetail("The item id is %lld.", (long long) *item_id) : 0;
}

/* Return copies of elements of type double precision as real; one that is too large is an error. */
static const float *
narrow_elements(const double *elements, int length, const char *name, const int64 *item_id)
{
	float *narrow = palloc(((Size) length + 1) * sizeof(float));

	for (int i = 0; i < length; i++)
	{
		narrow[i] = (float) elements[i];
		if (isinf(narrow[i]) && !isinf(elements[i]))
			ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							errmsg("%s must fit type real, but element %d is %g", name, i + 1,
								   elements[i]),
							mention_item(item_id)));
	}
	return narrow;
}

const float *
fm_vector_elements(ArrayType *array, const char *name, const int64 *item_id, int *length)
{
	const float *elements;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("%s must have one dimension, not %d", name, ARR_NDIM(array)),
						mention_item(item_id)));
	if (array_contains_nulls(array))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s must not contain NULLs", name), mention_item(item_id)));
	*length = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	elements = ARR_ELEMTYPE(array) == FLOAT8OID
				   ? narrow_elements((const double *) ARR_DATA_PTR(array), *length, name, item_id)
				   : (const float *) ARR_DATA_PTR(array);
	for (int i = 0; i < *length; i++)
		if (!isfinite(elements[i]))
			ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							errmsg("%s must be finite, but element %d is %s", name, i + 1,
								   fm_not_finite_text(elements[i])),
							mention_item(item_id)));
	return elements;
}

const char *
fm_not_finite_text(float value)
{
	return isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}
