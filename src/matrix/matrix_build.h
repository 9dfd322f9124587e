/*
 * The builder of values of type fm_matrix: items in any order.
 */
#ifndef FMTOPX_MATRIX_BUILD_H
#define FMTOPX_MATRIX_BUILD_H

#include "matrix/matrix.h"

/* Items in the order in which they are added. */
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

/* Add items: finite rows of num_factors + 1 floats. */
extern void fm_matrix_builder_add(FmMatrixBuilder *builder, int32 count, const int64 *ids,
								  const float *rows);

/*
 * Make the value, sorted by id, in the current context. Does not change the builder. A duplicate id
 * is an error.
 */
extern FmMatrix *fm_matrix_build(const FmMatrixBuilder *builder);

#endif
