/*
 * The builder of values of type fm_matrix.
 *
 * Memory: a builder lives in the context that it is created in and is freed with it. A value is
 * allocated in the current context.
 */
#include "matrix/matrix_build.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#define FIRST_CAPACITY 16

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
 * Make room for a number of items. The capacity never exceeds what one value can hold, because more
 * would be an error in the end, so neither array needs a huge allocation.
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
	capacity = Min(capacity, fm_matrix_max_items(builder->num_factors));
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

/* Return the builder's items, sorted by id. */
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
