/*
 * The type fm_matrix: item ids with their vectors and biases, in one varlena value.
 *
 *     header | num_items ids, ascending and unique | num_items × (num_factors + 1) floats
 *
 * The bias is the last float of an item. A value is immutable, holds at least one item and only
 * finite floats, and has at most MaxAllocSize bytes. It is stored uncompressed, because random
 * mantissas do not compress.
 */
#ifndef FMTOPX_MATRIX_H
#define FMTOPX_MATRIX_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/array.h"

#include "core/scan/scan_matrix.h"

typedef struct FmMatrix
{
	int32 vl_len_;	   /* varlena header, not to be touched directly */
	uint32 format;	   /* FM_MATRIX_FORMAT */
	int32 num_items;   /* at least 1 */
	int32 num_factors; /* FM_MIN_FACTORS to FM_MAX_LIST_FACTORS */
	int64 ids[FLEXIBLE_ARRAY_MEMBER];
} FmMatrix;

/* Identifies the layout; the last byte is its version. */
#define FM_MATRIX_FORMAT 0x464D5801

static inline float *
fm_matrix_vector(const FmMatrix *matrix, int32 item)
{
	return (float *) (matrix->ids + matrix->num_items) + (Size) item * (matrix->num_factors + 1);
}

/* Return the size of a value in bytes; an error if one value cannot be that large. */
extern Size fm_matrix_size(int64 num_items, int num_factors);

/* How many items one value can hold. */
extern int32 fm_matrix_max_items(int num_factors);

/* Create a value with its header filled in; the caller fills in the rest. */
extern FmMatrix *fm_matrix_create(int32 num_items, int num_factors);

/* Detoast a value and check its header. */
extern const FmMatrix *fm_matrix_from_datum(Datum datum);

#define PG_GETARG_FM_MATRIX(n) fm_matrix_from_datum(PG_GETARG_DATUM(n))

/*
 * Return the elements of the argument called `name`, of type real[] or double precision[]. It is an
 * error if the array has more than one dimension, a NULL, or an element that is not finite as real.
 * The error mentions the item if item_id is not NULL.
 */
extern const float *fm_vector_elements(ArrayType *array, const char *name, const int64 *item_id,
									   int *length);

/* Return the name that PostgreSQL gives a value that is not finite. */
extern const char *fm_not_finite_text(float value);

#endif
