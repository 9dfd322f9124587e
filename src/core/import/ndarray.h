/*
 * Lists of named arrays as MXNet saves them.
 */
#ifndef FMTOPX_CORE_NDARRAY_H
#define FMTOPX_CORE_NDARRAY_H

#include "core/import/reader.h"

#define FM_ARRAY_MAX_DIMS 32

/* The types of elements, by their numbers in the file. */
typedef enum FmArrayType
{
	FM_ARRAY_FLOAT32,
	FM_ARRAY_FLOAT64,
	FM_ARRAY_FLOAT16,
	FM_ARRAY_UINT8,
	FM_ARRAY_INT32,
	FM_ARRAY_INT8,
	FM_ARRAY_INT64,
	FM_ARRAY_BOOL,
	FM_ARRAY_INT16,
	FM_ARRAY_UINT16,
	FM_ARRAY_UINT32,
	FM_ARRAY_UINT64,
	FM_ARRAY_BFLOAT16
} FmArrayType;

/* An array; its bytes are those of the file. */
typedef struct FmArray
{
	FmBytes name; /* empty: the list has no names */
	bool is_none; /* there is nothing but a name */
	FmArrayType type;
	int num_dims; /* 0: one number */
	int64_t dim[FM_ARRAY_MAX_DIMS];
	FmBytes data;

	/* of a row_sparse array: which of its rows the data has, ascending; the others are zero */
	bool is_sparse;
	int64_t num_stored;
	FmArrayType index_type;
	FmBytes index;
} FmArray;

typedef struct FmArrayList
{
	int count;
	FmArray *array; /* from the host */
} FmArrayList;

extern bool fm_is_array_list(FmBytes bytes);

/* Read a list. All lengths are checked, and so are the indices of rows. */
extern void fm_read_array_list(const FmImporting *importing, FmBytes bytes, FmArrayList *list);

/* Return an element of the data, by its place. */
extern double fm_array_number(const FmArray *array, size_t place);

/* Return which row the data has at a place; of an array that is not sparse, the place itself. */
extern int64_t fm_array_row(const FmArray *array, int64_t place);

#endif
