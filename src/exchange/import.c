/*
 * fm_import and fm_import_arrays: models that other systems have trained.
 *
 * The result is a version like that of a training: w and v of users and items, and what serving
 * needs besides (import_describe.c). The model's definition says that it is imported, by the solver
 * 'import', so that nothing trains it again unless fm_train is given ratings.
 *
 * Everything runs in the caller's transaction. Locking: the training lock of an existing model, a
 * lock on the name of a new one, until the end of the transaction. Memory: that of the SPI
 * connection, which ends with the call.
 */
#include "pg/compat.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>

#include "exchange/import_describe.h"
#include "exchange/import_rows.h"
#include "pg/arguments.h"
#include "pg/host_pg.h"
#include "pg/sql.h"
#include "registry/registry_models.h"
#include "registry/training_lock.h"
#include "source/budget.h"
#include "source/ratings_columns.h"
#include "store/model_functions.h"
#include "store/tables.h"
#include "store/version_rows.h"
#include "train/publish.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_import);
PG_FUNCTION_INFO_V1(fm_import_arrays);

/* The arguments of both functions. */
enum
{
	ARG_MODEL
};

/* Where a function has the arguments that both have, in this order. */
typedef enum CommonArgument
{
	COMMON_USERS,
	COMMON_ITEMS,
	COMMON_RATINGS,
	COMMON_USER_COLUMN,
	COMMON_ITEM_COLUMN,
	COMMON_RATING_COLUMN,
	COMMON_TASK,
	COMMON_RATING_MIN,
	COMMON_RATING_MAX,
	COMMON_UNOBSERVED_WEIGHT,
	NUM_COMMON
} CommonArgument;

enum
{
	FILE_ARTEFACT = ARG_MODEL + 1,
	FILE_COMMON,
	FILE_ROW_COLUMN = FILE_COMMON + NUM_COMMON,
	FILE_FORMAT,
	FILE_NORMALISED,
	FILE_IGNORE_OTHERS,
	FILE_SCHEMA
};

enum
{
	ARRAYS_COMMON = ARG_MODEL + 1,
	ARRAYS_VECTOR_COLUMN = ARRAYS_COMMON + NUM_COMMON,
	ARRAYS_BIAS_COLUMN,
	ARRAYS_GLOBAL_BIAS,
	ARRAYS_SCHEMA
};

/* A classification by the logistic function: Φ(score / 1.702) differs from it by less than 0.01. */
#define LOGISTIC_VARIANCE (1.702 * 1.702 - 1)

/* What one of the functions is doing. */
typedef struct Call
{
	FunctionCallInfo fcinfo;
	int common;		  /* the first of the common arguments */
	Oid schema;		  /* of the extension */
	Oid given_schema; /* for the model's tables, or InvalidOid */
	bool exists;
	bool has_range;
	FmImport import;
	FmImportRelations relations;
} Call;

static char *
name_argument(FunctionCallInfo fcinfo, int argument, const char *option)
{
	fm_require_argument(fcinfo, argument, option);
	return pstrdup(NameStr(*PG_GETARG_NAME(argument)));
}

static bool
boolean_argument(FunctionCallInfo fcinfo, int argument, const char *option)
{
	fm_require_argument(fcinfo, argument, option);
	return PG_GETARG_BOOL(argument);
}

/* Return a finite number that fits the type real, or `if_null` for NULL. */
static double
number_argument(FunctionCallInfo fcinfo, int argument, const char *option, double if_null)
{
	double value = PG_ARGISNULL(argument) ? if_null : PG_GETARG_FLOAT8(argument);

	if (!isfinite((float) value))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be finite and fit the type real, not %g", option, value)));
	return value;
}

static FmTask
task_argument(FunctionCallInfo fcinfo, int argument)
{
	char *name;
	FmTask task;

	fm_require_argument(fcinfo, argument, "task");
	name = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	if (!fm_find_task(name, &task))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("task must be regression, classification or ranking, not \"%s\"", name)));
	return task;
}

