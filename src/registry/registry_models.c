/*
 * Writing the registry's models: their definitions, their tables, and which version is served.
 *
 * Locking and memory: see registry_sql.c. The row lock of fm_registry_lock_pointer protects the
 * pointer to the version.
 */
#include "registry/registry_models.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/hashfn.h"
#include "pg/sql.h"
#include "registry/lock_wait.h"
#include "registry/registry_sql.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

void
fm_registry_lock_name(Oid schema, const char *name)
{
	Oid registry = get_relname_relid("fm_model", schema);
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, registry,
					   hash_bytes((const unsigned char *) name, (int) strlen(name)), 0);
	fm_lock_or_wait(&tag, false, name, "created");
}

/* Run a statement that selects the active version. Return false if it returns no row. */
static bool
select_version(Oid schema, const char *name, const char *format, int *version)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, name);
	fm_registry_execute(schema, "fm_model", format, &parameters);
	if (SPI_processed == 0)
		return false;
	*version = DatumGetInt32(fm_sql_value(INT4OID));
	return true;
}

/* Report which transaction has locked the model's row. Return false if there is no such row. */
static bool
report_row_lock(Oid schema, const char *name)
{
	FmSqlParameters parameters = {0};
	LOCKTAG tag;

	fm_add_text(&parameters, name);
	fm_registry_execute(schema, "fm_model", "SELECT xmax FROM %s WHERE model = $1", &parameters);
	if (SPI_processed == 0)
		return false;
	SET_LOCKTAG_TRANSACTION(tag, DatumGetTransactionId(fm_sql_value(XIDOID)));
	(void) fm_report_wait(&tag, name, "trained or changed");
	return true;
}

int
fm_registry_lock_pointer(Oid schema, const char *name)
{
	int version = 0;

	if (!select_version(schema, name,
						"SELECT active_version FROM %s WHERE model = $1 "
						"FOR NO KEY UPDATE SKIP LOCKED",
						&version) &&
		report_row_lock(schema, name))
		(void) select_version(schema, name,
							  "SELECT active_version FROM %s WHERE model = $1 FOR NO KEY UPDATE",
							  &version);
	return version;
}

int64
fm_registry_next_stamp(void)
{
	int64 stamp;

	if (!pg_strong_random(&stamp, sizeof(stamp)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random number")));
	return stamp;
}

void
fm_registry_notify(const char *name, int version)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"model\": ");
	escape_json(&payload, name);
	appendStringInfo(&payload, ", \"version\": %d}", version);
	Async_Notify("fmtopx", payload.data);
}

int64
fm_registry_activate(Oid schema, const char *name, int version)
{
	FmSqlParameters parameters = {0};
	int64 stamp = fm_registry_next_stamp();

	fm_add_text(&parameters, name);
	fm_add_integer(&parameters, version);
	fm_add_bigint(&parameters, stamp);
	fm_registry_execute(schema, "fm_model",
						"UPDATE %s SET active_version = $2, stamp = $3 WHERE model = $1",
						&parameters);
	fm_registry_notify(name, version);
	return stamp;
}

void
fm_registry_set_options(Oid schema, const char *name, int keep_versions, float max_worse)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, name);
	fm_add_integer_or_null(&parameters, keep_versions, keep_versions == 0);
	fm_add_real(&parameters, max_worse);
	fm_registry_execute(schema, "fm_model",
						"UPDATE %s SET keep_versions = coalesce($2, keep_versions), "
						"max_worse = coalesce($3, max_worse) WHERE model = $1",
						&parameters);
}

static void
add_tables(FmSqlParameters *parameters, const FmModel *model)
{
	fm_add_relation(parameters, model->version_table);
	fm_add_relation(parameters, model->user_table);
	fm_add_relation(parameters, model->item_table);
	fm_add_relation(parameters, model->matrix_table);
}

