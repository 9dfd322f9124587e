/*
 * Items in questions: their ids, and sets of them.
 *
 * Integer ids are looked up in the loaded image. Ids of other types are looked up by a query
 * through the item table's index. Memory: see serving.c. Locking: that of the queries.
 */
#include "serve/items.h"

#include "catalog/pg_type.h"
#include "core/bitset.h"
#include "utils/builtins.h"

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

/* Return the query for an item's idx, or NULL if ids are integers. */
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

/* Return the idx of an id, in its own type, by the item table's index, or -1. */
static int32
find_item_by_query(const FmServing *serving, const char *sql, Datum id)
{
	enum
	{
		IDX
	};
	static const FmColumn columns[] = {[IDX] = {"idx", INT4OID}};
	FmLoaded *loaded = serving->loaded;
	FmSqlParameters parameters = {0};
	FmRows rows;
	int32 item = -1;

	fm_add_parameter(&parameters, loaded->item_type.type, id, false);
	fm_add_integer(&parameters, loaded->version.number);
	fm_plan_run(&loaded->item_plan, sql, &parameters, serving->read_only);
	fm_rows_begin(&rows, columns, lengthof(columns));
	if (fm_rows_next(&rows))
		item = fm_loaded_check_idx(loaded, fm_row_integer(&rows.row, IDX));
	fm_rows_end(&rows);
	return item;
}

/* Return the idx of an id in the form of the call, or -1; `sql` is item_query's. */
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
	return palloc0(fm_bitset_words(loaded->version.num_items) * sizeof(uint64));
}

/* Items being added to a set; those that are new to it are collected. */
typedef struct Adding
{
	uint64 *set;
	int32 *items;
	int32 count;
} Adding;

static inline void
add_item(Adding *adding, int32 item)
{
	if (item < 0 || fm_bitset_has(adding->set, item))
		return;
	fm_bitset_add(adding->set, item);
	adding->items[adding->count++] = item;
}

/* Add a bigint[]. An id that the item type cannot hold is not found, as any unknown id. */
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
	memset(set, 0xFF, fm_bitset_words(loaded->version.num_items) * sizeof(uint64));
	for (int32 i = 0; i < count; i++)
		fm_bitset_remove(set, items[i]);
}
