/*
 * The users and items of an import: their ids, and their w and v.
 *
 * Rows come in any order; the result is in that of the ids (idx). Locking: AccessShareLock by the
 * queries. Memory: the current context.
 */
#include "exchange/import_rows.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "pg/sql.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

static const char *const relation_names[] = {[FM_USERS] = "users", [FM_ITEMS] = "items"};
static const char *const column_names[] = {[FM_USERS] = "user_column", [FM_ITEMS] = "item_column"};

/* The columns of a query. */
enum
{
	COL_ID,
	COL_ROW,
	COL_VECTOR = COL_ROW,
	COL_BIAS,
	MAX_COLUMNS
};

/* What is read of one relation. */
typedef struct Reading
{
	FmImport *import;
	const char *relation;
	const char *names[MAX_COLUMNS]; /* of its columns */
	FmIdMap *ids;
	int32 capacity;
	int32 *row; /* of a file, by index in ids */
	int32 num_rows;
	bool *taken;	 /* which rows of the file have an id; of both relations */
	int num_factors; /* of arrays; 0: not known yet */
	bool has_bias;
	float *w; /* of arrays, by index in ids */
	float *v;
} Reading;

void
fm_import_id_types(FmImport *import, const FmImportRelations *relations)
{
	for (int side = 0; side < 2; side++)
	{
		Oid relation = relations->relation[side];

		if (get_rel_name(relation) == NULL)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
							errmsg("the %s relation (OID %u) does not exist", relation_names[side],
								   relation)));
		fm_id_type_of_column(relation,
							 fm_column_number(relation, relations->id_column[side],
											  column_names[side]),
							 &import->id_type[side]);
	}
}

/* Add an id of a row; an error if it is NULL or comes again. Return its index. */
static int32
add_id(Reading *reading, const FmRow *row, int num_columns)
{
	int32 index;

	for (int column = 0; column < num_columns; column++)
		if (fm_row_is_null(row, column))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("relation \"%s\" has a row with NULL in column \"%s\"",
								   reading->relation, reading->names[column])));
	index = fm_idmap_count(reading->ids);
	if (fm_idmap_intern(reading->ids, fm_row_value(row, COL_ID)) != index)
	{
		FmIdType type = *fm_idmap_type(reading->ids);

		ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
						errmsg("relation \"%s\" has the id %s twice", reading->relation,
							   fm_id_text(&type, fm_row_value(row, COL_ID)))));
	}
	return index;
}

/* FmRowReader: whose a row of the file is. */
static bool
read_mapped(void *state, const FmRow *row)
{
	Reading *reading = state;
	int32 index = add_id(reading, row, COL_ROW + 1);
	int64 number = fm_row_bigint(row, COL_ROW);

	if (number < 0 || number >= reading->num_rows)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("relation \"%s\" names row %lld, but the model has rows 0 to %d",
							   reading->relation, (long long) number, reading->num_rows - 1)));
	if (reading->taken[number])
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("relation \"%s\" names row %lld, which is that of another user or item",
						reading->relation, (long long) number)));
	reading->taken[number] = true;
	if (index == reading->capacity)
	{
		reading->capacity *= 2;
		reading->row = repalloc_huge(reading->row, reading->capacity * sizeof(int32));
	}
	reading->row[index] = (int32) number;
	return true;
}

/* Take the length of the arrays from the first. */
static void
begin_vectors(Reading *reading, Datum first)
{
	ArrayType *array = DatumGetArrayTypeP(first);
	int length = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (length < FM_MIN_FACTORS || length > FM_MAX_FACTORS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("relation \"%s\" has an array of %d elements", reading->relation, length),
				 errdetail("A model has %d to %d factors.", FM_MIN_FACTORS, FM_MAX_FACTORS)));
	reading->num_factors = length;
}

/* Copy an array, which must have as many elements as the first, all finite. */
static void
copy_vector(const Reading *reading, Datum vector, float *to)
{
	ArrayType *array = DatumGetArrayTypeP(vector);
	const float *from = (const float *) ARR_DATA_PTR(array);

	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] != reading->num_factors || ARR_HASNULL(array))
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("relation \"%s\" has an array that is not of %d numbers",
							   reading->relation, reading->num_factors)));
	for (int f = 0; f < reading->num_factors; f++)
	{
		if (!isfinite(from[f]))
			ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							errmsg("relation \"%s\" has an array with the number %g",
								   reading->relation, from[f])));
		to[f] = from[f];
	}
}

/* FmRowReader: an array, and perhaps a bias. */
static bool
read_vector(void *state, const FmRow *row)
{
	Reading *reading = state;
	int32 index = add_id(reading, row, reading->has_bias ? COL_BIAS + 1 : COL_VECTOR + 1);

	if (reading->num_factors == 0)
		begin_vectors(reading, fm_row_value(row, COL_VECTOR));
	if (reading->v == NULL || index == reading->capacity)
	{
		MemoryContext context = GetMemoryChunkContext(reading->w);
		Size size;

		reading->capacity *= 2;
		size = (Size) reading->capacity * reading->num_factors * sizeof(float);
		reading->w = repalloc_huge(reading->w, reading->capacity * sizeof(float));
		reading->v = reading->v == NULL ? MemoryContextAllocHuge(context, size)
										: repalloc_huge(reading->v, size);
	}
	copy_vector(reading, fm_row_value(row, COL_VECTOR),
				reading->v + (Size) index * reading->num_factors);
	reading->w[index] = reading->has_bias ? fm_row_real(row, COL_BIAS) : 0;
	if (!isfinite(reading->w[index]))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("relation \"%s\" has a bias that is not finite", reading->relation)));
	return true;
}

