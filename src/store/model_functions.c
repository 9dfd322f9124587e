/*
 * The functions of a model's own: fm_top_x and fm_top_x_all with the types of its ids, so that
 * untyped parameters, and joins with the tables of users and items, need no casts. Where ids are
 * integers, arguments are bigint, which takes an integer of any size.
 *
 * Each is one SELECT from the general function, which the planner puts in its place. So it runs as
 * its caller, and the general function makes all checks. Names in it are qualified, since it has no
 * search_path of its own: that would keep it from being inlined.
 *
 * A function is the model's own if it depends on the version table, with which it is dropped, or,
 * after a dump and restore that lost this, if it is the owner's, beside the table, and depends on
 * the extension (ALTER FUNCTION ... DEPENDS ON EXTENSION). CREATE OR REPLACE takes both marks off,
 * so what a user has put in its place is left alone.
 *
 * Locking: that of CREATE and DROP FUNCTION; calls do not wait for them. Memory: the current
 * context.
 */
#include "store/model_functions.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "parser/parse_coerce.h"
#include "pg/sql.h"
#include "store/tables.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#define MAX_PARAMETERS 16

/* A function as it should be. */
typedef struct Function
{
	char *name;
	int num_inputs;
	int num_parameters;
	Oid types[MAX_PARAMETERS]; /* of the inputs, then of the columns of the result */
	char *parameters;
	char *result;
	const char *cost;
	char *body;
	char *comment;
} Function;

/* The types that the functions of a model have. */
typedef struct Types
{
	Oid user; /* of results */
	Oid item;
	Oid user_argument;
	Oid items_argument; /* an array */
	bool are_integers;	/* both */
} Types;

/* Return whether a cast to or from text is a function that a user has made. */
static bool
has_casts(Oid type)
{
	Oid to_text = InvalidOid;
	Oid from_text = InvalidOid;

	(void) find_coercion_pathway(TEXTOID, type, COERCION_EXPLICIT, &to_text);
	(void) find_coercion_pathway(type, TEXTOID, COERCION_EXPLICIT, &from_text);
	return to_text >= FirstNormalObjectId || from_text >= FirstNormalObjectId;
}

/*
 * Return the type of ids in functions: that of the model without domains, whose checks a caller
 * should not run; text where a cast need not give the text form of the id.
 */
static Oid
function_type(const FmIdType *id_type)
{
	Oid type = getBaseType(id_type->type);

	return has_casts(type) ? TEXTOID : type;
}

/* Return the type of arguments for ids of a type: programs have integers of any size. */
static Oid
argument_type(Oid type)
{
	return type == INT2OID || type == INT4OID ? INT8OID : type;
}

static Types
function_types(const FmIdType *user_type, const FmIdType *item_type)
{
	Types types = {.user = function_type(user_type),
				   .item = function_type(item_type),
				   .are_integers = user_type->is_integer && item_type->is_integer};

	types.user_argument = argument_type(types.user);
	types.items_argument = get_array_type(argument_type(types.item));
	if (!OidIsValid(types.items_argument))
		types.items_argument = TEXTARRAYOID; /* there are no arrays of arrays */
	return types;
}

