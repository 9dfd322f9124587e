/*
 * The registry's models, written: their definitions, their tables, and which version is served.
 *
 * The rules of registry_sql.c hold. The pointer to the version is moved under the row lock that
 * fm_registry_lock_pointer takes.
 */
#include "registry/registry_models.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/hashfn.h"
#include "registry/registry_sql.h"
#include "pg/sql.h"
#include "storage/lmgr.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

void
fm_registry_lock_name(Oid schema, const char *name)
{
	Oid registry = get_relname_relid("fm_model", schema);

	LockDatabaseObject(registry, hash_bytes((const unsigned char *) name, (int) strlen(name)), 0,
					   ExclusiveLock);
}

int
fm_registry_lock_pointer(Oid schema, const char *name)
{
	FmArguments arguments = {0};

	fm_add_text(&arguments, name);
	fm_registry_execute(schema, "fm_model",
						"SELECT active_version FROM %s WHERE model = $1 FOR NO KEY UPDATE",
						&arguments);
	return SPI_processed == 0 ? 0 : DatumGetInt32(fm_spi_value_not_null(0, 1));
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
	FmArguments arguments = {0};
	int64 stamp = fm_registry_next_stamp();

	fm_add_text(&arguments, name);
	fm_add_integer(&arguments, version, false);
	fm_add_bigint(&arguments, stamp);
	fm_registry_execute(schema, "fm_model",
						"UPDATE %s SET active_version = $2, stamp = $3 WHERE model = $1",
						&arguments);
	fm_registry_notify(name, version);
	return stamp;
}

void
fm_registry_set_options(Oid schema, const char *name, int keep_versions, float max_worse)
{
	FmArguments arguments = {0};

	fm_add_text(&arguments, name);
	fm_add_integer(&arguments, keep_versions, keep_versions == 0);
	fm_add_real(&arguments, max_worse);
	fm_registry_execute(schema, "fm_model",
						"UPDATE %s SET keep_versions = coalesce($2, keep_versions), "
						"max_worse = coalesce($3, max_worse) WHERE model = $1",
						&arguments);
}

static void
add_tables(FmArguments *arguments, const FmModel *model)
{
	fm_add_relation(arguments, model->version_table);
	fm_add_relation(arguments, model->user_table);
	fm_add_relation(arguments, model->item_table);
	fm_add_relation(arguments, model->matrix_table);
}

void
fm_registry_attach_model(Oid schema, const FmModel *model)
{
	const FmDefinition *definition = &model->definition;
	FmArguments arguments = {0};

	fm_add_text(&arguments, model->name);
	add_tables(&arguments, model);
	fm_add_relation(&arguments, definition->ratings);
	fm_add_text(&arguments, definition->user_column);
	fm_add_text(&arguments, definition->item_column);
	fm_add_text(&arguments, definition->rating_column);
	fm_registry_execute(schema, "fm_model",
						"INSERT INTO %s (model, version_table, user_table, item_table, "
						"matrix_table, ratings, user_column, item_column, rating_column, "
						"attached) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, true)",
						&arguments);
}

char *
fm_registry_tables_model(Oid schema, const FmModel *model)
{
	FmArguments arguments = {0};

	add_tables(&arguments, model);
	fm_registry_execute(schema, "fm_model",
						"SELECT model FROM %s WHERE ARRAY[$1, $2, $3, $4]::oid[] && "
						"ARRAY[version_table, user_table, item_table, matrix_table]::oid[]",
						&arguments);
	return fm_registry_text();
}

void
fm_registry_save_model(Oid schema, const FmModel *model)
{
	const FmDefinition *definition = &model->definition;
	FmArguments arguments = {0};

	fm_add_text(&arguments, model->name);
	add_tables(&arguments, model);
	fm_add_integer(&arguments, model->version, false);
	fm_add_bigint(&arguments, model->stamp);
	fm_add_relation(&arguments, definition->ratings);
	fm_add_text(&arguments, definition->user_column);
	fm_add_text(&arguments, definition->item_column);
	fm_add_text(&arguments, definition->rating_column);
	fm_add_text(&arguments, definition->weight_column);
	fm_add_text(&arguments, definition->task);
	fm_add_text(&arguments, definition->solver);
	fm_add_integer(&arguments, definition->num_factors, false);
	fm_add_integer(&arguments, definition->iterations, definition->iterations == 0);
	fm_add_real(&arguments, definition->l2_reg_w);
	fm_add_real(&arguments, definition->l2_reg_v);
	fm_add_real(&arguments, definition->init_stdev);
	fm_add_real(&arguments, definition->test_size);
	fm_add_bigint(&arguments, definition->seed);
	fm_add_integer(&arguments, definition->workers, definition->workers < 0);
	fm_add_relation(&arguments, definition->features[FM_USERS]);
	fm_add_relation(&arguments, definition->features[FM_ITEMS]);
	fm_add_argument(&arguments, BOOLOID, BoolGetDatum(definition->history), false);
	fm_add_relation(&arguments, model->level_table);
	fm_add_names(&arguments, definition->context_columns, definition->num_context_columns);
	fm_add_real(&arguments, definition->unobserved_weight);
	fm_registry_execute(
		schema, "fm_model",
		"INSERT INTO %s AS m (model, version_table, user_table, item_table, matrix_table, "
		"active_version, stamp, ratings, user_column, item_column, rating_column, weight_column, "
		"task, solver, num_factors, iterations, l2_reg_w, l2_reg_v, init_stdev, test_size, seed, "
		"workers, user_features, item_features, history, level_table, context_columns, "
		"unobserved_weight) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
		"$19, $20, $21, $22, $23, $24, $25, $26, $27, $28) "
		"ON CONFLICT (model) DO UPDATE SET (version_table, user_table, item_table, matrix_table, "
		"active_version, stamp, ratings, user_column, item_column, rating_column, weight_column, "
		"task, solver, num_factors, iterations, l2_reg_w, l2_reg_v, init_stdev, test_size, seed, "
		"workers, user_features, item_features, history, level_table, context_columns, "
		"unobserved_weight) = "
		"($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
		"$19, $20, $21, $22, $23, $24, $25, $26, $27, $28) WHERE m.version_table = $2",
		&arguments);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" has been created by somebody else meanwhile", model->name),
				 errhint("Train under another name.")));
}

void
fm_registry_delete_model(Oid schema, const char *name)
{
	FmArguments arguments = {0};

	fm_add_text(&arguments, name);
	fm_registry_execute(schema, "fm_model", "DELETE FROM %s WHERE model = $1", &arguments);
}
