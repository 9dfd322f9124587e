/*
 * What all questions to a model share.
 *
 * The caller's SELECT privilege on the model's tables is checked on every call, whether the
 * version is loaded or not. After that all reading is done as the model's owner, under a
 * security-restricted operation, so that nothing the owner has put on the tables or on the ratings
 * runs with the caller's privileges. Memory: a function returns its result in the context that is
 * current when it is called, unless its comment says otherwise.
 */
#include "serve/serving.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/lsyscache.h"

static void
check_ids_are_integers(const FmServing *serving, const FmIdType *id_type, const char *which)
{
	if (serving->form != FM_IDS_BIGINT || id_type->is_integer)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("the %s ids of model \"%s\" are of type %s, not integers", which,
					serving->model.name, format_type_be(id_type->type)),
			 errhint("Give ids as text, for example '42', and get them as text. Cast a value "
					 "that is not a constant: id::text.")));
}

void
fm_serve_begin(FmServing *serving, FunctionCallInfo fcinfo, text *model, FmIdForm form,
			   MemoryContext context)
{
	serving->form = form;
	serving->context = context;
	serving->read_only = true;
	fm_spi_connect();
	fm_model_resolve(fm_extension_schema(fcinfo), model, true, context, &serving->model);
	fm_model_check_readable(&serving->model, GetUserId());
	fm_model_take_pointer(&serving->model, true);
	if (serving->model.version == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no version yet", serving->model.name),
				 errdetail("It is attached, and its table \"%s\" does not name a version to serve.",
						   get_rel_name(serving->model.version_table)),
				 errhint("Check that its subscription is running and has copied the tables.")));
	serving->caller = fm_act_as(serving->model.owner);
	serving->loaded = fm_loaded_get(&serving->model, true, context);
	check_ids_are_integers(serving, &serving->loaded->user_type, "user");
	check_ids_are_integers(serving, &serving->loaded->item_type, "item");
}

void
fm_serve_end(FmServing *serving)
{
	fm_restore_role(&serving->caller);
	fm_spi_finish();
}

/* Return whether a text is an integer that the type of the ids cannot hold. */
static bool
is_too_large(const FmIdType *id_type, const char *digits)
{
	char *end;
	Datum id;
	long long value;

	if (!id_type->is_integer)
		return false;
	errno = 0;
	value = strtoll(digits, &end, 10);
	if (end == digits || end[strspn(end, " \t\n\r\f\v")] != '\0')
		return false;
	return errno == ERANGE || !fm_id_from_int64(id_type, value, &id);
}

/* Raise the error that a text is no id, unless the error at hand is of another kind. */
pg_noreturn static void
no_such_id(const FmServing *serving, const FmIdType *id_type, const char *given,
		   const ErrorData *error)
{
	const FmModel *model = &serving->model;
	bool is_user = id_type == &serving->loaded->user_type;
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (category != ERRCODE_DATA_EXCEPTION && category != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		ReThrowError(unconstify(ErrorData *, error));
	ereport(ERROR,
			(errcode(error->sqlerrcode),
			 errmsg("the %s ids of model \"%s\" are of type %s, and \"%s\" is none",
					is_user ? "user" : "item", model->name, format_type_be(id_type->type), given),
			 errhint("Give an id as it stands in column \"%s\" of the ratings, and the name of a "
					 "model as model => '...'.",
					 is_user ? model->definition.user_column : model->definition.item_column)));
}

/* Read an id in its text form. */
static Datum
read_id(const FmServing *serving, const FmIdType *id_type, char *given)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Datum id = 0;
	Oid input;
	Oid parameter;

	getTypeInputInfo(id_type->type, &input, &parameter);
	PG_TRY();
	{
		/* no typmod: 'abc' does not fit varchar(2), but it is merely equal to no id */
		id = OidInputFunctionCall(input, given, parameter, -1);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		no_such_id(serving, id_type, given, error);
	}
	PG_END_TRY();
	return id;
}

bool
fm_serve_id_in(const FmServing *serving, const FmIdType *id_type, Datum given, Datum *id)
{
	char *string;

	if (serving->form == FM_IDS_BIGINT)
		return fm_id_from_int64(id_type, DatumGetInt64(given), id);
	string = TextDatumGetCString(given);
	if (is_too_large(id_type, string))
		return false;
	*id = read_id(serving, id_type, string);
	return true;
}

void
fm_check_score(double score)
{
	if (!isfinite((float) score))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("score %g is out of range for type real", score),
				 errhint("The model's w or v have been altered, or its ratings are of a scale that "
						 "type real cannot hold.")));
}
