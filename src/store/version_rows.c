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
#include "pg/sql_rows.h"
#include "store/levels.h"
#include "store/tables.h"
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
	ENTITY_INTEREST_W,
	ENTITY_INTEREST_V,
	ENTITY_POPULARITY,
	MAX_ENTITY_COLUMNS
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
	const float *interest_w; /* NULL, as the next: there is no interest head */
	const float *interest_v;
	int interest_factors;
	const float *popularity; /* or NULL */
} EntityRows;

/* Return whether the rows have a column. The last ones are optional. */
static bool
has_column(const EntityRows *rows, int column)
{
	if (column == ENTITY_INTEREST_W || column == ENTITY_INTEREST_V)
		return rows->interest_v != NULL;
	return column != ENTITY_POPULARITY || rows->popularity != NULL;
}

/*
 * Describe the rows, and append the names of their columns. The id has the type that the ratings
 * have; that of the table may be narrower.
 */
static TupleDesc
entity_row_desc(const EntityRows *rows, StringInfo names)
{
	const FmIdType *id_type = fm_idmap_type(rows->ids);
	const FmColumn columns[MAX_ENTITY_COLUMNS] = {[ENTITY_IDX] = {"idx", INT4OID},
												  [ENTITY_ID] = {rows->id_column, id_type->type},
												  [ENTITY_W] = {"w", FLOAT4OID},
												  [ENTITY_V] = {"v", FLOAT4ARRAYOID},
												  [ENTITY_DIGEST] = {"digest", INT8OID},
												  [ENTITY_INTEREST_W] = {"interest_w", FLOAT4OID},
												  [ENTITY_INTEREST_V] = {"interest_v",
																		 FLOAT4ARRAYOID},
												  [ENTITY_POPULARITY] = {"popularity", FLOAT4OID}};
	int num_columns = 0;
	TupleDesc desc;

	for (int c = 0; c < MAX_ENTITY_COLUMNS; c++)
		num_columns += has_column(rows, c);
	desc = CreateTemplateTupleDesc(num_columns);
	num_columns = 0;
	for (int c = 0; c < MAX_ENTITY_COLUMNS; c++)
	{
		if (!has_column(rows, c))
			continue;
		TupleDescInitEntry(desc, (AttrNumber) ++num_columns, columns[c].sql, columns[c].type,
						   c == ENTITY_ID ? id_type->typmod : -1, 0);
		appendStringInfo(names, "%s%s", c > 0 ? ", " : "", columns[c].sql);
	}
	TupleDescInitEntryCollation(desc, ENTITY_ID + 1, id_type->collation);
	return desc;
}

/* Set the values of a row, by idx. */
static void
set_entity_values(const EntityRows *rows, int32 idx, Datum *values)
{
	int64 row = rows->canonical == NULL ? idx : rows->canonical[idx];

	*values++ = Int32GetDatum(idx);
	*values++ = fm_idmap_id(rows->ids, rows->order[idx]);
	*values++ = Float4GetDatum(rows->w[row]);
	*values++ = fm_real_array(rows->v + row * rows->num_factors, rows->num_factors);
	*values++ = Int64GetDatum(rows->digest[idx]);
	if (rows->interest_v != NULL)
	{
		*values++ = Float4GetDatum(rows->interest_w[row]);
		*values++ = fm_real_array(rows->interest_v + row * rows->interest_factors,
								  rows->interest_factors);
	}
	if (rows->popularity != NULL)
		*values++ = Float4GetDatum(rows->popularity[row]);
}

static Tuplestorestate *
put_entity_rows(const EntityRows *rows, TupleDesc desc)
{
	Tuplestorestate *store = tuplestore_begin_heap(true, false, work_mem);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx row",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(row_context);
	bool nulls[MAX_ENTITY_COLUMNS] = {false};

	for (int32 idx = 0; idx < fm_idmap_count(rows->ids); idx++)
	{
		Datum values[MAX_ENTITY_COLUMNS];

		set_entity_values(rows, idx, values);
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
	StringInfoData columns;
	TupleDesc desc;
	FmInput input;
	FmInputWay way = fm_input_way(rows->table);

	initStringInfo(&columns);
	desc = entity_row_desc(rows, &columns);
	input = (FmInput){"new_rows", desc, put_entity_rows(rows, desc), fm_idmap_count(rows->ids)};
	fm_input_run(psprintf("INSERT INTO %s (version, %s) SELECT $1, %s FROM %s n",
						  fm_relation_sql(rows->table), columns.data, columns.data,
						  fm_input_sql(&input, way, version->count)),
				 version, &input, way);
	tuplestore_end(input.store);
}

/* Build the matrix from the items that have been inserted. */
static void
insert_matrix(const FmModel *model, const FmVersion *version)
{
	FmSqlParameters parameters = {0};
	bool has_interest = version->interest_factors > 0;
	const char *vector = psprintf("%s(v, w, %s, %s, $2, $3)",
								  fm_qualified_sql(model->extension_schema, "fm_list_vector"),
								  has_interest ? "interest_v" : "NULL",
								  version->has_popularity ? "popularity" : "NULL");

	fm_add_integer(&parameters, version->number);
	fm_add_double(&parameters, version->rating_share);
	fm_add_double(&parameters, version->novelty_unit);
	fm_sql_run(
		psprintf("INSERT INTO %s (version, block, matrix) "
				 "SELECT $1, idx / %d, %s(idx, %s, %s) FROM %s WHERE version = $1 GROUP BY 2",
				 fm_relation_sql(model->matrix_table), MATRIX_BLOCK_ITEMS,
				 fm_qualified_sql(model->extension_schema, "fm_matrix_agg"), vector,
				 has_interest ? "interest_w" : "w", fm_relation_sql(model->item_table)),
		&parameters, false);
}

/* Describe the rows of one side. */
static EntityRows
rows_of_side(const FmModel *model, const FmResult *result, int side)
{
	const FmParameters *parameters = result->parameters, *interest = result->interest;
	const FmTrainingData *data = result->data;
	bool is_user = side == FM_USERS;
	EntityRows rows = {.table = is_user ? model->user_table : model->item_table,
					   .id_column = is_user ? "user_id" : "item_id",
					   .ids = is_user ? data->ratings->users : data->ratings->items,
					   .order = is_user ? data->user_order : data->item_order,
					   .canonical = is_user ? result->user_canonical : result->item_canonical,
					   .w = is_user ? parameters->user_w : parameters->item_w,
					   .v = is_user ? parameters->user_v : parameters->item_v,
					   .digest = result->digest[side],
					   .num_factors = parameters->num_factors,
					   .popularity = is_user ? NULL : result->popularity};

	if (interest != NULL)
	{
		rows.interest_w = is_user ? interest->user_w : interest->item_w;
		rows.interest_v = is_user ? interest->user_v : interest->item_v;
		rows.interest_factors = interest->num_factors;
	}
	return rows;
}

void
fm_store_version_rows(FmModel *model, const FmResult *result)
{
	EntityRows users = rows_of_side(model, result, FM_USERS);
	EntityRows items = rows_of_side(model, result, FM_ITEMS);
	FmSqlParameters version = {0};

	fm_store_add_columns(model);
	fm_add_integer(&version, result->version.number);
	insert_entity_rows(&users, &version);
	insert_entity_rows(&items, &version);
	fm_store_levels(model, result);
	insert_matrix(model, &result->version);
}
