/*
 * Models, read from the registry: finding one by name, and checking what the caller may do with it.
 *
 * Only the extension writes the registry (registry_models.c), as the registry's owner. So its rows
 * can be trusted. The tables that they name belong to the model's owner, who may have dropped or
 * altered them. Locking: the AccessShareLock of the queries. Memory: strings are in the context
 * that the caller gives.
 */
#include "registry/model.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/data/ratings.h"
#include "pg/sql.h"
#include "registry/pointer.h"
#include "registry/registry_sql.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/syscache.h"

char *fm_default_model = NULL;

static FmPlan lookup_plan;

/* The columns of a model's row. */
enum
{
	COL_VERSION_TABLE,
	COL_USER_TABLE,
	COL_ITEM_TABLE,
	COL_MATRIX_TABLE,
	COL_ACTIVE_VERSION,
	COL_STAMP,
	COL_RATINGS,
	COL_USER_COLUMN,
	COL_ITEM_COLUMN,
	COL_RATING_COLUMN,
	COL_WEIGHT_COLUMN,
	COL_TASK,
	COL_SOLVER,
	COL_NUM_FACTORS,
	COL_ITERATIONS,
	COL_L2_REG_W,
	COL_L2_REG_V,
	COL_INIT_STDEV,
	COL_TEST_SIZE,
	COL_SEED,
	COL_WORKERS,
	COL_XMIN,
	COL_KEEP_VERSIONS,
	COL_MAX_WORSE,
	COL_LEVEL_TABLE,
	COL_USER_FEATURES,
	COL_ITEM_FEATURES,
	COL_HISTORY,
	COL_UNOBSERVED_WEIGHT,
	COL_ATTACHED,
	COL_CONTEXT_COLUMNS,
	COL_TIME_COLUMN,
	COL_RANK_BY
};

static const FmColumn model_columns[] = {
	[COL_VERSION_TABLE] = {"version_table", REGCLASSOID},
	[COL_USER_TABLE] = {"user_table", REGCLASSOID},
	[COL_ITEM_TABLE] = {"item_table", REGCLASSOID},
	[COL_MATRIX_TABLE] = {"matrix_table", REGCLASSOID},
	[COL_ACTIVE_VERSION] = {"active_version", INT4OID},
	[COL_STAMP] = {"stamp", INT8OID},
	[COL_RATINGS] = {"ratings", REGCLASSOID},
	[COL_USER_COLUMN] = {"user_column", NAMEOID},
	[COL_ITEM_COLUMN] = {"item_column", NAMEOID},
	[COL_RATING_COLUMN] = {"rating_column", NAMEOID},
	[COL_WEIGHT_COLUMN] = {"weight_column", NAMEOID},
	[COL_TASK] = {"task", TEXTOID},
	[COL_SOLVER] = {"solver", TEXTOID},
	[COL_NUM_FACTORS] = {"num_factors", INT4OID},
	[COL_ITERATIONS] = {"iterations", INT4OID},
	[COL_L2_REG_W] = {"l2_reg_w", FLOAT4OID},
	[COL_L2_REG_V] = {"l2_reg_v", FLOAT4OID},
	[COL_INIT_STDEV] = {"init_stdev", FLOAT4OID},
	[COL_TEST_SIZE] = {"test_size", FLOAT4OID},
	[COL_SEED] = {"seed", INT8OID},
	[COL_WORKERS] = {"workers", INT4OID},
	[COL_XMIN] = {"xmin", XIDOID},
	[COL_KEEP_VERSIONS] = {"keep_versions", INT4OID},
	[COL_MAX_WORSE] = {"max_worse", FLOAT4OID},
	[COL_LEVEL_TABLE] = {"level_table", REGCLASSOID},
	[COL_USER_FEATURES] = {"user_features", REGCLASSOID},
	[COL_ITEM_FEATURES] = {"item_features", REGCLASSOID},
	[COL_HISTORY] = {"history", BOOLOID},
	[COL_UNOBSERVED_WEIGHT] = {"unobserved_weight", FLOAT4OID},
	[COL_ATTACHED] = {"attached", BOOLOID},
	[COL_CONTEXT_COLUMNS] = {"context_columns", NAMEARRAYOID},
	[COL_TIME_COLUMN] = {"time_column", NAMEOID},
	[COL_RANK_BY] = {"rank_by", TEXTOID},
};

static char *
lookup_query(Oid schema)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	fm_append_select_list(&sql, model_columns, lengthof(model_columns));
	appendStringInfo(&sql, " FROM %s WHERE model = $1", fm_qualified_sql(schema, "fm_model"));
	return sql.data;
}

