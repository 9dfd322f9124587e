/*
 * Lists of named arrays as MXNet saves them: records in four versions, then their names.
 *
 * Memory: the list is the caller's, from the host; the data stay where they are.
 */
#include "core/import/ndarray.h"

#include <math.h>

#include "core/import/import_bytes.h"

#define LIST_MAGIC 0x112
#define VERSION_1 UINT32_C(0xF993FAC8)
#define VERSION_2 UINT32_C(0xF993FAC9)
#define VERSION_3 UINT32_C(0xF993FACA)

/* A factorization machine has three arrays. A list of more than this is something else. */
#define MAX_ARRAYS 1024

enum
{
	STORAGE_DENSE,
	STORAGE_ROW_SPARSE
};

#define CONTEXT_SIZE 8

static const int type_sizes[] = {
	[FM_ARRAY_FLOAT32] = 4, [FM_ARRAY_FLOAT64] = 8, [FM_ARRAY_FLOAT16] = 2, [FM_ARRAY_UINT8] = 1,
	[FM_ARRAY_INT32] = 4,	[FM_ARRAY_INT8] = 1,	[FM_ARRAY_INT64] = 8,	[FM_ARRAY_BOOL] = 1,
	[FM_ARRAY_INT16] = 2,	[FM_ARRAY_UINT16] = 2,	[FM_ARRAY_UINT32] = 4,	[FM_ARRAY_UINT64] = 8,
	[FM_ARRAY_BFLOAT16] = 2};

#define NUM_TYPES ((int) (sizeof(type_sizes) / sizeof(type_sizes[0])))

bool
fm_is_array_list(FmBytes bytes)
{
	return bytes.length >= 24 && fm_little_endian(bytes.data, 8) == LIST_MAGIC &&
		   fm_little_endian(bytes.data + 8, 8) == 0;
}

static int32_t
take_int32(const FmImporting *importing, FmBytes *bytes)
{
	return (int32_t) fm_take_number(importing, bytes, 4);
}

/* Take a number of dimensions and as many dimensions of 4 or 8 bytes each. */
static int
take_shape(const FmImporting *importing, FmBytes *bytes, int size, int64_t *dim)
{
	int32_t num_dims = take_int32(importing, bytes);

	if (num_dims < -1 || num_dims > FM_ARRAY_MAX_DIMS)
		fm_import_fail(importing, "the file has an array of %d dimensions", (int) num_dims);
	for (int d = 0; d < num_dims; d++)
		dim[d] = (int64_t) fm_take_number(importing, bytes, size);
	return num_dims;
}

static FmArrayType
take_type(const FmImporting *importing, FmBytes *bytes)
{
	int32_t type = take_int32(importing, bytes);

	if (type < 0 || type >= NUM_TYPES)
		fm_import_fail(importing, "the file has an array of type %d, which is not known",
					   (int) type);
	return (FmArrayType) type;
}

/* Take the data of an array, of which the dimensions are given. */
static FmBytes
take_data(const FmImporting *importing, FmBytes *bytes, FmArrayType type, int num_dims,
		  const int64_t *dim)
{
	uint64_t size = (uint64_t) type_sizes[type];

	if (num_dims < 0)
		fm_import_fail(importing, "the file has an array of %d dimensions", num_dims);
	for (int d = 0; d < num_dims; d++)
		if (dim[d] < 0 || __builtin_mul_overflow(size, (uint64_t) dim[d], &size))
			fm_import_fail(importing, "the file has an array with a dimension of %lld",
						   (long long) dim[d]);
	return fm_take_bytes(importing, bytes, size);
}

/* Check that the indices of rows are ascending and below the number of rows. */
static void
check_rows(const FmImporting *importing, const FmArray *array)
{
	int64_t before = -1;

	for (int64_t place = 0; place < array->num_stored; place++)
	{
		int64_t row = fm_array_row(array, place);

		if (row <= before || row >= array->dim[0])
			fm_import_fail(importing, "the file has an array of %lld rows with row %lld after %lld",
						   (long long) array->dim[0], (long long) row, (long long) before);
		before = row;
	}
}

/* Take the rest of an array with rows left out, after its own dimensions and type. */
static void
take_sparse(const FmImporting *importing, FmBytes *bytes, int num_stored_dims,
			const int64_t *stored_dim, FmArray *array)
{
	int64_t dim[FM_ARRAY_MAX_DIMS];
	int num_dims;

	array->is_sparse = true;
	array->index_type = take_type(importing, bytes);
	num_dims = take_shape(importing, bytes, 8, dim);
	if (num_dims != 1 || num_stored_dims != array->num_dims || dim[0] != stored_dim[0] ||
		(array->index_type != FM_ARRAY_INT64 && array->index_type != FM_ARRAY_INT32) ||
		memcmp(stored_dim + 1, array->dim + 1, (array->num_dims - 1) * sizeof(int64_t)) != 0)
		fm_import_fail(importing, "the file has a row_sparse array whose parts do not fit");
	array->num_stored = dim[0];
	array->data = take_data(importing, bytes, array->type, num_stored_dims, stored_dim);
	array->index = take_data(importing, bytes, array->index_type, 1, dim);
	check_rows(importing, array);
}

/* Take what follows the dimensions of a dense array. */
static void
take_dense(const FmImporting *importing, FmBytes *bytes, FmArray *array)
{
	(void) fm_take_bytes(importing, bytes, CONTEXT_SIZE);
	array->type = take_type(importing, bytes);
	array->data = take_data(importing, bytes, array->type, array->num_dims, array->dim);
}

