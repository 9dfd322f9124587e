/*
 * The artefact of Amazon SageMaker's factorization machines: an archive of named arrays.
 *
 * Memory: what is decompressed stays with the host; the arrays of the result are the caller's.
 */
#include "core/import/artefact.h"

#include "core/import/archive.h"
#include "core/import/import_bytes.h"
#include "core/import/ndarray.h"

/* Names begin with one of these, or with neither. */
static const char *const name_prefixes[] = {"arg:", "aux:"};

/* A matrix in an array: where its rows and columns go. */
typedef struct Matrix
{
	const FmArray *array;
	int64_t num_rows;
	int64_t num_columns;
} Matrix;

/* Return the bytes of the list of arrays. */
static FmBytes
unpack(const FmImporting *importing, FmBytes bytes)
{
	if (fm_is_gzip(bytes))
		bytes = fm_gunzip(importing, bytes);
	if (fm_is_tar(bytes))
		bytes = fm_tar_member(importing, bytes, "model_algo");
	if (fm_is_zip(bytes))
		bytes = fm_zip_member(importing, bytes, "params");
	if (!fm_is_array_list(bytes))
		fm_import_fail(importing, "this is neither a model of Amazon SageMaker (a gzipped tar, a "
								  "ZIP or a list of arrays) nor text of libFM or xLearn");
	return bytes;
}

/* Return the array of a name, or NULL. */
static const FmArray *
find_array(const FmImporting *importing, const FmArrayList *list, const char *name)
{
	const FmArray *found = NULL;

	for (int a = 0; a < list->count; a++)
	{
		FmBytes given = list->array[a].name;

		for (size_t p = 0; p < sizeof(name_prefixes) / sizeof(name_prefixes[0]); p++)
			if (fm_bytes_begin(given, name_prefixes[p]))
			{
				given = fm_bytes_from(given, strlen(name_prefixes[p]));
				break;
			}
		if (!fm_bytes_are(given, name) || list->array[a].is_none)
			continue;
		if (found != NULL)
			fm_import_fail(importing, "the file has two arrays \"%s\"", name);
		found = &list->array[a];
	}
	return found;
}

/* Return an array of at most two dimensions as a matrix; one dimension is that of the rows. */
static Matrix
matrix_of(const FmImporting *importing, const FmArray *array, const char *name)
{
	if (array != NULL && array->num_dims <= 2)
		return (Matrix){array, array->num_dims > 0 ? array->dim[0] : 1,
						array->num_dims > 1 ? array->dim[1] : 1};
	fm_import_fail(importing, "the file has no array \"%s\" of at most two dimensions", name);
}

/* Copy a matrix into floats, given how far apart its rows and its columns are to be. */
static void
copy_matrix(const FmImporting *importing, const Matrix *matrix, size_t row_step, size_t column_step,
			float *to)
{
	int64_t num_stored = matrix->array->is_sparse ? matrix->array->num_stored : matrix->num_rows;
	size_t place = 0;

	for (int64_t r = 0; r < num_stored; r++)
	{
		float *row = to + (size_t) fm_array_row(matrix->array, r) * row_step;

		for (int64_t c = 0; c < matrix->num_columns; c++)
		{
			row[(size_t) c * column_step] =
				fm_import_float(importing, fm_array_number(matrix->array, place++));
			if (place % 65536 == 0)
				importing->host->check_interrupts(importing->host->ctx);
		}
	}
}

/* Check that the numbers of two arrays fit, whichever dimension they stand in. */
static void
check_weights(const FmImporting *importing, const FmImported *result, const Matrix *weights,
			  const Matrix *bias)
{
	if ((weights->num_rows != 1 && weights->num_columns != 1) ||
		weights->num_rows * weights->num_columns != result->num_rows)
		fm_import_fail(importing, "v has %d rows, but the linear weights are %lld × %lld",
					   (int) result->num_rows, (long long) weights->num_rows,
					   (long long) weights->num_columns);
	if (bias->num_rows != 1 || bias->num_columns != 1)
		fm_import_fail(importing, "the global bias is %lld × %lld numbers",
					   (long long) bias->num_rows, (long long) bias->num_columns);
}

void
fm_read_artefact(const FmImporting *importing, FmBytes bytes, FmImported *result)
{
	const char *const weight_names[] = {"w1_weight", "Linear_Plus_Bias_weight"};
	const char *const bias_names[] = {"w0_weight", "Linear_Plus_Bias_bias"};
	FmArrayList list;
	bool dense;
	Matrix v, weights, bias;
	float b = 0;

	fm_read_array_list(importing, unpack(importing, bytes), &list);
	dense = find_array(importing, &list, weight_names[0]) == NULL &&
			find_array(importing, &list, weight_names[1]) != NULL;
	v = matrix_of(importing, find_array(importing, &list, "v"), "v");
	weights = matrix_of(importing, find_array(importing, &list, weight_names[dense]),
						weight_names[dense]);
	bias = matrix_of(importing, find_array(importing, &list, bias_names[dense]), bias_names[dense]);
	if (dense)
		fm_import_allocate(importing, v.num_columns, v.num_rows, result);
	else
		fm_import_allocate(importing, v.num_rows, v.num_columns, result);
	check_weights(importing, result, &weights, &bias);
	copy_matrix(importing, &v, dense ? 1 : result->num_factors, dense ? result->num_factors : 1,
				result->v);
	copy_matrix(importing, &weights, 1, 1, result->w);
	copy_matrix(importing, &bias, 1, 1, &b);
	result->b = b;
	importing->host->release(importing->host->ctx, list.array);
}
