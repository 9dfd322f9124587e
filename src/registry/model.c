/*
 * The registry, read: finding a model by name and checking what the caller may do with it.
 *
 * Registry rows are written only by this extension's code (registry_models.c), in the name of the registry's
 * owner; so what is read here can be trusted, but for the tables it names, which their owner may have
 * dropped or changed since. Locking: none beyond the AccessShareLock of the queries.
 */
#include "registry/model.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/data/ratings.h"
#include "pg/sql.h"
#include "storage/lock.h"
#include "store/version_rows.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/syscache.h"

char *fm_default_model = NULL;

static FmPlan lookup_plan;

enum
{
	COL_VERSION_TABLE = 1,
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
	COL_CONTEXT_COLUMNS
};

char **
fm_name_array(ArrayType *array, int *count)
{
	Datum *names;
	bool *nulls;
	char **result;

	deconstruct_array(array, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &names, &nulls, count);
	result = palloc((*count + 1) * sizeof(char *));
	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("option context_columns must not contain NULL")));
		result[i] = pstrdup(NameStr(*DatumGetName(names[i])));
	}
	return result;
}

Oid
fm_registry_owner(Oid schema)
{
	Oid owner = fm_relation_owner(get_relname_relid("fm_model", schema));

	if (!OidIsValid(owner))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the registry of extension \"fmtopx\" is missing"),
						errhint("Drop the extension and create it again.")));
	return owner;
}

static char *
lookup_query(Oid schema)
{
	return psprintf(
		"SELECT version_table, user_table, item_table, matrix_table, active_version, stamp, "
		"ratings, user_column, item_column, rating_column, weight_column, task, solver, "
		"num_factors, iterations, l2_reg_w, l2_reg_v, init_stdev, test_size, seed, workers, "
		"xmin, keep_versions, max_worse, level_table, user_features, item_features, history, "
		"unobserved_weight, attached, context_columns "
		"FROM %s WHERE model = $1",
		fm_qualified_sql(schema, "fm_model"));
}

static char *
string_column(int column, MemoryContext context)
{
	char *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);

	return value == NULL ? NULL : MemoryContextStrdup(context, value);
}

static float
real_column(int column)
{
	bool isnull;
	Datum value = fm_spi_value(0, column, &isnull);

	return isnull ? NAN : DatumGetFloat4(value);
}

