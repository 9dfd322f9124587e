/*
 * fm_attach: a model whose tables are filled from elsewhere, by a logical subscription or a
 * restored dump.
 *
 * The registry knows nothing of such a model but its tables. The version table says which version
 * is served (registry/pointer.c); each call looks there, so it sees a version as soon as the
 * transaction that brings it commits. Until a subscription has copied all tables, rows may be
 * missing; they are counted when a version is loaded (cache/image.c). Locking: the name of the
 * model, until the end of the transaction. Memory: the context of the call.
 */
#include "pg/compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "pg/id_map.h"
#include "registry/registry_models.h"
#include "pg/arguments.h"
#include "pg/sql.h"
#include "store/model_functions.h"
#include "store/tables.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(fm_attach);

enum
{
	ARG_MODEL,
	ARG_RATINGS,
	ARG_USER_COLUMN,
	ARG_ITEM_COLUMN,
	ARG_RATING_COLUMN,
	ARG_VERSION_TABLE,
	ARG_USER_TABLE,
	ARG_ITEM_TABLE,
	ARG_MATRIX_TABLE
};

static void
check_column(Oid table, const char *column, Oid type)
{
	AttrNumber number = get_attnum(table, column);

	if (number <= 0 || get_atttype(table, number) != type)
		ereport(
			ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("table \"%s\" is not a table of a model: it has no column \"%s\" of type %s",
					get_rel_name(table), column, format_type_be(type))));
}

/* Return the table given, or else the one in the search_path that is named after the model. */
static Oid
table_argument(FunctionCallInfo fcinfo, int argument, const char *model, const char *suffix)
{
	char *name = psprintf("fm_%s_%s", model, suffix);
	Oid table = PG_ARGISNULL(argument) ? RelnameGetRelid(name) : PG_GETARG_OID(argument);

	if (get_rel_name(table) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 OidIsValid(table) ? errmsg("table %u does not exist", table)
								   : errmsg("table \"%s\" does not exist", name),
				 errhint("Name it with %s_table => '...', or put its schema into search_path.",
						 suffix)));
	if (get_rel_relkind(table) != RELKIND_RELATION ||
		get_rel_persistence(table) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot be the %s_table of a model", get_rel_name(table), suffix),
				 errdetail("It is not a table, or it is a temporary one.")));
	return table;
}

static char *
name_argument(FunctionCallInfo fcinfo, int argument, const char *option)
{
	fm_require_argument(fcinfo, argument, option);
	return NameStr(*PG_GETARG_NAME(argument));
}

static void
check_entity_table(Oid table, const char *id_column)
{
	FmIdType id_type;

	check_column(table, "version", INT4OID);
	check_column(table, "idx", INT4OID);
	check_column(table, "w", FLOAT4OID);
	check_column(table, "v", FLOAT4ARRAYOID);
	fm_id_type_of_column(table, fm_column_number(table, id_column, NULL), &id_type);
}

/* Check that all tables belong to one role, of which the caller is a member. */
static void
check_owner(FmModel *model)
{
	const Oid tables[] = {model->version_table, model->user_table, model->item_table,
						  model->matrix_table};

	model->owner = fm_relation_owner(tables[0]);
	for (int i = 0; i < lengthof(tables); i++)
	{
		Oid owner = fm_relation_owner(tables[i]);

		if (!has_privs_of_role(GetUserId(), owner))
			aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(tables[i]));
		if (owner != model->owner)
			ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
							errmsg("tables \"%s\" and \"%s\" belong to different roles",
								   get_rel_name(tables[0]), get_rel_name(tables[i])),
							errhint("Give them the same owner with ALTER TABLE ... OWNER TO.")));
	}
}

static void
check_columns(const FmModel *model)
{
	Oid matrix_type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("fm_matrix"),
									  ObjectIdGetDatum(model->extension_schema));

	check_column(model->version_table, "version", INT4OID);
	check_column(model->version_table, "stamp", INT8OID);
	check_column(model->version_table, "activation", INT8OID);
	check_entity_table(model->user_table, "user_id");
	check_entity_table(model->item_table, "item_id");
	check_column(model->matrix_table, "version", INT4OID);
	check_column(model->matrix_table, "block", INT4OID);
	check_column(model->matrix_table, "matrix", matrix_type);
}

