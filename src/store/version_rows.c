/*
 * A model's tables: made once, filled a version at a time.
 *
 * Rows go in by INSERT … SELECT from a tuplestore that stands in the statement as a relation (the
 * mechanism of transition tables), so that whatever the tables' owner has put on them (triggers,
 * partitions, constraints) is honoured, at the price of one statement for a million rows.
 * Locking: the statements' own; a new version is invisible until the registry points at it, and no
 * reader waits.
 */
#include "store/version_rows.h"

#include "catalog/pg_type.h"
#include "pg/real_array.h"
#include "pg/sql.h"
#include "store/levels.h"
#include "utils/builtins.h"

#define MATRIX_BLOCK_ITEMS 8192

/*
 * The rows of one entity table: idx, id as the ratings type it (the table may be narrower), w, v,
 * digest.
 */
static TupleDesc
entity_row_desc(const FmIdType *id_type, const char *id_column)
{
	TupleDesc desc = CreateTemplateTupleDesc(5);

	TupleDescInitEntry(desc, 1, "idx", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 2, id_column, id_type->type, id_type->typmod, 0);
	TupleDescInitEntryCollation(desc, 2, id_type->collation);
	TupleDescInitEntry(desc, 3, "w", FLOAT4OID, -1, 0);
	TupleDescInitEntry(desc, 4, "v", FLOAT4ARRAYOID, -1, 0);
	TupleDescInitEntry(desc, 5, "digest", INT8OID, -1, 0);
	return desc;
}

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

static Tuplestorestate *
put_entity_rows(const EntityRows *rows, TupleDesc desc)
{
	Tuplestorestate *store = tuplestore_begin_heap(true, false, work_mem);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx row",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(row_context);
	bool nulls[5] = {false};

	for (int32 idx = 0; idx < fm_idmap_count(rows->ids); idx++)
	{
		int64 row = rows->canonical == NULL ? idx : rows->canonical[idx];
		Datum values[5];

		values[0] = Int32GetDatum(idx);
		values[1] = fm_idmap_id(rows->ids, rows->order[idx]);
		values[2] = Float4GetDatum(rows->w[row]);
		values[3] = fm_real_array(rows->v + row * rows->num_factors, rows->num_factors);
		values[4] = Int64GetDatum(rows->digest[idx]);
		tuplestore_putvalues(store, desc, values, nulls);
		MemoryContextReset(row_context);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(row_context);
	return store;
}

static void
insert_entity_rows(const EntityRows *rows, int version)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(version)};
	TupleDesc desc = entity_row_desc(fm_idmap_type(rows->ids), rows->id_column);
	Tuplestorestate *store = put_entity_rows(rows, desc);
	char *columns = psprintf("idx, %s, w, v, digest", rows->id_column);

	fm_spi_register_rows("new_rows", desc, store, fm_idmap_count(rows->ids));
	fm_spi_execute(psprintf("INSERT INTO %s (version, %s) SELECT $1, %s FROM new_rows",
							fm_relation_sql(rows->table), columns, columns),
				   1, types, values, NULL, false);
	SPI_unregister_relation("new_rows");
	tuplestore_end(store);
}

/* What the version activated next gets for `activation`. */
static char *
next_activation(const FmModel *model)
{
	return psprintf("(SELECT coalesce(max(activation), 0) + 1 FROM %s)",
					fm_relation_sql(model->version_table));
}

void
fm_store_version_row(const FmModel *model, int version, int64 stamp, const FmResult *result)
{
	const FmRatingReading *reading = result->data->ratings;
	const bool is_ranking = result->item_pairs.gram != NULL;
	const int k = result->parameters->num_factors;
	const int root_length = (int) fm_prior_root_length(k);
	Oid types[] = {INT4OID,		   TEXTOID,	  INT4OID,		  FLOAT8OID,	  FLOAT4OID,
				   FLOAT4OID,	   FLOAT8OID, FLOAT8OID,	  INT4OID,		  INT4OID,
				   INT8OID,		   FLOAT8OID, FLOAT4ARRAYOID, FLOAT4ARRAYOID, FLOAT4ARRAYOID,
				   FLOAT4ARRAYOID, FLOAT8OID, FLOAT4ARRAYOID};
	Datum values[] = {Int32GetDatum(version),
					  CStringGetTextDatum(fm_task_name(model->definition.task)),
					  Int32GetDatum(k),
					  Float8GetDatum(result->parameters->b),
					  Float4GetDatum(reading->min),
					  Float4GetDatum(reading->max),
					  Float8GetDatum(result->rating_mean),
					  Float8GetDatum(result->parameters->score_variance),
					  Int32GetDatum(fm_idmap_count(reading->users)),
					  Int32GetDatum(fm_idmap_count(reading->items)),
					  Int64GetDatum(stamp),
					  Float8GetDatum(result->noise_variance),
					  fm_real_array(result->user_prior.mean, k + 1),
					  fm_real_array(result->user_prior.root, root_length),
					  fm_real_array(result->item_prior.mean, k + 1),
					  fm_real_array(result->item_prior.root, root_length),
					  Float8GetDatum(result->item_pairs.weight),
					  is_ranking
						  ? fm_real_array(result->item_pairs.gram, (int) fm_all_pairs_length(k))
						  : (Datum) 0};
	char nulls[lengthof(values)];

	memset(nulls, ' ', sizeof(nulls));
	if (!is_ranking)
		nulls[lengthof(nulls) - 1] = 'n';
	fm_spi_execute(
		psprintf("INSERT INTO %s (version, task, num_factors, b, rating_min, rating_max, "
				 "rating_mean, score_variance, users, items, stamp, noise_variance, user_mean, "
				 "user_root, item_mean, item_root, unobserved_weight, item_gram, activation) "
				 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, "
				 "$17, $18, %s)",
				 fm_relation_sql(model->version_table), next_activation(model)),
		lengthof(values), types, values, nulls, false);
}

void
fm_store_activate(const FmModel *model, int version, int64 stamp)
{
	Oid types[] = {INT4OID, INT8OID};
	Datum values[] = {Int32GetDatum(version), Int64GetDatum(stamp)};

	fm_spi_execute(psprintf("UPDATE %s SET stamp = $2, activation = %s WHERE version = $1",
							fm_relation_sql(model->version_table), next_activation(model)),
				   lengthof(values), types, values, NULL, false);
}

static void
insert_matrix(const FmModel *model, Oid extension_schema, int version)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(version)};

	fm_spi_execute(
		psprintf("INSERT INTO %s (version, block, matrix) "
				 "SELECT $1, idx / %d, %s(idx, v, w) FROM %s WHERE version = $1 GROUP BY 2",
				 fm_relation_sql(model->matrix_table), MATRIX_BLOCK_ITEMS,
				 fm_qualified_sql(extension_schema, "fm_matrix_agg"),
				 fm_relation_sql(model->item_table)),
		1, types, values, NULL, false);
}

void
fm_store_version(FmModel *model, Oid extension_schema, int version, const FmResult *result)
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

	insert_entity_rows(&users, version);
	insert_entity_rows(&items, version);
	fm_store_levels(model, version, result);
	insert_matrix(model, extension_schema, version);
}

bool
fm_store_has_version(const FmModel *model, int version)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(version)};

	fm_spi_execute(psprintf("SELECT FROM %s WHERE version = $1",
							fm_relation_sql(model->version_table)),
				   1, types, values, NULL, false);
	return SPI_processed > 0;
}
