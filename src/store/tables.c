/*
 * A model's tables: their creation, what is checked of them, other types of ids, and their removal.
 *
 * Locking: the statements' own. Memory: the current context.
 */
#include "store/tables.h"

#include "catalog/namespace.h"
#include "pg/sql.h"
#include "store/model_functions.h"
#include "store/version.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

void
fm_check_model_name(const char *name)
{
	const int longest = NAMEDATALEN - 1 - (int) strlen(FM_LONGEST_SUFFIX);

	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME), errmsg("the name of a model must not be empty")));
	if (strlen(name) > longest)
		ereport(
			ERROR,
			(errcode(ERRCODE_NAME_TOO_LONG), errmsg("the model name \"%s\" is too long", name),
			 errdetail(
				 "Its tables and functions are named after it, so it can have at most %d bytes.",
				 longest)));
}

Oid
fm_store_choose_schema(Oid given, Oid ratings, const char *elsewhere)
{
	List *path = fetch_search_path(false);
	Oid schema = given;

	if (!OidIsValid(schema))
		schema = path != NIL ? linitial_oid(path) : get_rel_namespace(ratings);
	if (!OidIsValid(schema))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the ratings relation (OID %u) does not exist", ratings),
						errhint("Name another with ratings => '...'.")));
	if (isAnyTempNamespace(schema))
		ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
						errmsg("a model's tables cannot be temporary"),
						errhint("Put another schema first in search_path.")));
	fm_check_create(schema, elsewhere);
	return schema;
}

void
fm_store_check_schema(const FmModel *model, Oid given)
{
	Oid schema = get_rel_namespace(model->version_table);
	const char *to;

	if (!OidIsValid(given) || given == schema)
		return;
	to = quote_identifier(get_namespace_name(given));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the tables of model \"%s\" are in schema \"%s\", not in \"%s\"", model->name,
					get_namespace_name(schema), get_namespace_name(given)),
			 errhint("To move them, use ALTER TABLE %s SET SCHEMA %s, and so for each of them and "
					 "for the model's functions.",
					 fm_relation_sql(model->version_table), to)));
}

static Oid
create_table(const FmModel *model, Oid schema, const char *suffix, const char *columns,
			 const char *comment)
{
	char *name = psprintf("fm_%s_%s", model->name, suffix);
	char *qualified = fm_qualified_sql(schema, name);

	if (OidIsValid(get_relname_relid(name, schema)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE), errmsg("relation \"%s\" already exists", name),
				 errdetail("A table of model \"%s\" is to have this name.", model->name),
				 errhint("If it is left of a model that is gone, as after DROP EXTENSION ... "
						 "CASCADE, use DROP TABLE, or fm_attach('%s', ...) if all of its tables "
						 "are complete. Else train under another name.",
						 model->name)));
	/* VACUUM would lock readers out to truncate a table, here and on standbys */
	fm_sql_run(psprintf("CREATE TABLE %s (%s) WITH (vacuum_truncate = false, "
						"toast.vacuum_truncate = false)",
						qualified, columns),
			   NULL, false);
	fm_sql_run(psprintf("COMMENT ON TABLE %s IS %s", qualified,
						quote_literal_cstr(
							psprintf("fmtopx model \"%s\": %s", model->name, comment))),
			   NULL, false);
	return get_relname_relid(name, schema);
}

static bool
has_order(Oid type)
{
	return OidIsValid(lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf);
}

/* Create an index on the id: a primary key if the type has an order, else a hash index. */
static void
create_id_index(Oid table, const char *id_column, const FmIdType *id_type)
{
	char *relation = fm_relation_sql(table);

	if (has_order(id_type->type))
		fm_sql_run(psprintf("ALTER TABLE %s ADD PRIMARY KEY (%s, version)", relation, id_column),
				   NULL, false);
	else
	{
		fm_sql_run(psprintf("CREATE INDEX ON %s USING hash (%s)", relation, id_column), NULL,
				   false);
		/* without it nothing could be deleted while the table is published to a subscriber */
		fm_sql_run(psprintf("ALTER TABLE %s REPLICA IDENTITY FULL", relation), NULL, false);
	}
}