/* Return a type without a modifier, as SQL. */
static char *
type_sql(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

static void
set_types(Function *function, int num_inputs, const Oid *inputs, int num_outputs,
		  const Oid *outputs)
{
	function->num_inputs = num_inputs;
	function->num_parameters = num_inputs + num_outputs;
	memcpy(function->types, inputs, num_inputs * sizeof(Oid));
	memcpy(function->types + num_inputs, outputs, num_outputs * sizeof(Oid));
}

static char *
comment_of(const FmModel *model, const char *of)
{
	return psprintf("fmtopx model \"%s\": %s, with the types of its ids", model->name, of);
}

/* The functions, by name, in the order in which they are described. */
static const char *const name_formats[] = {"fm_%s_top_x", "fm_%s_top_x_all"};

#define NUM_FUNCTIONS lengthof(name_formats)

/* Describe fm_<model>_top_x. The columns of its result are those of fm_top_x. */
static Function
describe_top_x(const FmModel *model, const Types *types)
{
	Function function = {.cost = "COST 10000 ROWS 10", .comment = comment_of(model, "fm_top_x")};
	const Oid inputs[] = {types->user_argument,	 INT8OID,  BOOLOID,	 types->items_argument,
						  types->items_argument, JSONBOID, FLOAT8OID};
	const Oid outputs[] = {INT4OID, types->item, FLOAT4OID, FLOAT4OID};
	const char *form = types->are_integers ? "pg_catalog.int8" : "pg_catalog.text";

	set_types(&function, lengthof(inputs), inputs, lengthof(outputs), outputs);
	function.parameters = psprintf("user_id %s, x bigint DEFAULT 10, "
								   "exclude_seen boolean DEFAULT true, candidates %s DEFAULT NULL, "
								   "exclude %s DEFAULT NULL, context jsonb DEFAULT NULL, "
								   "novelty double precision DEFAULT NULL",
								   type_sql(types->user_argument), type_sql(types->items_argument),
								   type_sql(types->items_argument));
	function.result = psprintf("rank integer, item_id %s, score real, rating real",
							   type_sql(types->item));
	function.body = psprintf("SELECT t.rank, t.item_id::%s, t.score, t.rating FROM %s("
							 "user_id => $1::%s, x => $2, model => %s::pg_catalog.text, "
							 "exclude_seen => $3, candidates => $4::%s[], exclude => $5::%s[], "
							 "context => $6, novelty => $7) t",
							 type_sql(types->item),
							 fm_qualified_sql(model->extension_schema, "fm_top_x"), form,
							 quote_literal_cstr(model->name), form, form);
	return function;
}

/* Describe fm_<model>_top_x_all. */
static Function
describe_top_x_all(const FmModel *model, const Types *types)
{
	Function function = {.cost = "COST 1000000 ROWS 100000",
						 .comment = comment_of(model, "fm_top_x_all")};
	const Oid inputs[] = {INT8OID, BOOLOID, REGCLASSOID, REGCLASSOID, JSONBOID, FLOAT8OID};
	const Oid outputs[] = {types->user, INT4OID, types->item, FLOAT4OID, FLOAT4OID};

	set_types(&function, lengthof(inputs), inputs, lengthof(outputs), outputs);
	function.parameters = "x bigint DEFAULT 10, exclude_seen boolean DEFAULT true, "
						  "users regclass DEFAULT NULL, items regclass DEFAULT NULL, "
						  "context jsonb DEFAULT NULL, novelty double precision DEFAULT NULL";
	function.result = psprintf("user_id %s, rank integer, item_id %s, score real, rating real",
							   type_sql(types->user), type_sql(types->item));
	function.body = psprintf("SELECT t.user_id::%s, t.rank, t.item_id::%s, t.score, t.rating "
							 "FROM %s(x => $1, model => %s::pg_catalog.text, exclude_seen => $2, "
							 "users => $3, items => $4, context => $5, novelty => $6) t",
							 type_sql(types->user), type_sql(types->item),
							 fm_qualified_sql(model->extension_schema, "fm_top_x_all"),
							 quote_literal_cstr(model->name));
	return function;
}

/* Return the name of a function, which is not as long as to be cut off. */
static char *
name_of(const FmModel *model, int function)
{
	return psprintf(name_formats[function], model->name);
}

static void
describe(const FmModel *model, const FmIdType *user_type, const FmIdType *item_type,
		 Function *functions)
{
	Types types = function_types(user_type, item_type);

	functions[0] = describe_top_x(model, &types);
	functions[1] = describe_top_x_all(model, &types);
	for (int i = 0; i < NUM_FUNCTIONS; i++)
		functions[i].name = name_of(model, i);
}

static void
add_types(FmSqlParameters *parameters, const Oid *types, int count)
{
	Datum *values = palloc(count * sizeof(Datum));

	for (int i = 0; i < count; i++)
		values[i] = ObjectIdGetDatum(types[i]);
	fm_add_parameter(parameters, OIDARRAYOID,
					 PointerGetDatum(
						 construct_array(values, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT)),
					 false);
}

/* The functions of a name, as find_functions returns them. */
enum
{
	FUNCTION_OID,
	SCHEMA,
	IS_OWN,	   /* the model's */
	FITS,	   /* CREATE OR REPLACE can make it what it should be */
	IS_RIGHT,  /* it is that already */
	IS_CLASH,  /* not the model's, but in its way */
	SIGNATURE, /* for messages */
};

static const FmColumn columns[] = {
	[FUNCTION_OID] = {"p.oid", OIDOID},
	[SCHEMA] = {"p.pronamespace", OIDOID},
	[IS_OWN] = {"is_own", BOOLOID},
	[FITS] = {"fits", BOOLOID},
	[IS_RIGHT] = {"fits AND of_table AND p.prosrc = $6", BOOLOID},
	[IS_CLASH] = {"NOT is_own AND (is_member OR p.pronamespace = $3 AND "
				  "(p.proargtypes::oid[])[0:] = ($5)[1:$7])",
				  BOOLOID},
	[SIGNATURE] = {"p.oid::regprocedure::text", TEXTOID},
};

/* Find all functions of this name, those beside the version table first. */
static void
find_functions(const FmModel *model, const Function *function, FmRows *rows)
{
	FmSqlParameters parameters = {0};
	Oid schema = get_rel_namespace(model->version_table);

	fm_add_text(&parameters, function->name);
	fm_add_parameter(&parameters, OIDOID, ObjectIdGetDatum(model->version_table), false);
	fm_add_parameter(&parameters, OIDOID, ObjectIdGetDatum(schema), false);
	fm_add_parameter(&parameters, OIDOID, ObjectIdGetDatum(model->owner), false);
	add_types(&parameters, function->types, function->num_parameters);
	fm_add_text(&parameters, function->body);
	fm_add_integer(&parameters, function->num_inputs);
	fm_add_parameter(&parameters, OIDOID, ObjectIdGetDatum(get_extension_oid("fmtopx", false)),
					 false);
	fm_sql_run(psprintf("SELECT %s FROM pg_proc p, LATERAL ("
						"SELECT coalesce(bool_or(refclassid = 'pg_class'::regclass AND "
						"refobjid = $2 AND deptype = 'a'), false), "
						"coalesce(bool_or(refclassid = 'pg_extension'::regclass AND "
						"refobjid = $8 AND deptype = 'x'), false), "
						"coalesce(bool_or(refclassid = 'pg_extension'::regclass AND "
						"refobjid = $8 AND deptype = 'e'), false) "
						"FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid) "
						"AS d (of_table, of_extension, is_member), LATERAL ("
						"SELECT of_table OR of_extension AND p.pronamespace = $3 AND "
						"p.proowner = $4, "
						"coalesce(p.proallargtypes = $5 AND p.proowner = $4, false)) "
						"AS o (is_own, fits) "
						"WHERE p.proname = $1 ORDER BY p.pronamespace <> $3",
						fm_select_list(columns, lengthof(columns))),
			   &parameters, false);
	fm_rows_begin(rows, columns, lengthof(columns));
}

static void
drop_function(Oid function)
{
	const ObjectAddress address = {ProcedureRelationId, function, 0};

	performDeletion(&address, DROP_RESTRICT, 0);
	CommandCounterIncrement();
}

/* Mark a function as the model's own. */
static void
mark_function(const FmModel *model, Oid function)
{
	const ObjectAddress address = {ProcedureRelationId, function, 0};
	const ObjectAddress table = {RelationRelationId, model->version_table, 0};
	const ObjectAddress extension = {ExtensionRelationId, get_extension_oid("fmtopx", false), 0};

	recordDependencyOn(&address, &table, DEPENDENCY_AUTO);
	recordDependencyOn(&address, &extension, DEPENDENCY_AUTO_EXTENSION);
	CommandCounterIncrement();
}

/* Create a function, or replace one that fits. */
static void
create_function(const FmModel *model, const Function *function, Oid schema)
{
	char *qualified = fm_qualified_sql(schema, function->name);
	oidvector *inputs = buildoidvector(function->types, function->num_inputs);
	Oid created;

	fm_sql_run(psprintf("CREATE OR REPLACE FUNCTION %s(%s) RETURNS TABLE (%s) LANGUAGE sql STABLE "
						"PARALLEL RESTRICTED %s AS %s",
						qualified, function->parameters, function->result, function->cost,
						quote_literal_cstr(function->body)),
			   NULL, false);
	created = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(function->name),
							  PointerGetDatum(inputs), ObjectIdGetDatum(schema));
	fm_sql_run(psprintf("COMMENT ON FUNCTION %s IS %s", format_procedure_qualified(created),
						quote_literal_cstr(function->comment)),
			   NULL, false);
	mark_function(model, created);
}