/* Return a column as another type, which ordinary casts lead to. */
static FmColumn
cast_column(Oid relation, const char *column, const char *option, const char *type, Oid type_oid)
{
	(void) fm_column_number(relation, column, option);
	return (FmColumn){psprintf("r.%s::pg_catalog.%s", quote_identifier(column), type), type_oid};
}

/* Read one relation. */
static void
read_relation(Reading *reading, const FmImportRelations *relations, int side, FmColumn *columns,
			  int num_columns, FmRowReader reader)
{
	FmImport *import = reading->import;
	Oid relation = relations->relation[side];

	reading->relation = get_rel_name(relation);
	reading->names[COL_ID] = relations->id_column[side];
	reading->ids = fm_idmap_create(&import->id_type[side], CurrentMemoryContext);
	reading->capacity = 1024;
	columns[COL_ID] = (FmColumn){psprintf("r.%s", quote_identifier(relations->id_column[side])),
								 import->id_type[side].type};
	fm_sql_scan(psprintf("SELECT %s FROM %s r", fm_select_list(columns, num_columns),
						 fm_relation_sql(relation)),
				NULL, false, columns, num_columns, reader, reading);
	if (fm_idmap_count(reading->ids) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("relation \"%s\" has no %s", reading->relation, relation_names[side])));
	import->ids[side] = reading->ids;
	import->order[side] = fm_idmap_order(reading->ids);
}

/* Allocate the w and v of one side, by idx. */
static void
begin_side(FmImport *import, int side, float **w, float **v)
{
	Size count = fm_idmap_count(import->ids[side]);
	const FmHost *host = import->host;

	*w = host->alloc(host->ctx, count, sizeof(float));
	*v = host->alloc(host->ctx, count * import->parameters.num_factors, sizeof(float));
	if (side == FM_USERS)
	{
		import->parameters.user_w = *w;
		import->parameters.user_v = *v;
	}
	else
	{
		import->parameters.item_w = *w;
		import->parameters.item_v = *v;
	}
}

/* Copy w and v of one side from rows, given by index in ids. */
static void
copy_side(FmImport *import, int side, const int32 *row, const float *from_w, const float *from_v)
{
	Size k = import->parameters.num_factors;
	float *w, *v;

	begin_side(import, side, &w, &v);
	for (int32 idx = 0; idx < fm_idmap_count(import->ids[side]); idx++)
	{
		int32 index = import->order[side][idx];
		Size from = row != NULL ? row[index] : index;

		w[idx] = from_w[from];
		memcpy(v + idx * k, from_v + from * k, k * sizeof(float));
	}
}

void
fm_import_mapped(FmImport *import, const FmImportRelations *relations, const FmImported *file)
{
	bool *taken = MemoryContextAllocExtended(CurrentMemoryContext, file->num_rows,
											 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	int32 others = file->num_rows;

	import->parameters.num_factors = file->num_factors;
	for (int side = 0; side < 2; side++)
	{
		Reading reading = {.import = import, .num_rows = file->num_rows, .taken = taken};
		FmColumn columns[MAX_COLUMNS] = {[COL_ROW] = cast_column(relations->relation[side],
																 relations->row_column,
																 "row_column", "int8", INT8OID)};

		reading.names[COL_ROW] = relations->row_column;
		reading.row = palloc(1024 * sizeof(int32));
		read_relation(&reading, relations, side, columns, COL_ROW + 1, read_mapped);
		copy_side(import, side, reading.row, file->w, file->v);
		others -= fm_idmap_count(reading.ids);
	}
	if (others > 0 && !relations->ignore_others)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg_plural("%d row of the model is neither a user nor an item",
							   "%d rows of the model are neither users nor items", others, others),
				 errhint("If they are other features, ignore_others => true leaves them out.")));
}

void
fm_import_vectors(FmImport *import, const FmImportRelations *relations)
{
	bool any_bias = relations->bias_column == NULL;

	for (int side = 0; side < 2; side++)
	{
		Oid relation = relations->relation[side];
		Reading reading = {.import = import, .num_factors = import->parameters.num_factors};
		FmColumn columns[MAX_COLUMNS] = {
			[COL_VECTOR] = cast_column(relation, relations->vector_column, "vector_column",
									   "float4[]", FLOAT4ARRAYOID)};

		reading.has_bias = relations->bias_column != NULL &&
						   get_attnum(relation, relations->bias_column) > 0;
		if (reading.has_bias)
			columns[COL_BIAS] = cast_column(relation, relations->bias_column, "bias_column",
											"float4", FLOAT4OID);
		any_bias = any_bias || reading.has_bias;
		reading.names[COL_VECTOR] = relations->vector_column;
		reading.names[COL_BIAS] = relations->bias_column;
		reading.w = palloc(1024 * sizeof(float));
		read_relation(&reading, relations, side, columns,
					  reading.has_bias ? COL_BIAS + 1 : COL_VECTOR + 1, read_vector);
		import->parameters.num_factors = reading.num_factors;
		copy_side(import, side, NULL, reading.w, reading.v);
	}
	if (!any_bias)
		(void) fm_column_number(relations->relation[FM_ITEMS], relations->bias_column,
								"bias_column");
}