static Oid
create_entity_table(const FmModel *model, Oid schema, const char *entity, const FmIdType *id_type,
					const char *more)
{
	char *id_column = psprintf("%s_id", entity);
	char *columns = psprintf("version integer NOT NULL, idx integer NOT NULL, %s %s NOT NULL, "
							 "w real NOT NULL, v real[] NOT NULL, digest bigint NOT NULL, "
							 "interest_w real, interest_v real[]%s",
							 id_column, fm_id_type_sql(id_type), more);
	char *comment = psprintf("bias w and factors v of each %s, and those of its interest head, one "
							 "row for each version",
							 entity);
	Oid table = create_table(model, schema, entity, columns, comment);

	create_id_index(table, id_column, id_type);
	return table;
}

void
fm_store_create_tables(FmModel *model, Oid schema, const FmIdType *user_type,
					   const FmIdType *item_type)
{
	model->version_table = create_table(model, schema, "version", fm_version_column_definitions(),
										"global bias b, the range of the ratings and what folding "
										"in needs, one row for each version");
	model->user_table = create_entity_table(model, schema, "user", user_type, "");
	model->item_table = create_entity_table(model, schema, "item", item_type, ", popularity real");
	model->matrix_table = create_table(
		model, schema, "matrix",
		psprintf("version integer NOT NULL, block integer NOT NULL, matrix %s NOT NULL, "
				 "PRIMARY KEY (version, block)",
				 fm_qualified_sql(model->extension_schema, "fm_matrix")),
		"the augmented item matrix by item idx, in blocks: what orders lists");
}

void
fm_store_id_types(const FmModel *model, FmIdType *user_type, FmIdType *item_type)
{
	fm_id_type_of_column(model->user_table, fm_column_number(model->user_table, "user_id", NULL),
						 user_type);
	fm_id_type_of_column(model->item_table, fm_column_number(model->item_table, "item_id", NULL),
						 item_type);
}

static void
check_id_type(const FmModel *model, const FmIdType *stored, const char *source_column,
			  const FmIdType *id_type)
{
	const char *relation = get_rel_name(model->definition.ratings);

	if (!fm_id_types_match(stored->type, id_type->type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s, but model \"%s\" was "
						"made for ids of type %s",
						source_column, relation, format_type_be(id_type->type), model->name,
						format_type_be(stored->type)),
				 errhint("To train the model for such ids, name the relation: fm_train('%s', "
						 "ratings => '...').",
						 model->name)));
	if (stored->collation != id_type->collation)
		ereport(ERROR,
				(errcode(ERRCODE_COLLATION_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" has another collation than model "
						"\"%s\" was made for",
						source_column, relation, model->name),
				 errhint("To train the model for such ids, name the relation: fm_train('%s', "
						 "ratings => '...').",
						 model->name)));
}

void
fm_store_check_id_types(const FmModel *model, const FmIdType *user_type, const FmIdType *item_type)
{
	FmIdType user_stored;
	FmIdType item_stored;

	fm_store_id_types(model, &user_stored, &item_stored);
	check_id_type(model, &user_stored, model->definition.user_column, user_type);
	check_id_type(model, &item_stored, model->definition.item_column, item_type);
}

static bool
is_same_type(const FmIdType *stored, const FmIdType *id_type)
{
	return stored->type == id_type->type && stored->collation == id_type->collation;
}

bool
fm_store_has_id_types(const FmModel *model, const FmIdType *user_type, const FmIdType *item_type)
{
	FmIdType user_stored;
	FmIdType item_stored;

	fm_store_id_types(model, &user_stored, &item_stored);
	return is_same_type(&user_stored, user_type) && is_same_type(&item_stored, item_type);
}

/* The table of ids with an order has a key, which ids without one cannot have. */
static void
check_new_id_type(const FmModel *model, const FmIdType *stored, const FmIdType *id_type)
{
	if (has_order(stored->type) && !has_order(id_type->type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("ids of type %s cannot replace those of type %s in model \"%s\"",
						format_type_be(id_type->type), format_type_be(stored->type), model->name),
				 errdetail("Type %s has no order.", format_type_be(id_type->type)),
				 errhint("Train under another name, or fm_drop('%s') first.", model->name)));
}