/* Return whether dimensions are unknown: there is no array then. */
static bool
is_none(const FmArray *array, bool numpy_shape)
{
	for (int d = 0; d < array->num_dims; d++)
		if (numpy_shape && array->dim[d] == -1)
			return true;
	return array->num_dims == (numpy_shape ? -1 : 0);
}

/* Take an array of version 2 or 3. */
static void
take_stored(const FmImporting *importing, FmBytes *bytes, bool numpy_shape, FmArray *array)
{
	int64_t stored_dim[FM_ARRAY_MAX_DIMS];
	int num_stored_dims = 0;
	int32_t storage = take_int32(importing, bytes);

	if (storage != STORAGE_DENSE && (storage != STORAGE_ROW_SPARSE || numpy_shape))
		fm_import_fail(importing,
					   "the file has an array of storage type %d, not dense (0) or row_sparse (1)",
					   (int) storage);
	if (storage == STORAGE_ROW_SPARSE)
		num_stored_dims = take_shape(importing, bytes, 8, stored_dim);
	array->num_dims = take_shape(importing, bytes, 8, array->dim);
	array->is_none = is_none(array, numpy_shape);
	if (array->is_none)
		return;
	if (storage == STORAGE_DENSE)
	{
		take_dense(importing, bytes, array);
		return;
	}
	if (array->num_dims < 1)
		fm_import_fail(importing, "the file has a row_sparse array without rows");
	(void) fm_take_bytes(importing, bytes, CONTEXT_SIZE);
	array->type = take_type(importing, bytes);
	take_sparse(importing, bytes, num_stored_dims, stored_dim, array);
}

/* Take one record; its first number says of which version it is. */
static void
take_array(const FmImporting *importing, FmBytes *bytes, FmArray *array)
{
	FmBytes begin = *bytes;
	uint32_t version = (uint32_t) fm_take_number(importing, bytes, 4);

	if (version == VERSION_2 || version == VERSION_3)
	{
		take_stored(importing, bytes, version == VERSION_3, array);
		return;
	}
	if (version != VERSION_1)
		*bytes = begin; /* the number of dimensions, which are of 4 bytes */
	array->num_dims = take_shape(importing, bytes, version == VERSION_1 ? 8 : 4, array->dim);
	array->is_none = is_none(array, false);
	if (!array->is_none)
		take_dense(importing, bytes, array);
}

static void
take_names(const FmImporting *importing, FmBytes *bytes, FmArrayList *list)
{
	uint64_t count = fm_take_number(importing, bytes, 8);

	if (count == 0)
		return;
	if (count != (uint64_t) list->count)
		fm_import_fail(importing, "the file has %d arrays and %llu names", list->count,
					   (unsigned long long) count);
	for (int a = 0; a < list->count; a++)
	{
		FmBytes *name = &list->array[a].name;

		*name = fm_take_bytes(importing, bytes, fm_take_number(importing, bytes, 8));
		for (int other = 0; other < a; other++)
			if (list->array[other].name.length == name->length &&
				memcmp(list->array[other].name.data, name->data, name->length) == 0)
				fm_import_fail(importing, "the file has two arrays of the same name");
	}
}

void
fm_read_array_list(const FmImporting *importing, FmBytes bytes, FmArrayList *list)
{
	const FmHost *host = importing->host;
	uint64_t count;

	(void) fm_take_bytes(importing, &bytes, 16);
	count = fm_take_number(importing, &bytes, 8);
	if (count < 1 || count > MAX_ARRAYS)
		fm_import_fail(importing, "the file has %llu arrays", (unsigned long long) count);
	list->count = (int) count;
	list->array = host->alloc(host->ctx, list->count, sizeof(FmArray));
	for (int a = 0; a < list->count; a++)
		take_array(importing, &bytes, &list->array[a]);
	take_names(importing, &bytes, list);
	if (bytes.length > 0)
		fm_import_fail(importing, "the file has %zu bytes left over", bytes.length);
}

/* Return a float of 16 bits (IEEE 754 binary16). */
static double
half(uint64_t bits)
{
	int exponent = (int) (bits >> 10 & 31);
	double fraction = (double) (bits & 1023);
	double value;

	if (exponent == 31)
		return fraction == 0 ? INFINITY : NAN;
	value = exponent == 0 ? ldexp(fraction, -24) : ldexp(fraction + 1024, exponent - 25);
	return (bits & 0x8000) != 0 ? -value : value;
}

static double
float_of_bits(uint64_t bits)
{
	uint32_t narrow = (uint32_t) bits;
	float value;

	memcpy(&value, &narrow, sizeof(value));
	return value;
}

static double
double_of_bits(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

double
fm_array_number(const FmArray *array, size_t place)
{
	int size = type_sizes[array->type];
	uint64_t bits = fm_little_endian(array->data.data + place * size, size);

	switch (array->type)
	{
		case FM_ARRAY_FLOAT32:
			return float_of_bits(bits);
		case FM_ARRAY_FLOAT64:
			return double_of_bits(bits);
		case FM_ARRAY_FLOAT16:
			return half(bits);
		case FM_ARRAY_BFLOAT16:
			return float_of_bits(bits << 16);
		case FM_ARRAY_INT8:
			return (int8_t) bits;
		case FM_ARRAY_INT16:
			return (int16_t) bits;
		case FM_ARRAY_INT32:
			return (int32_t) bits;
		case FM_ARRAY_INT64:
			return (double) (int64_t) bits;
		default:
			return (double) bits;
	}
}

int64_t
fm_array_row(const FmArray *array, int64_t place)
{
	int size = type_sizes[array->index_type];
	uint64_t bits;

	if (!array->is_sparse)
		return place;
	bits = fm_little_endian(array->index.data + place * size, size);
	return size == 4 ? (int32_t) bits : (int64_t) bits;
}
