/*
 * Conversion between C arrays and values of type real[]. Memory: the current context.
 */
#include "pg/real_array.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"

Datum
fm_real_array(const float *values, int length)
{
	Size size = ARR_OVERHEAD_NONULLS(1) + sizeof(float) * (Size) length;
	ArrayType *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = length;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), values, sizeof(float) * (Size) length);
	return PointerGetDatum(array);
}

void
fm_read_real_array(Datum datum, int length, const char *what, float *values)
{
	ArrayType *array = DatumGetArrayTypeP(datum);

	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] != length || ARR_ELEMTYPE(array) != FLOAT4OID)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("%s must be a one-dimensional real[] of %d elements", what, length),
						errhint("Train the model again.")));
	if (array_contains_nulls(array))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("%s must not contain NULL", what),
						errhint("Train the model again.")));
	memcpy(values, ARR_DATA_PTR(array), sizeof(float) * (Size) length);
	for (int f = 0; f < length; f++)
		if (!isfinite(values[f]))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("%s must be finite, but element %d is %g", what, f + 1, values[f]),
					 errhint("Train the model again.")));
	if ((Pointer) array != DatumGetPointer(datum))
		pfree(array);
}
