/*
 * Rows that an SQL statement reads from memory: a tuplestore in place of a table.
 *
 * As a relation, the rows stand in one statement, whose cost does not depend on how they are
 * passed. As arrays, each chunk of rows is a statement of its own:
 *
 *     ... FROM (SELECT u.a, u.b, ($3)[(u.n - 1) * $4 + 1 : u.n * $4] AS v
 *               FROM unnest($1, $2) WITH ORDINALITY AS u (a, b, n)) alias
 *
 * unnest() would flatten an array of arrays, so the arrays of a column v of type real[] are passed
 * end to end, and each row takes its slice.
 *
 * Memory: a context for each chunk. The caller owns the tuplestore.
 */
#include "pg/sql_input.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "pg/bare_scan.h"
#include "pg/real_array.h"
#include "pg/sql.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"

#define CHUNK_ROWS 10000

FmInputWay
fm_input_way(Oid table)
{
	return get_rel_relkind(table) == RELKIND_RELATION && fm_is_bare_scan(table, NULL, 0)
			   ? FM_INPUT_RELATION
			   : FM_INPUT_ARRAYS;
}

static bool
is_vector(const FmInput *input, int column)
{
	return TupleDescAttr(input->desc, column)->atttypid == FLOAT4ARRAYOID;
}

static const char *
column_sql(const FmInput *input, int column)
{
	return quote_identifier(NameStr(TupleDescAttr(input->desc, column)->attname));
}

char *
fm_input_sql(const FmInput *input, FmInputWay way, int num_own_parameters)
{
	StringInfoData columns, arrays, names;
	int parameter = num_own_parameters;

	if (way == FM_INPUT_RELATION)
		return pstrdup(input->name);
	initStringInfo(&columns);
	initStringInfo(&arrays);
	initStringInfo(&names);
	for (int i = 0; i < input->desc->natts; i++)
	{
		const char *name = column_sql(input, i);

		if (is_vector(input, i))
		{
			appendStringInfo(&columns,
							 "($%d)[(u.n::integer - 1) * $%d + 1 : u.n::integer * $%d] AS %s, ",
							 parameter + 1, parameter + 2, parameter + 2, name);
			parameter += 2;
			continue;
		}
		appendStringInfo(&columns, "u.%s, ", name);
		appendStringInfo(&arrays, "%s$%d", arrays.len > 0 ? ", " : "", ++parameter);
		appendStringInfo(&names, "%s, ", name);
	}
	return psprintf("(SELECT %su.n FROM unnest(%s) WITH ORDINALITY AS u (%sn))", columns.data,
					arrays.data, names.data);
}

/* The rows of one chunk, column by column */
typedef struct Chunk
{
	int64 count;
	ArrayBuildState **arrays;
	float **vectors; /* end to end */
	int *lengths;	 /* of each vector of a column */
} Chunk;

static void
add_vector(Chunk *chunk, int column, Datum value)
{
	ArrayType *vector = DatumGetArrayTypeP(value);
	int length = ArrayGetNItems(ARR_NDIM(vector), ARR_DIMS(vector));

	if (chunk->vectors[column] == NULL)
	{
		chunk->lengths[column] = length;
		chunk->vectors[column] = MemoryContextAllocHuge(CurrentMemoryContext,
														mul_size(CHUNK_ROWS,
																 (length + 1) * sizeof(float)));
	}
	fm_read_real_array(value, chunk->lengths[column], "a row's vector",
					   chunk->vectors[column] + (Size) chunk->count * chunk->lengths[column]);
}

static void
add_row(const FmInput *input, Chunk *chunk, TupleTableSlot *slot)
{
	slot_getallattrs(slot);
	for (int i = 0; i < input->desc->natts; i++)
		if (is_vector(input, i))
			add_vector(chunk, i, slot->tts_values[i]);
		else
			chunk->arrays[i] = accumArrayResult(chunk->arrays[i], slot->tts_values[i],
												slot->tts_isnull[i],
												TupleDescAttr(input->desc, i)->atttypid,
												CurrentMemoryContext);
	chunk->count++;
}

static void
add_arrays(const FmInput *input, const Chunk *chunk, FmSqlParameters *parameters)
{
	for (int i = 0; i < input->desc->natts; i++)
		if (is_vector(input, i))
		{
			fm_add_parameter(parameters, FLOAT4ARRAYOID,
							 fm_real_array(chunk->vectors[i],
										   (int) chunk->count * chunk->lengths[i]),
							 false);
			fm_add_integer(parameters, chunk->lengths[i]);
		}
		else
			fm_add_parameter(parameters, get_array_type(TupleDescAttr(input->desc, i)->atttypid),
							 makeArrayResult(chunk->arrays[i], CurrentMemoryContext), false);
}

/* Run the statement for the next rows; false after the last. */
static bool
run_chunk(const char *sql, const FmSqlParameters *own, const FmInput *input, TupleTableSlot *slot)
{
	FmSqlParameters parameters = {0};
	Chunk chunk = {0};

	chunk.arrays = palloc0(input->desc->natts * sizeof(ArrayBuildState *));
	chunk.vectors = palloc0(input->desc->natts * sizeof(float *));
	chunk.lengths = palloc0(input->desc->natts * sizeof(int));
	while (chunk.count < CHUNK_ROWS && tuplestore_gettupleslot(input->store, true, false, slot))
		add_row(input, &chunk, slot);
	if (chunk.count == 0)
		return false;
	if (own != NULL)
		parameters = *own;
	add_arrays(input, &chunk, &parameters);
	fm_sql_run(sql, &parameters, false);
	return chunk.count == CHUNK_ROWS;
}

static void
run_chunks(const char *sql, const FmSqlParameters *own, const FmInput *input)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(input->desc, &TTSOpsMinimalTuple);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx chunk of rows",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);

	tuplestore_rescan(input->store);
	while (run_chunk(sql, own, input, slot))
		MemoryContextReset(context);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	ExecDropSingleTupleTableSlot(slot);
}

static void
register_rows(const FmInput *input)
{
	EphemeralNamedRelation rows = palloc0(sizeof(EphemeralNamedRelationData));

	rows->md.name = pstrdup(input->name);
	rows->md.reliddesc = InvalidOid;
	rows->md.tupdesc = input->desc;
	rows->md.enrtype = ENR_NAMED_TUPLESTORE;
	rows->md.enrtuples = (double) input->count;
	rows->reldata = input->store;
	if (SPI_register_relation(rows) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register relation \"%s\"", input->name);
}

void
fm_input_run(const char *sql, const FmSqlParameters *own, const FmInput *input, FmInputWay way)
{
	if (way == FM_INPUT_ARRAYS)
	{
		run_chunks(sql, own, input);
		return;
	}
	register_rows(input);
	fm_sql_run(sql, own, false);
	SPI_unregister_relation(input->name);
}
