/*
 * What every question to a model has in common.
 *
 * The caller's rights are checked on every call, loaded or not: SELECT on the model's tables. From then
 * on all reading is done as the model's owner under a security-restricted operation, so nothing the
 * owner may have put on his tables or on the ratings runs with the caller's rights. Memory: what a
 * function returns is in the context that is current when it is called, unless it says otherwise.
 */
#include "serve/serving.h"

#include "catalog/pg_type.h"
#include "core/scan/scan.h"
#include "core/train/solver.h"
#include "pg/real_array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

static void
check_ids_are_integers(const FmServing *serving, const FmIdType *id_type, const char *which)
{
	if (serving->form != FM_IDS_BIGINT || id_type->is_integer)
		return;
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("the %s ids of model \"%s\" are of type %s, not integers", which,
						   serving->model.name, format_type_be(id_type->type)),
					errhint("Give ids as text, for example '42'::text, and get them as text.")));
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
	if (serving->model.version == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no version yet", serving->model.name),
				 errdetail("It is attached, and no row of its table \"%s\" says what is served.",
						   get_rel_name(serving->model.version_table)),
				 errhint("See whether its subscription is running and has copied the tables.")));
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

bool
fm_serve_id_in(const FmServing *serving, const FmIdType *id_type, Datum given, Datum *id)
{
	Oid input;
	Oid parameter;

	if (serving->form == FM_IDS_BIGINT)
		return fm_id_from_int64(id_type, DatumGetInt64(given), id);
	getTypeInputInfo(id_type->type, &input, &parameter);
	/* as a literal of the type in general: 'abc' is no varchar(2), and equal to none */
	*id = OidInputFunctionCall(input, TextDatumGetCString(given), parameter, -1);
	return true;
}

Datum
fm_serve_item_out(const FmServing *serving, int32 item)
{
	FmLoaded *loaded = serving->loaded;
	MemoryContext previous;
	Datum result;

	if (serving->form == FM_IDS_BIGINT)
		return Int64GetDatum(fm_image_integer_id(loaded->image, item));
	previous = MemoryContextSwitchTo(serving->context);
	result = CStringGetTextDatum(fm_id_text(&loaded->item_type, fm_loaded_item_id(loaded, item)));
	MemoryContextSwitchTo(previous);
	return result;
}

static char *
user_query(const FmServing *serving)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT w, v, digest FROM %s WHERE version = $2 AND ",
					 fm_relation_sql(serving->model.user_table));
	fm_append_equality(&sql, "user_id", serving->loaded->user_type.type, "$1");
	return sql.data;
}

FmUserVector
fm_serve_user(const FmServing *serving, bool possible, Datum user_id)
{
	const Oid columns[] = {FLOAT4OID, FLOAT4ARRAYOID, INT8OID};
	FmLoaded *loaded = serving->loaded;
	Oid types[] = {loaded->user_type.type, INT4OID};
	Datum values[] = {user_id, Int32GetDatum(loaded->version)};
	FmUserVector user = {palloc0((loaded->num_factors + 1) * sizeof(float)), loaded->b};
	bool known;
	bool rated = false;

	user.query[loaded->num_factors] = 1;
	if (!possible)
		return user;
	fm_plan_execute(&loaded->user_plan, user_query(serving), 2, types, values, serving->read_only);
	fm_spi_expect(columns, 3);
	known = SPI_processed > 0;
	if (known)
	{
		user.base += DatumGetFloat4(fm_spi_value_not_null(0, 1));
		fm_read_real_array(fm_spi_value_not_null(0, 2), loaded->num_factors, "a user's v",
						   user.query);
		rated = DatumGetInt64(fm_spi_value_not_null(0, 3)) != 0;
	}
	SPI_freetuptable(SPI_tuptable);
	return rated ? user : fm_serve_new_user(serving, known ? &user : NULL, user_id, NULL);
}

double
fm_serve_score(const FmLoaded *loaded, double score)
{
	return loaded->is_classification ? fm_probability(score, loaded->score_variance) : score;
}

