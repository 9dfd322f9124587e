/*
 * The rows of one version: users, items and matrix blocks.
 *
 * Rows are collected in a tuplestore, which an INSERT ... SELECT then reads (pg/sql_input.h). That
 * takes one statement for a million rows, and respects what the owner of the table has put on it:
 * triggers, partitions, constraints. Memory: one row
 * at a time has a context of its own; the tuplestore spills to disk beyond work_mem. Locking: the
 * statements' own. A new version is invisible until the registry points at it, so no reader waits.
 */
#include "store/version_rows.h"

#include "catalog/pg_type.h"
#include "pg/real_array.h"
#include "pg/sql.h"
#include "pg/sql_input.h"
#include "store/levels.h"
#include "utils/memutils.h"

#define MATRIX_BLOCK_ITEMS 8192

/* The columns of an entity table, without the version. */
enum
{
	ENTITY_IDX,
	ENTITY_ID,
	ENTITY_W,
	ENTITY_V,
	ENTITY_DIGEST,
	NUM_ENTITY_COLUMNS
};

/* What goes into one entity table. */
typedef struct EntityRows
{
	Oid table;
	const char *id_column;
	const FmIdMap *ids;
	const int32 *order;		/* idx → index in ids */
	const int32 *canonical; /* idx → row of w and v; NULL: they are the same */
	const float *w;
	const float *v;
	const int64 *digest; /* by idx */
	int num_factors;
} EntityRows;

/*
 * Describe the rows. The id has the type that the ratings have; that of the table may be narrower.
 */
static TupleDesc
entity_row_desc(const FmIdType *id_type, const char *id_column)
{
	TupleDesc desc = CreateTemplateTupleDesc(NUM_ENTITY_COLUMNS);

	TupleDescInitEntry(desc, ENTITY_IDX + 1, "idx", INT4OID, -1, 0);
	TupleDescInitEntry(desc, ENTITY_ID + 1, id_column, id_type->type, id_type->typmod, 0);
	TupleDescInitEntryCollation(desc, ENTITY_ID + 1, id_type->collation);
	TupleDescInitEntry(desc, ENTITY_W + 1, "w", FLOAT4OID, -1, 0);
	TupleDescInitEntry(desc, ENTITY_V + 1, "v", FLOAT4ARRAYOID, -1, 0);
	TupleDescInitEntry(desc, ENTITY_DIGEST + 1, "digest", INT8OID, -1, 0);
	return desc;
}

static Tuplestorestate *
put_entity_rows(const EntityRows *rows, TupleDesc desc)
{
	Tuplestorestate *store = tuplestore_begin_heap(true, false, work_mem);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx row",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(row_context);
	bool nulls[NUM_ENTITY_COLUMNS] = {false};

	for (int32 idx = 0; idx < fm_idmap_count(rows->ids); idx++)
	{
		int64 row = rows->canonical == NULL ? idx : rows->canonical[idx];
		Datum values[NUM_ENTITY_COLUMNS];

		values[ENTITY_IDX] = Int32GetDatum(idx);
		values[ENTITY_ID] = fm_idmap_id(rows->ids, rows->order[idx]);
		values[ENTITY_W] = Float4GetDatum(rows->w[row]);
		values[ENTITY_V] = fm_real_array(rows->v + row * rows->num_factors, rows->num_factors);
		values[ENTITY_DIGEST] = Int64GetDatum(rows->digest[idx]);
		tuplestore_putvalues(store, desc, values, nulls);
		MemoryContextReset(row_context);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(row_context);
	return store;
}

static void
insert_entity_rows(const EntityRows *rows, const FmSqlParameters *version)
{
	TupleDesc desc = entity_row_desc(fm_idmap_type(rows->ids), rows->id_column);
	FmInput input = {"new_rows", desc, put_entity_rows(rows, desc), fm_idmap_count(rows->ids)};
	FmInputWay way = fm_input_way(rows->table);
	char *columns = psprintf("idx, %s, w, v, digest", rows->id_column);

	fm_input_run(psprintf("INSERT INTO %s (version, %s) SELECT $1, %s FROM %s n",
						  fm_relation_sql(rows->table), columns, columns,
						  fm_input_sql(&input, way, version->count)),
				 version, &input, way);
	tuplestore_end(input.store);
}

static void
insert_matrix(const FmModel *model, const FmSqlParameters *version)
{
	fm_sql_run(psprintf("INSERT INTO %s (version, block, matrix) "
						"SELECT $1, idx / %d, %s(idx, v, w) FROM %s WHERE version = $1 GROUP BY 2",
						fm_relation_sql(model->matrix_table), MATRIX_BLOCK_ITEMS,
						fm_qualified_sql(model->extension_schema, "fm_matrix_agg"),
						fm_relation_sql(model->item_table)),
			   version, false);
}

void
fm_store_version_rows(FmModel *model, const FmResult *result)
{
	const FmParameters *parameters = result->parameters;
	const FmTrainingData *data = result->data;
	EntityRows users = {model->user_table,		"user_id",
						data->ratings->users,	data->user_order,
						result->user_canonical, parameters->user_w,
						parameters->user_v,		result->digest[FM_USERS],
						parameters->num_factors};
	EntityRows items = {model->item_table,		"item_id",
						data->ratings->items,	data->item_order,
						result->item_canonical, parameters->item_w,
						parameters->item_v,		result->digest[FM_ITEMS],
						parameters->num_factors};
	FmSqlParameters version = {0};

	fm_add_integer(&version, result->version.number);
	insert_entity_rows(&users, &version);
	insert_entity_rows(&items, &version);
	fm_store_levels(model, result);
	insert_matrix(model, &version);
}
