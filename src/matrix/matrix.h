/*
 * The type fm_matrix: item ids with their vectors and biases, in one varlena value.
 *
 *     header | num_items ids, ascending and unique | num_items × (num_factors + 1) floats, bias
 * last
 *
 * A value is immutable, holds at least one item and only finite floats, and is at most MaxAllocSize
 * bytes long. In storage it is never compressed: random mantissas do not shrink.
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
	int32 num_factors; /* FM_MIN_FACTORS to FM_MAX_FACTORS */
	int64 ids[FLEXIBLE_ARRAY_MEMBER];
} FmMatrix;

/* What no other layout starts with; the last byte is the version. */
#define FM_MATRIX_FORMAT 0x464D5801

static inline float *
fm_matrix_vector(const FmMatrix *matrix, int32 item)
{
	return (float *) (matrix->ids + matrix->num_items) + (Size) item * (matrix->num_factors + 1);
}

/* The bytes of a value, or an ERROR when one value cannot hold so much. */
extern Size fm_matrix_size(int64 num_items, int num_factors);

/* A new value with its header filled in and the rest for the caller to fill. */
extern FmMatrix *fm_matrix_create(int32 num_items, int num_factors);

/* A detoasted value, its header checked. */
extern const FmMatrix *fm_matrix_from_datum(Datum datum);

#define PG_GETARG_FM_MATRIX(n) fm_matrix_from_datum(PG_GETARG_DATUM(n))

/* Items in the order they come; grows in the context it was created in. */
typedef struct FmMatrixBuilder
{
	MemoryContext context;
	int num_factors;
	int32 num_items;
	int32 capacity;
	int64 *ids;		/* capacity */
	float *vectors; /* capacity × (num_factors + 1), bias last */
} FmMatrixBuilder;

extern FmMatrixBuilder *fm_matrix_builder_create(MemoryContext context, int num_factors);

/* Add items that are known to be of num_factors and finite: rows of num_factors + 1 floats. */
extern void fm_matrix_builder_add(FmMatrixBuilder *builder, int32 count, const int64 *ids,
								  const float *rows);

/* The value, by ascending id, in the current context; the builder is only read. ERROR on a
 * duplicate. */
extern FmMatrix *fm_matrix_build(const FmMatrixBuilder *builder);

/*
 * The elements of a real[] argument called `name`: one-dimensional, without NULLs, finite, or an
 * ERROR, which mentions the item when item_id is not NULL.
 */
extern const float *fm_vector_elements(ArrayType *array, const char *name, const int64 *item_id,
									   int *length);

/* What PostgreSQL calls a value that is not finite. */
extern const char *fm_not_finite_text(float value);

#endif