/* Check that the type of a column of the ratings relation matches that of a table's id column. */
static void
check_seen_column(const FmModel *model, const char *column, const char *option, Oid table,
				  const char *id_column)
{
	Oid ratings = model->definition.ratings;
	Oid given = get_atttype(ratings, fm_column_number(ratings, column, option));
	Oid expected = get_atttype(table, get_attnum(table, id_column));

	if (!fm_id_types_match(given, expected))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s, but model \"%s\" has "
						"ids of type %s",
						column, get_rel_name(ratings), format_type_be(given), model->name,
						format_type_be(expected)),
				 errhint("Make a view of the relation that casts the column.")));
}

static void
check_ratings(const FmModel *model)
{
	Oid ratings = model->definition.ratings;

	if (!OidIsValid(ratings))
	{
		ereport(NOTICE, (errmsg("nothing counts as seen: lists of model \"%s\" do not exclude "
								"items already rated",
								model->name),
						 errhint("Name the relation of ratings with ratings => 'table'.")));
		return;
	}
	if (get_rel_name(ratings) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the ratings relation (OID %u) does not exist", ratings),
						errhint("Name another with ratings => '...'.")));
	if (get_rel_persistence(ratings) == RELPERSISTENCE_TEMP)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
						errmsg("ratings cannot be read from temporary relation \"%s\"",
							   get_rel_name(ratings)),
						errhint("Copy it into a permanent table.")));
	fm_check_select(ratings, model->owner);
	check_seen_column(model, model->definition.user_column, "user_column", model->user_table,
					  "user_id");
	check_seen_column(model, model->definition.item_column, "item_column", model->item_table,
					  "item_id");
}

/* Reserve the name, and check that neither it nor a table belongs to another model. */
static void
reserve(Oid schema, const FmModel *model)
{
	FmModel other;
	char *holder;

	fm_registry_lock_name(schema, model->name);
	if (fm_model_lookup(schema, model->name, false, CurrentMemoryContext, &other))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" already exists", model->name),
				 errhint("Attach under another name, or fm_drop('%s') first.", model->name)));
	fm_registry_delete_model(schema, model->name); /* a dead row, if any */
	holder = fm_registry_tables_model(schema, model);
	if (holder != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("a table given for model \"%s\" belongs to model \"%s\"",
							   model->name, holder),
						errhint("Use that model, or fm_drop('%s') first.", holder)));
}

Datum
fm_attach(PG_FUNCTION_ARGS)
{
	Oid schema = fm_extension_schema(fcinfo);
	FmModel model = {.extension_schema = schema};
	FmRoleSwitch previous;

	PreventCommandIfReadOnly("fm_attach()");
	fm_require_argument(fcinfo, ARG_MODEL, NULL);
	model.name = text_to_cstring(PG_GETARG_TEXT_PP(ARG_MODEL));
	fm_check_model_name(model.name);
	model.version_table = table_argument(fcinfo, ARG_VERSION_TABLE, model.name, "version");
	model.user_table = table_argument(fcinfo, ARG_USER_TABLE, model.name, "user");
	model.item_table = table_argument(fcinfo, ARG_ITEM_TABLE, model.name, "item");
	model.matrix_table = table_argument(fcinfo, ARG_MATRIX_TABLE, model.name, "matrix");
	model.definition.ratings = PG_ARGISNULL(ARG_RATINGS) ? InvalidOid : PG_GETARG_OID(ARG_RATINGS);
	model.definition.user_column = name_argument(fcinfo, ARG_USER_COLUMN, "user_column");
	model.definition.item_column = name_argument(fcinfo, ARG_ITEM_COLUMN, "item_column");
	model.definition.rating_column = name_argument(fcinfo, ARG_RATING_COLUMN, "rating_column");
	check_owner(&model);
	check_columns(&model);
	check_ratings(&model);
	fm_spi_connect();
	reserve(schema, &model);
	previous = fm_act_as(model.owner);
	fm_store_make_functions(&model, WARNING);
	fm_restore_role(&previous);
	fm_registry_attach_model(schema, &model);
	fm_spi_finish();
	PG_RETURN_VOID();
}