/* Return whether a function can be made in a schema; if not, report that. */
static bool
may_create(const FmModel *model, const Function *function, Oid schema, const char *clash, int level)
{
	char *owner = GetUserNameFromId(model->owner, false);
	char *schema_name = get_namespace_name(schema);

	if (clash != NULL)
		ereport(level, (errcode(ERRCODE_DUPLICATE_FUNCTION),
						errmsg("model \"%s\" cannot have a function \"%s\" of its own", model->name,
							   function->name),
						errdetail("Function %s already exists.", clash),
						errhint("Drop or rename that function, or train under another name.")));
	else if (fm_namespace_aclcheck(schema, model->owner, ACL_CREATE) != ACLCHECK_OK)
		ereport(level,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("model \"%s\" cannot have a function \"%s\" of its own", model->name,
						function->name),
				 errdetail("Role \"%s\" may not create it in schema \"%s\".", owner, schema_name),
				 errhint("GRANT CREATE ON SCHEMA %s TO %s; the next training makes the function.",
						 quote_identifier(schema_name), quote_identifier(owner))));
	else
		return true;
	return false;
}

static void
make_function(const FmModel *model, const Function *function, int level)
{
	FmRows rows;
	Oid schema = get_rel_namespace(model->version_table);
	bool found = false;
	bool is_right = false;
	char *clash = NULL;

	find_functions(model, function, &rows);
	while (fm_rows_next(&rows))
	{
		bool is_own = fm_row_boolean(&rows.row, IS_OWN);

		if (fm_row_boolean_or(&rows.row, IS_CLASH, false))
			clash = fm_row_text(&rows.row, SIGNATURE);
		if (!is_own)
			continue;
		if (!found)
			schema = fm_row_relation(&rows.row, SCHEMA);
		if (found || !fm_row_boolean(&rows.row, FITS))
			drop_function(fm_row_relation(&rows.row, FUNCTION_OID));
		else
		{
			found = true;
			is_right = fm_row_boolean(&rows.row, IS_RIGHT);
		}
	}
	fm_rows_end(&rows);
	if (!is_right && may_create(model, function, schema, clash, level))
		create_function(model, function, schema);
}