void
fm_registry_attach_model(Oid schema, const FmModel *model)
{
	const FmDefinition *definition = &model->definition;
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, model->name);
	add_tables(&parameters, model);
	fm_add_relation(&parameters, definition->ratings);
	fm_add_text(&parameters, definition->user_column);
	fm_add_text(&parameters, definition->item_column);
	fm_add_text(&parameters, definition->rating_column);
	fm_registry_execute(schema, "fm_model",
						"INSERT INTO %s (model, version_table, user_table, item_table, "
						"matrix_table, ratings, user_column, item_column, rating_column, "
						"attached) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, true)",
						&parameters);
}

char *
fm_registry_tables_model(Oid schema, const FmModel *model)
{
	FmSqlParameters parameters = {0};

	add_tables(&parameters, model);
	fm_registry_execute(schema, "fm_model",
						"SELECT model FROM %s WHERE ARRAY[$1, $2, $3, $4]::oid[] && "
						"ARRAY[version_table, user_table, item_table, matrix_table]::oid[]",
						&parameters);
	return fm_sql_text();
}

void
fm_registry_save_model(Oid schema, const FmModel *model)
{
	const FmDefinition *definition = &model->definition;
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, model->name);
	add_tables(&parameters, model);
	fm_add_integer(&parameters, model->version);
	fm_add_bigint(&parameters, model->stamp);
	fm_add_relation(&parameters, definition->ratings);
	fm_add_text(&parameters, definition->user_column);
	fm_add_text(&parameters, definition->item_column);
	fm_add_text(&parameters, definition->rating_column);
	fm_add_text(&parameters, definition->weight_column);
	fm_add_text(&parameters, fm_task_name(definition->task));
	fm_add_text(&parameters, fm_solver_name(definition->solver));
	fm_add_integer_or_null(&parameters, definition->num_factors, definition->num_factors == 0);
	fm_add_integer_or_null(&parameters, definition->iterations, definition->iterations == 0);
	fm_add_real(&parameters, definition->l2_reg_w);
	fm_add_real(&parameters, definition->l2_reg_v);
	fm_add_real(&parameters, definition->init_stdev);
	fm_add_real(&parameters, definition->test_size);
	fm_add_bigint(&parameters, definition->seed);
	fm_add_integer_or_null(&parameters, definition->workers, definition->workers < 0);
	fm_add_relation(&parameters, definition->features[FM_USERS]);
	fm_add_relation(&parameters, definition->features[FM_ITEMS]);
	fm_add_boolean(&parameters, definition->history);
	fm_add_relation(&parameters, model->level_table);
	fm_add_names(&parameters, definition->context_columns, definition->num_context_columns);
	fm_add_real(&parameters, definition->unobserved_weight);
	fm_add_text(&parameters, definition->time_column);
	fm_add_text(&parameters, fm_rank_by_name(definition->rank_by));
	fm_registry_execute(
		schema, "fm_model",
		"INSERT INTO %s AS m (model, version_table, user_table, item_table, matrix_table, "
		"active_version, stamp, ratings, user_column, item_column, rating_column, weight_column, "
		"task, solver, num_factors, iterations, l2_reg_w, l2_reg_v, init_stdev, test_size, seed, "
		"workers, user_features, item_features, history, level_table, context_columns, "
		"unobserved_weight, time_column, rank_by) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
		"$19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30) "
		"ON CONFLICT (model) DO UPDATE SET (version_table, user_table, item_table, matrix_table, "
		"active_version, stamp, ratings, user_column, item_column, rating_column, weight_column, "
		"task, solver, num_factors, iterations, l2_reg_w, l2_reg_v, init_stdev, test_size, seed, "
		"workers, user_features, item_features, history, level_table, context_columns, "
		"unobserved_weight, time_column, rank_by) = "
		"($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
		"$19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30) WHERE m.version_table = $2",
		&parameters);
	if (SPI_processed != 1)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("model \"%s\" has been created by another session", model->name),
						errhint("Train under another name.")));
}

void
fm_registry_delete_model(Oid schema, const char *name)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, name);
	fm_registry_execute(schema, "fm_model", "DELETE FROM %s WHERE model = $1", &parameters);
}