static void
read_task_and_solver(const FmRow *row, FmDefinition *definition)
{
	definition->task = FM_TASK_REGRESSION;
	definition->solver = fm_default_solver(definition->task);
	if (fm_row_is_null(row, COL_TASK) || fm_row_is_null(row, COL_SOLVER))
		return;
	if (!fm_find_task(fm_row_text(row, COL_TASK), &definition->task) ||
		!fm_find_solver(fm_row_text(row, COL_SOLVER), &definition->solver))
		elog(ERROR, "the registry has a model with task \"%s\" and solver \"%s\"",
			 fm_row_text(row, COL_TASK), fm_row_text(row, COL_SOLVER));
}

static FmRankBy
read_rank_by(const FmRow *row)
{
	FmRankBy rank_by;

	if (!fm_find_rank_by(fm_row_text(row, COL_RANK_BY), &rank_by))
		elog(ERROR, "the registry has a model that ranks by \"%s\"", fm_row_text(row, COL_RANK_BY));
	return rank_by;
}

/* Read the definition; strings are allocated in the current context. */
static void
read_definition(const FmRow *row, FmDefinition *definition)
{
	definition->ratings = fm_row_relation_or_invalid(row, COL_RATINGS);
	definition->user_column = fm_row_name_or_null(row, COL_USER_COLUMN);
	definition->item_column = fm_row_name_or_null(row, COL_ITEM_COLUMN);
	definition->rating_column = fm_row_name_or_null(row, COL_RATING_COLUMN);
	definition->weight_column = fm_row_name_or_null(row, COL_WEIGHT_COLUMN);
	definition->features[FM_USERS] = fm_row_relation_or_invalid(row, COL_USER_FEATURES);
	definition->features[FM_ITEMS] = fm_row_relation_or_invalid(row, COL_ITEM_FEATURES);
	definition->history = fm_row_boolean_or(row, COL_HISTORY, false);
	definition->num_context_columns = 0;
	definition->context_columns = NULL;
	if (!fm_row_is_null(row, COL_CONTEXT_COLUMNS))
		definition->context_columns =
			fm_name_array(DatumGetArrayTypeP(fm_row_value(row, COL_CONTEXT_COLUMNS)),
						  &definition->num_context_columns);
	read_task_and_solver(row, definition);
	definition->num_factors = fm_row_integer_or(row, COL_NUM_FACTORS, 0);
	definition->iterations = fm_row_integer_or(row, COL_ITERATIONS, 0);
	definition->l2_reg_w = fm_row_real_or(row, COL_L2_REG_W, NAN);
	definition->l2_reg_v = fm_row_real_or(row, COL_L2_REG_V, NAN);
	definition->unobserved_weight = fm_row_real_or(row, COL_UNOBSERVED_WEIGHT, NAN);
	definition->init_stdev = fm_row_real_or(row, COL_INIT_STDEV, NAN);
	definition->time_column = fm_row_name_or_null(row, COL_TIME_COLUMN);
	definition->split_column = NULL;
	definition->test_size = fm_row_real_or(row, COL_TEST_SIZE, NAN);
	definition->seed = fm_row_bigint_or(row, COL_SEED, 0);
	definition->workers = fm_row_integer_or(row, COL_WORKERS, -1);
	definition->rank_by = read_rank_by(row);
}

/* Return the owner of the first table that exists: one role has created all of them. */
static Oid
tables_owner(const FmModel *model)
{
	const Oid tables[] = {model->version_table, model->user_table, model->item_table,
						  model->matrix_table};
	Oid owner = InvalidOid;

	for (int i = 0; i < lengthof(tables) && !OidIsValid(owner); i++)
		owner = fm_relation_owner(tables[i]);
	return owner;
}

static void
read_model(const FmRow *row, FmModel *model)
{
	model->version_table = fm_row_relation(row, COL_VERSION_TABLE);
	model->user_table = fm_row_relation(row, COL_USER_TABLE);
	model->item_table = fm_row_relation(row, COL_ITEM_TABLE);
	model->matrix_table = fm_row_relation(row, COL_MATRIX_TABLE);
	model->level_table = fm_row_relation_or_invalid(row, COL_LEVEL_TABLE);
	model->version = fm_row_integer_or(row, COL_ACTIVE_VERSION, 0);
	model->stamp = fm_row_bigint_or(row, COL_STAMP, 0);
	model->attached = fm_row_boolean(row, COL_ATTACHED);
	model->uncommitted = TransactionIdIsCurrentTransactionId(fm_row_xid(row, COL_XMIN));
	model->keep_versions = fm_row_integer(row, COL_KEEP_VERSIONS);
	model->max_worse = fm_row_real(row, COL_MAX_WORSE);
	model->owner = tables_owner(model);
	read_definition(row, &model->definition);
}