void
fm_store_make_functions(const FmModel *model, int level)
{
	Function functions[NUM_FUNCTIONS];
	FmIdType user_type;
	FmIdType item_type;

	/* models of an earlier layout may have longer names, for which there are no functions */
	if (strlen(model->name) + strlen(FM_LONGEST_SUFFIX) >= NAMEDATALEN)
		return;
	fm_store_id_types(model, &user_type, &item_type);
	describe(model, &user_type, &item_type, functions);
	for (int i = 0; i < NUM_FUNCTIONS; i++)
		make_function(model, &functions[i], level);
}

/* Raise an error if an object that must be made anew has dependants. */
static void
check_dependants(Oid class, Oid object, int column, const char *what)
{
	FmSqlParameters parameters = {0};
	char *dependant;

	fm_add_parameter(&parameters, OIDOID, ObjectIdGetDatum(class), false);
	fm_add_parameter(&parameters, OIDOID, ObjectIdGetDatum(object), false);
	fm_add_integer(&parameters, column);
	/* a view depends by its rule, which is internal to it */
	fm_sql_run("SELECT pg_describe_object(coalesce(v.refclassid, d.classid), "
			   "coalesce(v.refobjid, d.objid), 0) FROM pg_depend d "
			   "LEFT JOIN pg_depend v ON v.classid = d.classid AND v.objid = d.objid AND "
			   "v.deptype = 'i' WHERE d.refclassid = $1 AND d.refobjid = $2 AND "
			   "d.refobjsubid = $3 AND d.deptype = 'n' AND "
			   "d.classid IN ('pg_rewrite'::regclass, 'pg_proc'::regclass) LIMIT 1",
			   &parameters, false);
	dependant = fm_sql_text();
	if (dependant != NULL)
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("%s must be made anew, but %s depends on it", what, dependant),
						errdetail("The ids have got another type, or the model another owner."),
						errhint("Drop that first, and create it again after the training.")));
}

/* Do the same for the id column of a table, if its type changes. */
static void
check_column(Oid table, const char *name, const FmIdType *stored, const FmIdType *id_type)
{
	if (stored->type != id_type->type || stored->collation != id_type->collation)
		check_dependants(RelationRelationId, table, fm_column_number(table, name, NULL),
						 psprintf("column \"%s\" of table \"%s\"", name, get_rel_name(table)));
}

void
fm_store_check_dependants(const FmModel *model, const FmIdType *user_type,
						  const FmIdType *item_type)
{
	Function functions[NUM_FUNCTIONS];
	FmIdType user_stored;
	FmIdType item_stored;

	fm_store_id_types(model, &user_stored, &item_stored);
	check_column(model->user_table, "user_id", &user_stored, user_type);
	check_column(model->item_table, "item_id", &item_stored, item_type);
	describe(model, user_type, item_type, functions);
	for (int i = 0; i < NUM_FUNCTIONS; i++)
	{
		FmRows rows;

		find_functions(model, &functions[i], &rows);
		while (fm_rows_next(&rows))
			if (fm_row_boolean(&rows.row, IS_OWN) && !fm_row_boolean(&rows.row, FITS))
				check_dependants(ProcedureRelationId, fm_row_relation(&rows.row, FUNCTION_OID), 0,
								 psprintf("function %s", fm_row_text(&rows.row, SIGNATURE)));
		fm_rows_end(&rows);
	}
}

void
fm_store_drop_functions(const FmModel *model)
{
	for (int i = 0; i < NUM_FUNCTIONS; i++)
	{
		Function function = {.name = name_of(model, i)};
		FmRows rows;

		find_functions(model, &function, &rows);
		while (fm_rows_next(&rows))
			if (fm_row_boolean(&rows.row, IS_OWN))
				drop_function(fm_row_relation(&rows.row, FUNCTION_OID));
		fm_rows_end(&rows);
	}
}
