/*
 * Making values of type fm_matrix: sizes, the builder that collects items, and checks on real[]
 * arguments.
 *
 * A builder lives in the memory context it was created in and is freed with it. What is built is
 * allocated in the current context.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "matrix/matrix.h"

#define FIRST_CAPACITY 16

/* Bytes per item, in a value and in a builder alike. */
static Size
item_size(int num_factors)
{
	return sizeof(int64) + ((Size) num_factors + 1) * sizeof(float);
}

static int32
max_items(int num_factors)
{
	return (MaxAllocSize - offsetof(FmMatrix, ids)) / item_size(num_factors);
}

Size
fm_matrix_size(int64 num_items, int num_factors)
{
	if (num_items > max_items(num_factors))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("fm_matrix of %lld items with %d factors is too large",
							   (long long) num_items, num_factors),
						errdetail("One value holds at most %d items with %d factors.",
								  max_items(num_factors), num_factors),
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

FmMatrixBuilder *
fm_matrix_builder_create(MemoryContext context, int num_factors)
{
	FmMatrixBuilder *builder = MemoryContextAllocZero(context, sizeof(FmMatrixBuilder));
	Size row_size = ((Size) num_factors + 1) * sizeof(float);

	builder->context = context;
	builder->num_factors = num_factors;
	builder->capacity = FIRST_CAPACITY;
	builder->ids = MemoryContextAlloc(context, FIRST_CAPACITY * sizeof(int64));
	builder->vectors = MemoryContextAlloc(context, FIRST_CAPACITY * row_size);
	return builder;
}

/*
 * Room for so many items. A capacity never exceeds what one value may hold, because more would be
 * an error in the end anyway; so neither array ever needs a huge allocation.
 */
static void
builder_reserve(FmMatrixBuilder *builder, int64 num_items)
{
	Size row_size = ((Size) builder->num_factors + 1) * sizeof(float);
	int64 capacity = builder->capacity;

	if (num_items <= capacity)
		return;
	(void) fm_matrix_size(num_items, builder->num_factors);
	while (capacity < num_items)
		capacity *= 2;
	capacity = Min(capacity, max_items(builder->num_factors));
	builder->ids = repalloc(builder->ids, capacity * sizeof(int64));
	builder->vectors = repalloc(builder->vectors, capacity * row_size);
	builder->capacity = capacity;
}

void
fm_matrix_builder_add(FmMatrixBuilder *builder, int32 count, const int64 *ids, const float *rows)
{
	Size row_length = (Size) builder->num_factors + 1;

	builder_reserve(builder, (int64) builder->num_items + count);
	memcpy(builder->ids + builder->num_items, ids, count * sizeof(int64));
	memcpy(builder->vectors + builder->num_items * row_length, rows,
		   count * row_length * sizeof(float));
	builder->num_items += count;
}

typedef struct IdPosition
{
	int64 id;
	int32 position; /* in the builder */
} IdPosition;

static int
compare_ids(const void *a, const void *b)
{
	int64 left = ((const IdPosition *) a)->id;
	int64 right = ((const IdPosition *) b)->id;

	CHECK_FOR_INTERRUPTS();
	return left < right ? -1 : left > right;
}

/* The builder's items by ascending id. */
static IdPosition *
sort_items(const FmMatrixBuilder *builder)
{
	IdPosition *sorted = palloc_extended((Size) builder->num_items * sizeof(IdPosition),
										 MCXT_ALLOC_HUGE);

	for (int32 i = 0; i < builder->num_items; i++)
		sorted[i] = (IdPosition){builder->ids[i], i};
	qsort(sorted, builder->num_items, sizeof(IdPosition), compare_ids);
	for (int32 i = 1; i < builder->num_items; i++)
		if (sorted[i].id == sorted[i - 1].id)
			ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
							errmsg("item id %lld occurs more than once in an fm_matrix",
								   (long long) sorted[i].id),
							errhint("Aggregate one row per item.")));
	return sorted;
}

FmMatrix *
fm_matrix_build(const FmMatrixBuilder *builder)
{
	FmMatrix *matrix = fm_matrix_create(builder->num_items, builder->num_factors);
	Size row_length = (Size) builder->num_factors + 1;
	IdPosition *sorted = sort_items(builder);

	for (int32 i = 0; i < builder->num_items; i++)
	{
		CHECK_FOR_INTERRUPTS();
		matrix->ids[i] = sorted[i].id;
		memcpy(fm_matrix_vector(matrix, i), builder->vectors + sorted[i].position * row_length,
			   row_length * sizeof(float));
	}
	pfree(sorted);
	return matrix;
}

static int
mention_item(const int64 *item_id)
{
	return item_id != NULL ? errdetail("The item id is %lld.", (long long) *item_id) : 0;
}

const float *
fm_vector_elements(ArrayType *array, const char *name, const int64 *item_id, int *length)
{
	const float *elements = (const float *) ARR_DATA_PTR(array);

	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("%s must have one dimension, not %d", name, ARR_NDIM(array)),
						mention_item(item_id)));
	if (array_contains_nulls(array))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s must not contain NULLs", name), mention_item(item_id)));
	*length = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
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