static int64
bigint_column(int column)
{
	bool isnull;
	Datum value = fm_spi_value(0, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static bool
boolean_column(int column)
{
	bool isnull;
	Datum value = fm_spi_value(0, column, &isnull);

	return !isnull && DatumGetBool(value);
}

static Oid
relation_column(int column)
{
	bool isnull;
	Datum value = fm_spi_value(0, column, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

static int
integer_column(int column, int if_null)
{
	bool isnull;
	Datum value = fm_spi_value(0, column, &isnull);

	return isnull ? if_null : DatumGetInt32(value);
}

static void
read_context_columns(FmDefinition *definition, MemoryContext context)
{
	bool isnull;
	Datum value = fm_spi_value(0, COL_CONTEXT_COLUMNS, &isnull);
	MemoryContext previous;

	definition->num_context_columns = 0;
	definition->context_columns = NULL;
	if (isnull)
		return;
	previous = MemoryContextSwitchTo(context);
	definition->context_columns = fm_name_array(DatumGetArrayTypeP(value),
												&definition->num_context_columns);
	MemoryContextSwitchTo(previous);
}

static void
read_definition(FmDefinition *definition, MemoryContext context)
{
	definition->ratings = relation_column(COL_RATINGS);
	definition->user_column = string_column(COL_USER_COLUMN, context);
	definition->item_column = string_column(COL_ITEM_COLUMN, context);
	definition->rating_column = string_column(COL_RATING_COLUMN, context);
	definition->weight_column = string_column(COL_WEIGHT_COLUMN, context);
	definition->features[FM_USERS] = relation_column(COL_USER_FEATURES);
	definition->features[FM_ITEMS] = relation_column(COL_ITEM_FEATURES);
	definition->history = boolean_column(COL_HISTORY);
	read_context_columns(definition, context);
	definition->task = string_column(COL_TASK, context);
	definition->solver = string_column(COL_SOLVER, context);
	definition->num_factors = integer_column(COL_NUM_FACTORS, 0);
	definition->iterations = integer_column(COL_ITERATIONS, 0);
	definition->l2_reg_w = real_column(COL_L2_REG_W);
	definition->l2_reg_v = real_column(COL_L2_REG_V);
	definition->unobserved_weight = real_column(COL_UNOBSERVED_WEIGHT);
	definition->init_stdev = real_column(COL_INIT_STDEV);
	definition->time_column = NULL;
	definition->test_size = real_column(COL_TEST_SIZE);
	definition->seed = bigint_column(COL_SEED);
	definition->workers = integer_column(COL_WORKERS, -1);
}

/* The owner of the first table that is left: they were made by one role. */
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

bool
fm_model_lookup(Oid schema, const char *name, bool read_only, MemoryContext context, FmModel *model)
{
	Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(name)};
	FmRoleSwitch previous = fm_act_as(fm_registry_owner(schema));
	bool found;

	fm_plan_execute(&lookup_plan, lookup_query(schema), 1, types, values, read_only);
	fm_restore_role(&previous);

	found = SPI_processed == 1;
	if (found)
	{
		model->name = MemoryContextStrdup(context, name);
		model->extension_schema = schema;
		model->version_table = DatumGetObjectId(fm_spi_value_not_null(0, COL_VERSION_TABLE));
		model->user_table = DatumGetObjectId(fm_spi_value_not_null(0, COL_USER_TABLE));
		model->item_table = DatumGetObjectId(fm_spi_value_not_null(0, COL_ITEM_TABLE));
		model->matrix_table = DatumGetObjectId(fm_spi_value_not_null(0, COL_MATRIX_TABLE));
		model->level_table = relation_column(COL_LEVEL_TABLE);
		model->version = integer_column(COL_ACTIVE_VERSION, 0);
		model->stamp = bigint_column(COL_STAMP);
		model->attached = boolean_column(COL_ATTACHED);
		model->uncommitted = TransactionIdIsCurrentTransactionId(
			DatumGetTransactionId(fm_spi_value_not_null(0, COL_XMIN)));
		model->keep_versions = integer_column(COL_KEEP_VERSIONS, 0);
		model->max_worse = real_column(COL_MAX_WORSE);
		model->owner = tables_owner(model);
		read_definition(&model->definition, context);
	}
	SPI_freetuptable(SPI_tuptable);
	if (found && model->attached)
		fm_store_read_pointer(model);
	return found && OidIsValid(model->owner);
}

/* The only model the caller may read, or an error. */
static char *
only_model(Oid schema, bool read_only, MemoryContext context)
{
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(GetUserId())};
	FmRoleSwitch previous = fm_act_as(fm_registry_owner(schema));
	char *sql =
		psprintf("SELECT model FROM %s WHERE "
				 "pg_catalog.has_table_privilege($1, version_table::pg_catalog.oid, 'SELECT') "
				 "ORDER BY model",
				 fm_qualified_sql(schema, "fm_model"));
	char *name;

	fm_spi_execute(sql, 1, types, values, NULL, read_only);
	fm_restore_role(&previous);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("there is no model that you may read"),
				 errhint(
					 "Train one with fm_train('name', ratings => 'table'), or ask for SELECT on "
					 "the tables of another's.")));
	if (SPI_processed > 1)
		ereport(ERROR, (errcode(ERRCODE_AMBIGUOUS_PARAMETER),
						errmsg("there are %llu models and none was named",
							   (unsigned long long) SPI_processed),
						errhint("Give model => '...', or SET fmtopx.model.")));
	name = string_column(1, context);
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
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" is attached: its versions come from elsewhere", model->name),
				 errhint("Do it where they come from; or fm_drop('%s') here, and train another.",
						 model->name)));
}

/*
 * On the version table as an object, not as a relation: VACUUM and ANALYZE take the latter, and are not
 * trainings.
 */
static LOCKTAG
training_lock_tag(Oid version_table)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, version_table, 0);
	return tag;
}

bool
fm_training_lock(Oid version_table, bool for_session, bool wait)
{
	LOCKTAG tag = training_lock_tag(version_table);

	if (LockAcquire(&tag, ExclusiveLock, for_session, !wait) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	AcceptInvalidationMessages();
	return true;
}

void
fm_training_unlock(Oid version_table, bool for_session)
{
	LOCKTAG tag = training_lock_tag(version_table);

	(void) LockRelease(&tag, ExclusiveLock, for_session);
}

bool
fm_model_lock(Oid schema, const char *name, MemoryContext context, FmModel *model)
{
	Oid locked = InvalidOid;

	while (fm_model_lookup(schema, name, false, context, model))
	{
		fm_model_check_owner(model);
		if (model->version_table == locked)
			return true;
		/* while we wait, the model may be dropped, and made anew by somebody else */
		if (OidIsValid(locked))
			fm_training_unlock(locked, false);
		locked = model->version_table;
		(void) fm_training_lock(locked, false, true);
	}
	return false;
}

void
fm_model_check_readable(const FmModel *model, Oid role)
{
	const Oid tables[] = {model->version_table, model->user_table, model->item_table,
						  model->matrix_table};

	for (int i = 0; i < lengthof(tables); i++)
	{
		fm_check_select(tables[i], role);
		/* The tables are read in the owner's name, which would skip policies meant for the caller. */
		if (check_enable_rls(tables[i], role, true) == RLS_ENABLED)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("row-level security on table \"%s\" keeps you from model \"%s\"",
								   get_rel_name(tables[i]), model->name)));
	}
}
