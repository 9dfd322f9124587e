/*
 * fm_write_top_x: every user's list in a table, rewritten in place.
 *
 * The lists are computed into a tuplestore first, then compared with the table by three statements that
 * update, insert and delete only what differs; a new table is filled before its primary key is built.
 * All of it is the caller's transaction, so a reader sees either the old lists or the new ones.
 *
 * Locking: ShareUpdateExclusiveLock on the target until the end of the transaction, so that two rewrites
 * of it come one after the other; no reader waits. The statements run as the table's owner under a
 * security-restricted operation, since the table may carry triggers. Memory: the tuplestore spills to
 * disk beyond maintenance_work_mem.
 */
#include "target.h"

#include "batch.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "registry.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(fm_write_top_x);

/* Every user's list, typed as the model's ids are. */
typedef struct Lists
{
	FmServing serving;
	TupleDesc desc;
	Tuplestorestate *store;
	FmIdType user_type;
	FmIdType item_type;
	char *model;
	int64 num_rows;
} Lists;

enum
{
	LIST_USER_ID = 1,
	LIST_RANK,
	LIST_ITEM_ID,
	LIST_SCORE
};

static TupleDesc
list_desc(const FmIdType *user_type, const FmIdType *item_type)
{
	TupleDesc desc = CreateTemplateTupleDesc(4);

	TupleDescInitEntry(desc, LIST_USER_ID, "user_id", user_type->type, user_type->typmod, 0);
	TupleDescInitEntryCollation(desc, LIST_USER_ID, user_type->collation);
	TupleDescInitEntry(desc, LIST_RANK, "rank", INT4OID, -1, 0);
	TupleDescInitEntry(desc, LIST_ITEM_ID, "item_id", item_type->type, item_type->typmod, 0);
	TupleDescInitEntryCollation(desc, LIST_ITEM_ID, item_type->collation);
	TupleDescInitEntry(desc, LIST_SCORE, "score", FLOAT4OID, -1, 0);
	return desc;
}

/* FmListCallback */
static void
put_list(void *state, const FmBatchUser *user, const FmHit *hits, int32 count)
{
	Lists *lists = state;
	bool nulls[4] = {false};

	for (int32 r = 0; r < count; r++)
	{
		Datum values[] = {user->id, Int32GetDatum(r + 1),
						  lists->serving.loaded->item_ids[hits[r].item],
						  Float4GetDatum((float) (user->vector.base + hits[r].score))};

		tuplestore_putvalues(lists->store, lists->desc, values, nulls);
	}
	lists->num_rows += count;
}

/* Compute the lists as the current user; they live in the current context. */
static Lists *
compute_lists(FunctionCallInfo fcinfo, text *model, int32 x, bool exclude_seen)
{
	Lists *lists = palloc0(sizeof(Lists));
	MemoryContext context = CurrentMemoryContext;

	lists->store = tuplestore_begin_heap(true, false, maintenance_work_mem);
	fm_serve_begin(&lists->serving, fcinfo, model, FM_IDS_TEXT, context);
	lists->user_type = lists->serving.loaded->user_type;
	lists->item_type = lists->serving.loaded->item_type;
	lists->model = lists->serving.model.name;
	MemoryContextSwitchTo(context);
	lists->desc = list_desc(&lists->user_type, &lists->item_type);
	fm_batch_top_x(&lists->serving, x, exclude_seen, put_list, lists);
	fm_serve_end(&lists->serving);
	return lists;
}

static void
create_target(const Lists *lists, const char *qualified)
{
	fm_spi_execute(psprintf("CREATE TABLE %s (user_id %s NOT NULL, rank integer NOT NULL, "
							"item_id %s NOT NULL, score real NOT NULL)",
							qualified, fm_id_type_sql(&lists->user_type),
							fm_id_type_sql(&lists->item_type)),
				   0, NULL, NULL, NULL, false);
	fm_spi_execute(psprintf("INSERT INTO %s (user_id, rank, item_id, score) "
							"SELECT user_id, rank, item_id, score FROM new_lists",
							qualified),
				   0, NULL, NULL, NULL, false);
	fm_spi_execute(psprintf("ALTER TABLE %s ADD PRIMARY KEY (user_id, rank)", qualified), 0, NULL,
				   NULL, NULL, false);
}

static void
check_target_column(Oid target, const char *column, Oid type)
{
	AttrNumber number = get_attnum(target, column);

	if (number == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\"", get_rel_name(target), column),
				 errhint("A table that fm_write_top_x writes needs user_id, rank, item_id and "
						 "score; name one that does not exist yet and it is created.")));
	if (get_atttype(target, number) != type)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of table \"%s\" is of type %s, but the lists have %s",
							   column, get_rel_name(target),
							   format_type_be(get_atttype(target, number)), format_type_be(type))));
}

static void
check_target(const Lists *lists, Oid target)
{
	char kind = get_rel_relkind(target);

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a table", get_rel_name(target))));
	check_target_column(target, "user_id", lists->user_type.type);
	check_target_column(target, "rank", INT4OID);
	check_target_column(target, "item_id", lists->item_type.type);
	check_target_column(target, "score", FLOAT4OID);
}