/* Take the range of the ratings: without one, predictions are not clipped. */
static void
take_range(Call *call)
{
	FunctionCallInfo fcinfo = call->fcinfo;
	int min = call->common + COMMON_RATING_MIN, max = call->common + COMMON_RATING_MAX;
	FmVersion *version = &call->import.version;
	bool is_label = fm_is_classification(version->task);

	if (PG_ARGISNULL(min) != PG_ARGISNULL(max))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("rating_min and rating_max must be given together")));
	call->has_range = !PG_ARGISNULL(min);
	version->rating_min = (float) number_argument(fcinfo, min, "rating_min",
												  is_label ? 0 : -FLT_MAX);
	version->rating_max = (float) number_argument(fcinfo, max, "rating_max",
												  is_label ? 1 : FLT_MAX);
	if (!(version->rating_min < version->rating_max))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("rating_min must be less than rating_max, which is %g, not %g",
							   version->rating_max, version->rating_min)));
	version->rating_mean = call->has_range || is_label
							   ? ((double) version->rating_min + version->rating_max) / 2
							   : 0;
}

/* Take what only a ranking has, or must not have. */
static void
take_ranking(Call *call, FmDefinition *given)
{
	FunctionCallInfo fcinfo = call->fcinfo;
	int weight = call->common + COMMON_UNOBSERVED_WEIGHT;
	FmVersion *version = &call->import.version;

	if (!fm_is_ranking(given->task))
	{
		if (!PG_ARGISNULL(weight))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("task => '%s' does not use option unobserved_weight",
								   fm_task_name(given->task))));
		return;
	}
	if (call->has_range)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("task => 'ranking' does not use options rating_min and rating_max")));
	if (!OidIsValid(given->ratings))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("task => 'ranking' needs a relation of ratings"),
						errhint("Name it with ratings => 'table'.")));
	if (!PG_ARGISNULL(weight))
		given->unobserved_weight = (float) number_argument(fcinfo, weight, "unobserved_weight", 0);
	if (given->unobserved_weight < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unobserved_weight must not be negative, but is %g",
							   given->unobserved_weight)));
	given->rank_by = FM_RANK_BY_AUTO;
	version->rating_min = version->rating_max = 1;
	version->rating_mean = 1;
}

/* Take the arguments that define the model. Without ratings, an existing model keeps its own. */
static void
take_common(Call *call)
{
	FunctionCallInfo fcinfo = call->fcinfo;
	FmImportRelations *relations = &call->relations;
	FmDefinition *definition = &call->import.model.definition;
	FmDefinition given = {.solver = FM_SOLVER_NONE,
						  .l2_reg_w = NAN,
						  .l2_reg_v = NAN,
						  .unobserved_weight = NAN,
						  .init_stdev = NAN,
						  .workers = -1,
						  .rank_by = FM_RANK_BY_RATING};
	int ratings = call->common + COMMON_RATINGS;

	fm_require_argument(fcinfo, call->common + COMMON_USERS, "users");
	fm_require_argument(fcinfo, call->common + COMMON_ITEMS, "items");
	relations->relation[FM_USERS] = PG_GETARG_OID(call->common + COMMON_USERS);
	relations->relation[FM_ITEMS] = PG_GETARG_OID(call->common + COMMON_ITEMS);
	given.task = task_argument(fcinfo, call->common + COMMON_TASK);
	given.user_column = name_argument(fcinfo, call->common + COMMON_USER_COLUMN, "user_column");
	given.item_column = name_argument(fcinfo, call->common + COMMON_ITEM_COLUMN, "item_column");
	given.rating_column = name_argument(fcinfo, call->common + COMMON_RATING_COLUMN,
										"rating_column");
	relations->id_column[FM_USERS] = given.user_column;
	relations->id_column[FM_ITEMS] = given.item_column;
	if (!PG_ARGISNULL(ratings))
		given.ratings = PG_GETARG_OID(ratings);
	else if (call->exists)
	{
		given.ratings = definition->ratings;
		given.user_column = definition->user_column;
		given.item_column = definition->item_column;
		given.rating_column = definition->rating_column;
	}
	call->import.version.task = given.task;
	if (fm_is_classification(given.task))
		call->import.parameters.score_variance = LOGISTIC_VARIANCE;
	take_range(call);
	take_ranking(call, &given);
	*definition = given;
}