void
fm_store_check_new_id_types(const FmModel *model, const FmIdType *user_type,
							const FmIdType *item_type)
{
	FmIdType user_stored;
	FmIdType item_stored;

	fm_store_id_types(model, &user_stored, &item_stored);
	check_new_id_type(model, &user_stored, user_type);
	check_new_id_type(model, &item_stored, item_type);
}

/* Empty a table, and give its ids another type. */
static void
change_id_type(const FmModel *model, Oid table, const char *id_column, const FmIdType *stored,
			   const FmIdType *id_type)
{
	char *relation = fm_relation_sql(table);
	char *type = fm_id_type_sql(id_type);

	if (is_same_type(stored, id_type))
		return;
	ereport(NOTICE,
			(errmsg("the tables of model \"%s\" are made anew: the type of %s changes from %s "
					"to %s",
					model->name, id_column, format_type_be(stored->type),
					format_type_be(id_type->type)),
			 errdetail("Its earlier versions are dropped.")));
	fm_sql_run(psprintf("TRUNCATE %s", relation), NULL, false);
	fm_sql_run(psprintf("ALTER TABLE %s ALTER %s TYPE %s USING NULL::%s", relation, id_column, type,
						type),
			   NULL, false);
}

void
fm_store_change_id_types(const FmModel *model, const FmIdType *user_type, const FmIdType *item_type)
{
	FmIdType user_stored;
	FmIdType item_stored;

	fm_store_id_types(model, &user_stored, &item_stored);
	fm_sql_run(psprintf("DELETE FROM %s", fm_relation_sql(model->version_table)), NULL, false);
	/* in the order in which readers lock them */
	change_id_type(model, model->item_table, "item_id", &item_stored, item_type);
	change_id_type(model, model->user_table, "user_id", &user_stored, user_type);
}

void
fm_store_create_level_table(FmModel *model)
{
	model->level_table = create_table(
		model, get_rel_namespace(model->version_table), "level",
		"version integer NOT NULL, idx integer NOT NULL, name text NOT NULL, side text NOT NULL, "
		"feature text, level text, mean double precision NOT NULL, w real NOT NULL, "
		"v real[] NOT NULL, interest_w real, interest_v real[], PRIMARY KEY (version, idx)",
		"what each level of a feature, or of a context, adds to w and v of its users or items");
	fm_sql_run(psprintf("CREATE INDEX ON %s (version, side, feature)",
						fm_relation_sql(model->level_table)),
			   NULL, false);
}

/* Add to a table the columns of an interest head, if it lacks them. */
static void
add_interest_columns(Oid table)
{
	if (OidIsValid(table) && (get_attnum(table, "interest_w") == InvalidAttrNumber ||
							  get_attnum(table, "interest_v") == InvalidAttrNumber))
		fm_sql_run(psprintf("ALTER TABLE %s ADD IF NOT EXISTS interest_w real, "
							"ADD IF NOT EXISTS interest_v real[]",
							fm_relation_sql(table)),
				   NULL, false);
}

void
fm_store_add_columns(const FmModel *model)
{
	/* in the order in which readers lock them */
	fm_version_add_columns(model);
	add_interest_columns(model->item_table);
	if (get_attnum(model->item_table, "popularity") == InvalidAttrNumber)
		fm_sql_run(psprintf("ALTER TABLE %s ADD popularity real",
							fm_relation_sql(model->item_table)),
				   NULL, false);
	add_interest_columns(model->user_table);
	add_interest_columns(model->level_table);
}

void
fm_store_drop_tables(const FmModel *model)
{
	/* in the order in which readers lock them */
	const Oid tables[] = {model->version_table, model->item_table, model->matrix_table,
						  model->user_table, model->level_table};

	for (int i = 0; i < lengthof(tables); i++)
		if (get_rel_name(tables[i]) != NULL)
			fm_sql_run(psprintf("DROP TABLE %s", fm_relation_sql(tables[i])), NULL, false);
}