/* NULL where ids are integers, which are looked up in memory. */
static char *
item_query(const FmServing *serving)
{
	StringInfoData sql;

	if (serving->loaded->item_type.is_integer)
		return NULL;
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT idx FROM %s WHERE version = $2 AND ",
					 fm_relation_sql(serving->model.item_table));
	fm_append_equality(&sql, "item_id", serving->loaded->item_type.type, "$1");
	return sql.data;
}

/* The idx of a native id by the item table's index, or -1. */
static int32
find_item_by_query(const FmServing *serving, const char *sql, Datum id)
{
	const Oid columns[] = {INT4OID};
	FmLoaded *loaded = serving->loaded;
	Oid types[] = {loaded->item_type.type, INT4OID};
	Datum values[] = {id, Int32GetDatum(loaded->version)};
	int32 item = -1;

	fm_plan_execute(&loaded->item_plan, sql, 2, types, values, serving->read_only);
	fm_spi_expect(columns, 1);
	if (SPI_processed > 0)
		item = fm_loaded_check_idx(loaded, DatumGetInt32(fm_spi_value_not_null(0, 1)));
	SPI_freetuptable(SPI_tuptable);
	return item;
}

/* The idx of an id as the call gave it, or -1; sql is item_query's. */
static int32
find_item(const FmServing *serving, const char *sql, Datum given)
{
	const FmLoaded *loaded = serving->loaded;
	Datum id;

	if (!fm_serve_id_in(serving, &loaded->item_type, given, &id))
		return -1;
	if (loaded->item_type.is_integer)
		return fm_image_find_integer(loaded->image, fm_id_as_int64(&loaded->item_type, id));
	return find_item_by_query(serving, sql, id);
}

int32
fm_serve_item(const FmServing *serving, Datum given)
{
	return find_item(serving, item_query(serving), given);
}

uint64 *
fm_new_item_set(const FmLoaded *loaded)
{
	return palloc0((loaded->num_items / 64 + 1) * sizeof(uint64));
}

/* Items being added to a set, those that it had not yet collected. */
typedef struct Adding
{
	uint64 *set;
	int32 *items;
	int32 count;
} Adding;

static inline void
add_item(Adding *adding, int32 item)
{
	if (item < 0 || fm_item_is_in(adding->set, item))
		return;
	fm_add_items(adding->set, &item, 1);
	adding->items[adding->count++] = item;
}

/* A bigint[] where items are integers: no id that the type cannot hold is among the items. */
static void
add_integers(const FmLoaded *loaded, ArrayType *given, int length, Adding *adding)
{
	const int64 *ids = (const int64 *) ARR_DATA_PTR(given);
	const bits8 *present = ARR_NULLBITMAP(given);

	for (int i = 0; i < length; i++)
		if (present == NULL || (present[i / 8] >> (i % 8)) & 1)
			add_item(adding, fm_image_find_integer(loaded->image, *ids++));
}

static void
add_texts(const FmServing *serving, ArrayType *given, Adding *adding)
{
	char *sql = item_query(serving);
	Datum *ids;
	bool *nulls;
	int length;

	deconstruct_array(given, TEXTOID, -1, false, TYPALIGN_INT, &ids, &nulls, &length);
	for (int i = 0; i < length; i++)
		if (!nulls[i])
			add_item(adding, find_item(serving, sql, ids[i]));
}

int32 *
fm_add_given_items(const FmServing *serving, ArrayType *given, uint64 *set, int32 *count)
{
	int length = ArrayGetNItems(ARR_NDIM(given), ARR_DIMS(given));
	Adding adding = {set, palloc(((Size) length + 1) * sizeof(int32)), 0};

	if (serving->form == FM_IDS_BIGINT)
		add_integers(serving->loaded, given, length, &adding);
	else
		add_texts(serving, given, &adding);
	*count = adding.count;
	return adding.items;
}

void
fm_set_all_but(const FmLoaded *loaded, uint64 *set, const int32 *items, int32 count)
{
	memset(set, 0xFF, (loaded->num_items / 64 + 1) * sizeof(uint64));
	for (int32 i = 0; i < count; i++)
		set[items[i] / 64] &= ~(UINT64CONST(1) << (items[i] % 64));
}
