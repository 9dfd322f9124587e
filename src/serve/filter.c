/*
 * Filters: relations that say whom lists are for, and what may be in them.
 *
 * Nothing is assumed of the relations: each is read by a query, as the role that has named it,
 * which is the caller or, when a table of lists is refreshed, the owner of that table. Memory: the
 * current context, for every distinct user and every item. Locking: that of the queries.
 */
#include "serve/filter.h"

#include "core/bitset.h"
#include "serve/items.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* What a filter reads: one column. */
typedef struct Source
{
	const FmServing *serving;
	Oid relation;
	const char *what; /* "users" or "items" */
	char *column;
	const FmIdType *id_type; /* of the model */
	FmIdType stored;		 /* of the column: the same, or another integer type */
} Source;

static void
check_relation(const Source *source)
{
	char kind = get_rel_relkind(source->relation);

	if (kind == '\0')
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the relation given as %s (OID %u) no longer exists", source->what,
							   source->relation),
						errhint("Write the table of lists again, with another relation.")));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
		kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\", given as %s, is not a table or view",
							   get_rel_name(source->relation), source->what)));
}

/* Check the relation and its column, and set the column's type. */
static void
check_source(Source *source)
{
	AttrNumber number;
	Oid type;

	check_relation(source);
	number = get_attnum(source->relation, source->column);
	if (number <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("relation \"%s\", given as %s, has no column \"%s\"",
							   get_rel_name(source->relation), source->what, source->column),
						errdetail("The ids of model \"%s\" are from a column of this name.",
								  source->serving->model.name),
						errhint("Make a view that names the column so.")));
	type = get_atttype(source->relation, number);
	if (!fm_id_types_match(type, source->id_type->type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\", given as %s, is of type %s, but model "
						"\"%s\" has ids of type %s",
						source->column, get_rel_name(source->relation), source->what,
						format_type_be(type), source->serving->model.name,
						format_type_be(source->id_type->type)),
				 errhint("Make a view that casts the column.")));
	source->stored = *source->id_type;
	if (type != source->id_type->type)
		fm_id_type_of_integer(type, &source->stored);
}

/* Read the column as the role that began the serving. */
static void
read_source(const Source *source, FmRowReader reader, void *state)
{
	FmColumn column = {quote_identifier(source->column),
					   get_atttype(source->relation, get_attnum(source->relation, source->column))};
	FmRoleSwitch owner = fm_act_as(source->serving->caller.role);

	fm_sql_scan(psprintf("SELECT %s FROM %s", column.sql, fm_relation_sql(source->relation)), NULL,
				source->serving->read_only, &column, 1, reader, state);
	fm_restore_role(&owner);
}

/* Users, while they are read. */
typedef struct Users
{
	Source source;
	FmIdMap *ids;
} Users;

/* FmRowReader */
static bool
add_user(void *state, const FmRow *row)
{
	Users *users = state;
	const Source *source = &users->source;
	Datum id;

	if (fm_row_is_null(row, 0))
		return true;
	if (!fm_id_convert(&source->stored, source->id_type, fm_row_value(row, 0), &id))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("column \"%s\" of relation \"%s\", given as %s, holds the id %lld",
						source->column, get_rel_name(source->relation), source->what,
						(long long) fm_id_as_int64(&source->stored, fm_row_value(row, 0))),
				 errdetail("The ids of model \"%s\" are of type %s.", source->serving->model.name,
						   format_type_be(source->id_type->type)),
				 errhint("Filter such rows out with a view.")));
	(void) fm_idmap_intern(users->ids, id);
	return true;
}

FmIdMap *
fm_read_user_filter(const FmServing *serving, Oid relation)
{
	Users users = {.source = {.serving = serving,
							  .relation = relation,
							  .what = "users",
							  .column = serving->model.definition.user_column,
							  .id_type = &serving->loaded->user_type}};

	check_source(&users.source);
	users.ids = fm_idmap_create(&serving->loaded->user_type, CurrentMemoryContext);
	read_source(&users.source, add_user, &users);
	fm_idmap_seal(users.ids);
	return users.ids;
}

/* Items, while they are read. */
typedef struct Items
{
	Source source;
	FmIdMap *known; /* by idx; NULL: integer ids, which the image looks up */
	uint64 *set;
} Items;

/* FmRowReader */
static bool
add_item(void *state, const FmRow *row)
{
	Items *items = state;
	const FmLoaded *loaded = items->source.serving->loaded;
	int32 item;

	if (fm_row_is_null(row, 0))
		return true;
	if (items->known != NULL)
		item = fm_idmap_find(items->known, fm_row_value(row, 0));
	else
		item = fm_image_find_integer(loaded->image,
									 fm_id_as_int64(&items->source.stored, fm_row_value(row, 0)));
	if (item >= 0)
		fm_bitset_add(items->set, item);
	return true;
}

/* Return a map of all items. */
static FmIdMap *
map_items(const FmServing *serving)
{
	const FmLoaded *loaded = serving->loaded;
	FmIdMap *known = fm_idmap_create(&loaded->item_type, CurrentMemoryContext);

	for (int32 item = 0; item < loaded->version.num_items; item++)
		if (fm_idmap_intern(known, fm_loaded_item_id(loaded, item)) != item)
			fm_model_damaged(&serving->model, "it has an item twice");
	return known;
}

FmItemFilter *
fm_read_item_filter(const FmServing *serving, Oid relation)
{
	const FmLoaded *loaded = serving->loaded;
	int32 num_items = loaded->version.num_items;
	FmItemFilter *filter = palloc0(sizeof(FmItemFilter));
	Items items = {.source = {.serving = serving,
							  .relation = relation,
							  .what = "items",
							  .column = serving->model.definition.item_column,
							  .id_type = &loaded->item_type}};

	check_source(&items.source);
	items.set = fm_new_item_set(loaded);
	if (num_items == 0)
		return filter;
	if (!loaded->item_type.is_integer)
		items.known = map_items(serving);
	read_source(&items.source, add_item, &items);
	filter->items = MemoryContextAllocHuge(CurrentMemoryContext, num_items * sizeof(int32));
	for (int32 item = 0; item < num_items; item++)
		if (fm_bitset_has(items.set, item))
			filter->items[filter->count++] = item;
	return filter;
}