/* Find or reserve the model, and number the run. */
static void
begin(Call *call, FunctionCallInfo fcinfo, int common, int schema)
{
	FmImport *import = &call->import;
	FmModel *model = &import->model;
	char *name = fm_model_name_argument(fcinfo, ARG_MODEL);

	call->fcinfo = fcinfo;
	call->common = common;
	call->schema = fm_extension_schema(fcinfo);
	call->given_schema = fm_schema_argument(fcinfo, schema);
	import->run.started_at = GetCurrentTimestamp();
	call->exists = fm_model_lock(call->schema, name, CurrentMemoryContext, model);
	if (!call->exists)
	{
		fm_check_model_name(name);
		fm_registry_lock_name(call->schema, name);
		call->exists = fm_model_lock(call->schema, name, CurrentMemoryContext, model);
	}
	if (call->exists)
	{
		fm_model_check_not_attached(model);
		fm_model_check_tables(model);
		fm_store_check_schema(model, call->given_schema);
	}
	else
	{
		model->name = name;
		model->extension_schema = call->schema;
		model->owner = GetUserId();
	}
	take_common(call);
	import->run.model = name;
	import->host = fm_pg_host(CurrentMemoryContext);
	fm_registry_number_run(call->schema, &import->run);
}

/* Check the ratings relation, from which seen items and users to fold in are read. */
static void
check_ratings(const Call *call)
{
	const FmImport *import = &call->import;
	const FmDefinition *definition = &import->model.definition;
	FmIdType type[2];

	if (!OidIsValid(definition->ratings))
	{
		ereport(NOTICE, (errmsg("nothing counts as seen: lists of model \"%s\" do not exclude "
								"items already rated",
								import->model.name),
						 errhint("Name the relation of ratings with ratings => 'table'.")));
		return;
	}
	fm_check_ratings_relation(definition, &type[FM_USERS], &type[FM_ITEMS]);
	if (get_rel_persistence(definition->ratings) == RELPERSISTENCE_TEMP)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
						errmsg("ratings cannot be read from temporary relation \"%s\"",
							   get_rel_name(definition->ratings)),
						errhint("Copy it into a permanent table.")));
	for (int side = 0; side < 2; side++)
		if (!fm_id_types_match(type[side].type, import->id_type[side].type))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("relation \"%s\" has ids of type %s, but relation \"%s\" of type %s",
							get_rel_name(call->relations.relation[side]),
							format_type_be(import->id_type[side].type),
							get_rel_name(definition->ratings), format_type_be(type[side].type)),
					 errhint("Make a view of one of them that casts the column.")));
}

/* Create the model's tables and functions, or adapt them to the types of the ids. */
static void
prepare_tables(Call *call, Oid tables_schema)
{
	FmModel *model = &call->import.model;
	const FmIdType *users = &call->import.id_type[FM_USERS];
	const FmIdType *items = &call->import.id_type[FM_ITEMS];

	if (!call->exists)
	{
		fm_store_create_tables(model, tables_schema, users, items);
		fm_store_make_functions(model, ERROR);
		return;
	}
	fm_store_check_new_id_types(model, users, items);
	fm_store_check_dependants(model, users, items);
	if (!fm_store_has_id_types(model, users, items))
		fm_store_change_id_types(model, users, items);
	fm_store_make_functions(model, WARNING);
}

/* Warn if the ratings say that rows may have been taken for those of others. */
static void
warn_of_misfit(FmImport *import)
{
	if (fm_run_misfits(&import->run))
		ereport(WARNING, (errmsg("the model does not fit the ratings: it is worse than their mean"),
						  errdetail("Its %s.", import->run.message),
						  errhint("Check which rows users and items have, and the task.")));
}

/* Store the version and publish it. */
static void
finish(Call *call)
{
	FmImport *import = &call->import;
	FmModel *model = &import->model;
	FmRoleSwitch previous;
	Oid tables_schema = InvalidOid;

	if (!call->exists)
	{
		tables_schema = fm_store_choose_schema(call->given_schema,
											   call->relations.relation[FM_ITEMS],
											   "name another with schema => '...'");
		fm_registry_delete_model(call->schema, model->name); /* a row whose tables are gone */
	}
	previous = fm_act_as(model->owner);
	fm_import_describe(import, call->has_range);
	warn_of_misfit(import);
	prepare_tables(call, tables_schema);
	fm_store_version_rows(model, &import->result);
	fm_restore_role(&previous);
	model->definition.num_factors = import->parameters.num_factors;
	fm_publish(model, &import->run, &import->result.version, &import->result.arrays);
	if (call->exists)
		fm_prune(model);
	fm_registry_start_run(call->schema, &import->run, &model->definition);
	fm_registry_finish_run(call->schema, &import->run);
}