/* Update, insert and delete what differs, and touch nothing else. */
static void
update_target(const Lists *lists, const char *qualified)
{
	StringInfoData same_row;
	StringInfoData same_item;

	initStringInfo(&same_row);
	appendStringInfoString(&same_row, "t.rank = n.rank AND ");
	fm_append_equality(&same_row, "t.user_id", lists->user_type.type, "n.user_id");
	initStringInfo(&same_item);
	fm_append_equality(&same_item, "t.item_id", lists->item_type.type, "n.item_id");

	fm_spi_execute(psprintf("UPDATE %s t SET item_id = n.item_id, score = n.score FROM new_lists n "
							"WHERE %s AND NOT coalesce(%s AND t.score = n.score, false)",
							qualified, same_row.data, same_item.data),
				   0, NULL, NULL, NULL, false);
	fm_spi_execute(psprintf("DELETE FROM %s t WHERE NOT EXISTS (SELECT FROM new_lists n WHERE %s)",
							qualified, same_row.data),
				   0, NULL, NULL, NULL, false);
	fm_spi_execute(psprintf("INSERT INTO %s (user_id, rank, item_id, score) "
							"SELECT user_id, rank, item_id, score FROM new_lists n "
							"WHERE NOT EXISTS (SELECT FROM %s t WHERE %s)",
							qualified, qualified, same_row.data),
				   0, NULL, NULL, NULL, false);
}

/* Bring the target (InvalidOid: to be created under that name) up to date, as its owner. */
static void
write_lists(const Lists *lists, Oid target, const char *new_name, Oid owner)
{
	FmRoleSwitch previous;

	fm_spi_connect();
	previous = fm_act_as(owner);
	fm_spi_register_rows("new_lists", lists->desc, lists->store, lists->num_rows);
	if (OidIsValid(target))
	{
		check_target(lists, target);
		update_target(lists, fm_relation_sql(target));
	}
	else
		create_target(lists, new_name);
	SPI_unregister_relation("new_lists");
	fm_restore_role(&previous);
	fm_spi_finish();
	tuplestore_end(lists->store);
}

/* ErrorContextCallback: among several targets, which one. */
static void
name_target(void *relation)
{
	errcontext("writing the lists of table %s", (char *) relation);
}

int64
fm_rewrite_target(FunctionCallInfo fcinfo, const char *model, Oid target, int32 x,
				  bool exclude_seen)
{
	FmRoleSwitch previous;
	ErrorContextCallback context = {error_context_stack, name_target, fm_relation_sql(target)};
	Lists *lists;
	Oid owner;

	error_context_stack = &context;
	LockRelationOid(target, ShareUpdateExclusiveLock);
	owner = fm_relation_owner(target);
	if (!OidIsValid(owner))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the target with OID %u has been dropped meanwhile", target)));
	previous = fm_act_as(owner);
	lists = compute_lists(fcinfo, cstring_to_text(model), x, exclude_seen);
	fm_restore_role(&previous);
	write_lists(lists, target, NULL, owner);
	error_context_stack = context.previous;
	return lists->num_rows;
}

/* Remember the target, in the registry's name. */
static void
register_target(FunctionCallInfo fcinfo, const char *model, Oid target, int32 x, bool exclude_seen)
{
	fm_spi_connect();
	fm_registry_save_target(fm_extension_schema(fcinfo), model, target, x, exclude_seen);
	fm_spi_finish();
}

Datum
fm_write_top_x(PG_FUNCTION_ARGS)
{
	RangeVar *name;
	Lists *lists;
	Oid namespace;
	Oid target;
	int32 x = fm_x_argument(fcinfo, 1);
	bool exclude_seen;

	fm_require_argument(fcinfo, 0, "target");
	fm_require_argument(fcinfo, 3, "exclude_seen");
	exclude_seen = PG_GETARG_BOOL(3);
	name = makeRangeVarFromNameList(textToQualifiedNameList(PG_GETARG_TEXT_PP(0)));
	/* whose table it is must be known before it is locked */
	target = RangeVarGetRelidExtended(name, ShareUpdateExclusiveLock, RVR_MISSING_OK,
									  RangeVarCallbackOwnsRelation, NULL);

	lists = compute_lists(fcinfo, PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2), x, exclude_seen);
	if (OidIsValid(target))
		write_lists(lists, target, NULL, fm_relation_owner(target));
	else
	{
		namespace = RangeVarGetCreationNamespace(name);
		if (isAnyTempNamespace(namespace))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
					 errmsg("a table of lists cannot be created as a temporary table"),
					 errhint("Use CREATE TEMP TABLE ... AS SELECT * FROM fm_top_x_all(...).")));
		write_lists(lists, InvalidOid, fm_qualified_sql(namespace, name->relname), GetUserId());
		target = get_relname_relid(name->relname, namespace);
	}
	if (get_rel_persistence(target) !=
		RELPERSISTENCE_TEMP) /* which no other session could refresh */
		register_target(fcinfo, lists->model, target, x, exclude_seen);
	PG_RETURN_INT64(lists->num_rows);
}