bool
fm_model_lookup(Oid schema, const char *name, bool read_only, MemoryContext context, FmModel *model)
{
	FmRoleSwitch previous = fm_act_as(fm_registry_owner(schema));
	FmSqlParameters parameters = {0};
	FmRows rows;
	bool found;

	fm_add_text(&parameters, name);
	fm_plan_run(&lookup_plan, lookup_query(schema), &parameters, read_only);
	fm_restore_role(&previous);

	fm_rows_begin(&rows, model_columns, lengthof(model_columns));
	found = fm_rows_next(&rows);
	if (found)
	{
		MemoryContext caller = MemoryContextSwitchTo(context);

		model->name = pstrdup(name);
		model->extension_schema = schema;
		read_model(&rows.row, model);
		MemoryContextSwitchTo(caller);
	}
	fm_rows_end(&rows);
	if (!found || !OidIsValid(model->owner))
	{
		memset(model, 0, sizeof(*model));
		return false;
	}
	return true;
}

void
fm_model_take_pointer(FmModel *model, bool read_only)
{
	FmPointer pointer;

	if (!model->attached)
		return;
	pointer = fm_read_pointer(model->version_table, read_only);
	model->version = pointer.version;
	model->stamp = pointer.stamp;
	model->uncommitted = pointer.uncommitted;
}

/* Return the only model that the caller may read. */
static char *
only_model(Oid schema, bool read_only, MemoryContext context)
{
	Oid caller = GetUserId();
	FmSqlParameters parameters = {0};
	FmRoleSwitch previous = fm_act_as(fm_registry_owner(schema));
	char *sql =
		psprintf("SELECT model FROM %s WHERE "
				 "pg_catalog.has_table_privilege($1, version_table::pg_catalog.oid, 'SELECT') "
				 "ORDER BY model",
				 fm_qualified_sql(schema, "fm_model"));
	char *name;

	fm_add_parameter(&parameters, OIDOID, ObjectIdGetDatum(caller), false);
	fm_sql_run(sql, &parameters, read_only);
	fm_restore_role(&previous);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no model that you may read"),
				 errhint(
					 "Train one with fm_train('name', ratings => 'table'), or ask for SELECT on "
					 "the tables of another model.")));
	if (SPI_processed > 1)
		ereport(ERROR, (errcode(ERRCODE_AMBIGUOUS_PARAMETER),
						errmsg("there are %llu models and none was named",
							   (unsigned long long) SPI_processed),
						errhint("Give model => '...', or SET fmtopx.model.")));
	name = MemoryContextStrdup(context, fm_sql_text());
	SPI_freetuptable(SPI_tuptable);
	return name;
}

void
fm_model_check_tables(const FmModel *model)
{
	const Oid tables[] = {model->version_table, model->user_table, model->item_table,
						  model->matrix_table, model->level_table};

	for (int i = 0; i < lengthof(tables); i++)
		if (OidIsValid(tables[i]) && !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(tables[i])))
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
							errmsg("a table of model \"%s\" has been dropped", model->name),
							errhint("Remove what is left with fm_drop('%s') and train it again.",
									model->name)));
}

void
fm_model_missing(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name),
					errhint("See the view fm_models for those you may read.")));
}

void
fm_model_damaged(const FmModel *model, const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("version %d of model \"%s\" is damaged: %s", model->version, model->name,
						   problem),
					errhint("Train the model again.")));
}

void
fm_model_resolve(Oid schema, text *name, bool read_only, MemoryContext context, FmModel *model)
{
	char *wanted;

	if (name != NULL)
		wanted = text_to_cstring(name);
	else if (fm_default_model != NULL && fm_default_model[0] != '\0')
		wanted = fm_default_model;
	else
		wanted = only_model(schema, read_only, context);
	if (!fm_model_lookup(schema, wanted, read_only, context, model))
		fm_model_missing(wanted);
	fm_model_check_tables(model);
}

void
fm_model_check_owner(const FmModel *model)
{
	if (!has_privs_of_role(GetUserId(), model->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of model \"%s\"", model->name),
				 errdetail("It belongs to role \"%s\".", GetUserNameFromId(model->owner, false))));
}

void
fm_model_check_not_attached(const FmModel *model)
{
	if (model->attached)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("model \"%s\" is attached: its versions come from elsewhere", model->name),
			 errhint("Do it where they come from, or fm_drop('%s') here and train another model.",
					 model->name)));
}

void
fm_model_imported(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("model \"%s\" was imported: there is no training to repeat", name),
			 errhint("Import it again, or train it here with fm_train('%s', ratings => '...').",
					 name)));
}

void
fm_model_check_readable(const FmModel *model, Oid role)
{
	const Oid tables[] = {model->version_table, model->user_table, model->item_table,
						  model->matrix_table};

	for (int i = 0; i < lengthof(tables); i++)
	{
		fm_check_select(tables[i], role);
		/* the owner reads the tables, so policies for the caller would have no effect */
		if (check_enable_rls(tables[i], role, true) == RLS_ENABLED)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("model \"%s\" cannot be used under row-level security on table \"%s\"",
							model->name, get_rel_name(tables[i])),
					 errdetail("A policy cannot restrict a model to some of its rows."),
					 errhint(
						 "Ask the table's owner to remove the policy, or to make a table of lists "
						 "with fm_write_top_x.")));
	}
}