/* The host's failure, for what is wrong with a file. */
static void FM_PRINTF(2, 3) fail(void *ctx, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	for (char *byte = message; *byte != '\0'; byte++)
		if (*byte < ' ' || *byte > '~') /* it may be of a file in no encoding */
			*byte = '?';
	ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					errmsg("the model cannot be imported: %s", message)));
}

static FmImportFormat
format_argument(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {[FM_IMPORT_AUTO] = "auto",
										[FM_IMPORT_SAGEMAKER] = "sagemaker",
										[FM_IMPORT_LIBFM] = "libfm",
										[FM_IMPORT_XLEARN] = "xlearn"};
	char *name;

	fm_require_argument(fcinfo, FILE_FORMAT, "format");
	name = text_to_cstring(PG_GETARG_TEXT_PP(FILE_FORMAT));
	for (int f = 0; f < lengthof(names); f++)
		if (strcmp(name, names[f]) == 0)
			return (FmImportFormat) f;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("format must be auto, sagemaker, libfm or xlearn, not \"%s\"", name)));
}

static void
read_file(Call *call, FmImported *file)
{
	FunctionCallInfo fcinfo = call->fcinfo;
	FmHost host = *call->import.host;
	bytea *artefact;
	FmImporting importing = {&host, (size_t) fm_training_memory * 1024,
							 boolean_argument(fcinfo, FILE_NORMALISED, "normalised")};

	fm_require_argument(fcinfo, FILE_ARTEFACT, "artefact");
	artefact = PG_GETARG_BYTEA_PP(FILE_ARTEFACT);
	host.fail = fail;
	fm_import_read(&importing, format_argument(fcinfo),
				   (FmBytes){(unsigned char *) VARDATA_ANY(artefact), VARSIZE_ANY_EXHDR(artefact)},
				   file);
}

Datum
fm_import(PG_FUNCTION_ARGS)
{
	Call *call = palloc0(sizeof(Call));
	FmImported file;
	FmRoleSwitch previous;

	PreventCommandIfReadOnly("fm_import()");
	fm_spi_connect();
	begin(call, fcinfo, FILE_COMMON, FILE_SCHEMA);
	call->relations.row_column = name_argument(fcinfo, FILE_ROW_COLUMN, "row_column");
	call->relations.ignore_others = boolean_argument(fcinfo, FILE_IGNORE_OTHERS, "ignore_others");
	read_file(call, &file);
	call->import.version.b = file.b;
	previous = fm_act_as(call->import.model.owner);
	fm_import_id_types(&call->import, &call->relations);
	check_ratings(call);
	fm_import_mapped(&call->import, &call->relations, &file);
	fm_restore_role(&previous);
	finish(call);
	return fm_finish_with_run(call->schema, call->import.run.model, call->import.run.version);
}

Datum
fm_import_arrays(PG_FUNCTION_ARGS)
{
	Call *call = palloc0(sizeof(Call));
	FmRoleSwitch previous;

	PreventCommandIfReadOnly("fm_import_arrays()");
	fm_spi_connect();
	begin(call, fcinfo, ARRAYS_COMMON, ARRAYS_SCHEMA);
	call->relations.vector_column = name_argument(fcinfo, ARRAYS_VECTOR_COLUMN, "vector_column");
	if (!PG_ARGISNULL(ARRAYS_BIAS_COLUMN))
		call->relations.bias_column = name_argument(fcinfo, ARRAYS_BIAS_COLUMN, "bias_column");
	call->import.version.b = number_argument(fcinfo, ARRAYS_GLOBAL_BIAS, "global_bias", 0);
	previous = fm_act_as(call->import.model.owner);
	fm_import_id_types(&call->import, &call->relations);
	check_ratings(call);
	fm_import_vectors(&call->import, &call->relations);
	fm_restore_role(&previous);
	finish(call);
	return fm_finish_with_run(call->schema, call->import.run.model, call->import.run.version);
}
