/*
 * fm_write_top_x and fm_write_similar_items: lists in a table, created or rewritten in place.
 *
 * The two differ in whose lists there are, in how they are computed, and in the columns of the
 * table (FmListKind of lists.h).
 *
 * For a new table the lists are computed first (lists.c). The table is filled in bulk
 * (target_fill.c), and gets its primary key after that. In an existing table only the rows that
 * differ are changed (target_diff.c). Everything runs in the caller's transaction, so a reader sees
 * either the old lists or the new ones.
 *
 * Locking: ShareUpdateExclusiveLock on the table until the end of the transaction, so that two
 * rewrites of it do not run at the same time; no reader waits. The statements run as the table's
 * owner in a security-restricted operation, because the table may have triggers.
 */
#include "targets/target.h"

#include "access/table.h"
#include "batch/batch.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "registry/progress.h"
#include "registry/registry_targets.h"
#include "serve/list_score.h"
#include "serve/question_context.h"
#include "storage/lmgr.h"
#include "targets/similar_lists.h"
#include "targets/target_diff.h"
#include "targets/target_fill.h"
#include "targets/target_proof.h"
#include "targets/target_statements.h"
#include "utils/builtins.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(fm_write_top_x);
PG_FUNCTION_INFO_V1(fm_write_similar_items);

/* The arguments of both functions, then those of fm_write_top_x, and of fm_write_similar_items. */
enum
{
	ARG_TARGET,
	ARG_X,
	ARG_MODEL,
	ARG_EXCLUDE_SEEN,
	ARG_USERS,
	ARG_ITEMS,
	ARG_CONTEXT,
	ARG_NOVELTY,
	ARG_ITEMS_OF_SIMILAR = ARG_MODEL + 1
};

/* What to write to a table: a comparison with new lists, or the lists themselves. */
typedef struct Rows
{
	FmDiff *diff;
	FmLists *lists;
	Oid target;
	bool is_new;
} Rows;

/* FmStep */
static void
write_rows(void *state, const void *argument)
{
	Rows *rows = state;

	if (rows->diff != NULL)
		fm_diff_apply(rows->diff, rows->target);
	else if (!rows->is_new || !fm_target_fill(rows->target, rows->lists))
		fm_target_update(rows->target, rows->lists);
}

/*
 * Create a table and fill it.
 *
 * A tenth of each page stays free, so that a few rows of it can be updated without new index
 * entries. Vacuum does not truncate the table, since readers would have to wait for that.
 */
static void
create_target(FmLists *lists, Oid schema, const char *name, FmProof *proof)
{
	const FmListKind *kind = lists->kind;
	char *qualified = fm_qualified_sql(schema, name);
	Rows rows = {.lists = lists, .is_new = true};

	fm_sql_run(psprintf("CREATE TABLE %s (%s %s NOT NULL, rank integer NOT NULL, "
						"%s %s NOT NULL, score real NOT NULL%s) "
						"WITH (fillfactor = 90, vacuum_truncate = false)",
						qualified, kind->owner, fm_id_base_type_sql(&lists->owner_type), kind->item,
						fm_id_base_type_sql(&lists->item_type),
						kind->num_columns > LIST_RATING ? ", rating real" : ""),
			   NULL, false);
	rows.target = get_relname_relid(name, schema);
	fm_proof_write(proof, write_rows, &rows);
	fm_sql_run(psprintf("ALTER TABLE %s ADD PRIMARY KEY (%s, rank)", qualified, kind->owner), NULL,
			   false);
}

/* Check a column of a table of lists; that of an id may be of another integer type. */
static void
check_target_column(const FmListKind *kind, Oid target, const char *column, Oid type, bool is_id)
{
	AttrNumber number = get_attnum(target, column);
	Oid given = get_atttype(target, number);

	if (number == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\"", get_rel_name(target), column),
				 errhint("A table of lists needs the columns %s, rank and %s. %s creates a table "
						 "that does not exist.",
						 kind->owner, kind->item, kind->writer)));
	if (getBaseType(given) != getBaseType(type) && !(is_id && fm_id_types_match(given, type)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is of type %s, but the lists have %s",
						column, get_rel_name(target), format_type_be(given), format_type_be(type)),
				 errhint("Use ALTER TABLE %s ALTER %s TYPE %s.", fm_relation_sql(target), column,
						 format_type_be(getBaseType(type)))));
}

/*
 * Raise an error if an id of the model does not fit an integer column of a table of lists. The ids
 * are in the column `stored` of a table of the model.
 */
static void
check_ids_fit(const FmServing *serving, Oid target, const char *column, Oid table,
			  const char *stored, const FmIdType *id_type)
{
	Oid given = get_atttype(target, get_attnum(target, column));
	FmSqlParameters parameters = {0};
	FmIdType narrow;

	if (!id_type->is_integer || get_typlen(given) >= id_type->typlen)
		return;
	fm_id_type_of_integer(given, &narrow);
	fm_add_integer(&parameters, serving->loaded->version.number);
	fm_sql_run(psprintf("SELECT %s FROM %s WHERE version = $1 AND (%s) IS NULL LIMIT 1", stored,
						fm_relation_sql(table), fm_id_column(stored, id_type->type, &narrow).sql),
			   &parameters, serving->read_only);
	if (SPI_processed > 0)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("column \"%s\" of table \"%s\" is of type %s, which cannot hold "
							   "the id %s",
							   column, get_rel_name(target), format_type_be(given), fm_sql_text()),
						errhint("Use ALTER TABLE %s ALTER %s TYPE %s.", fm_relation_sql(target),
								column, format_type_be(getBaseType(id_type->type)))));
}

/* Raise an error if the table has a constraint that is checked at the end of the transaction. */
static void
check_constraints(Oid target)
{
	Relation relation = table_open(target, AccessShareLock);
	const TriggerDesc *triggers = relation->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (triggers->triggers[i].tginitdeferred)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("table \"%s\" has a deferred constraint", get_rel_name(target)),
					 errdetail("Nothing can be deferred in what is done as the owner of a table."),
					 errhint("Use ALTER TABLE ... ALTER CONSTRAINT ... INITIALLY IMMEDIATE.")));
	table_close(relation, NoLock);
}

static void
check_target(const FmLoaded *loaded, FmTargetKind kind, Oid target)
{
	const FmListKind *lists = fm_list_kind(kind);
	char relkind = get_rel_relkind(target);
	FmTargetColumns columns = fm_target_columns(lists, target);

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a table", get_rel_name(target))));
	check_target_column(lists, target, lists->owner, fm_list_owner_type(kind, loaded)->type, true);
	check_target_column(lists, target, "rank", INT4OID, false);
	check_target_column(lists, target, lists->item, loaded->item_type.type, true);
	if (columns.score)
		check_target_column(lists, target, "score", FLOAT4OID, false);
	if (columns.rating)
		check_target_column(lists, target, "rating", FLOAT4OID, false);
	check_constraints(target);
}

/* One call. It computes the lists as the current user and writes them as the table's owner. */
typedef struct Writing
{
	FmServing serving;
	FmTarget target; /* its table is not read */
	FmListRules rules;
	FmListFilter filter;
	Oid owner;
	FmTargetWriting account;
	FmProof proof;
} Writing;

/*
 * Say which lists are wanted, read the filters, and open the proof. What cannot be read or done is
 * an error before anything is computed.
 */
static void
open_proof(Writing *writing, Oid schema, Oid target)
{
	const FmTarget *wanted = &writing->target;

	writing->account.version = writing->serving.loaded->version.number;
	writing->rules.kind = wanted->kind;
	writing->rules.x = wanted->x;
	writing->rules.exclude_seen = wanted->exclude_seen;
	if (wanted->kind == FM_TARGET_TOP_X)
		writing->rules.novelty = fm_serve_novelty(&writing->serving,
												  wanted->has_novelty ? &wanted->novelty : NULL);
	if (wanted->exclude_seen && fm_knows_seen(&writing->serving))
		fm_check_ratings(&writing->serving);
	writing->filter = fm_list_filter_read(&writing->serving, wanted->users, wanted->items,
										  wanted->context);
	writing->rules.filter = &writing->filter;
	fm_proof_open(&writing->proof, schema, &writing->serving, target, &writing->rules);
}

/* Compute the lists. Return false if the receiver refused. */
static bool
compute_lists(const Writing *writing, const FmListReceiver *receiver)
{
	if (writing->rules.kind == FM_TARGET_SIMILAR_ITEMS)
		return fm_similar_lists(&writing->serving, writing->filter.items, writing->rules.x,
								receiver);
	return fm_batch_top_x(&writing->serving, &writing->rules, receiver);
}

/* Compute the lists and keep them. */
static FmLists *
keep_lists(Writing *writing)
{
	FmLists *lists = fm_lists_create(writing->serving.loaded, writing->rules.kind);
	FmListReceiver receiver = fm_lists_receiver(lists, fm_proof_check(&writing->proof));

	(void) compute_lists(writing, &receiver);
	writing->account.num_rows = lists->num_rows;
	return lists;
}

static FmDiff *
open_diff(Writing *writing, Oid target)
{
	const FmServing *serving = &writing->serving;
	const FmLoaded *loaded = serving->loaded;
	const FmListKind *kind = fm_list_kind(writing->rules.kind);
	bool of_items = writing->rules.kind == FM_TARGET_SIMILAR_ITEMS;
	FmRoleSwitch previous = fm_act_as(writing->owner);
	FmDiff *diff;

	check_target(loaded, writing->rules.kind, target);
	fm_restore_role(&previous);
	check_ids_fit(serving, target, kind->owner,
				  of_items ? serving->model.item_table : serving->model.user_table,
				  of_items ? "item_id" : "user_id",
				  fm_list_owner_type(writing->rules.kind, loaded));
	check_ids_fit(serving, target, kind->item, serving->model.item_table, "item_id",
				  &loaded->item_type);
	previous = fm_act_as(writing->owner);
	diff = fm_diff_open(loaded, target, &writing->rules, &writing->proof);
	fm_restore_role(&previous);
	return diff;
}

/* Bring an existing table up to date. */
static void
update_target(Writing *writing, Oid schema, Oid target)
{
	const char *model = writing->serving.model.name;
	Rows rows = {.target = target};
	FmOuterProgress outer;
	FmRoleSwitch previous;

	fm_progress_begin_lists(model, &outer);
	open_proof(writing, schema, target);
	rows.diff = open_diff(writing, target);
	if (rows.diff != NULL)
	{
		FmListReceiver receiver = fm_diff_receiver(rows.diff);

		if (compute_lists(writing, &receiver))
			writing->account.num_rows = fm_diff_num_rows(rows.diff);
		else
		{
			fm_diff_free(rows.diff);
			rows.diff = NULL;
		}
	}
	if (rows.diff == NULL)
		rows.lists = keep_lists(writing);
	fm_progress_phase(model, FM_PHASE_WRITING_LISTS);
	previous = fm_act_as(writing->owner);
	fm_proof_write(&writing->proof, write_rows, &rows);
	fm_restore_role(&previous);
	fm_progress_end_lists(&outer);
	if (rows.lists != NULL)
		fm_lists_free(rows.lists);
}

/* Raise an error unless a new table can have a key: some types, such as xid, have no order. */
static void
check_key(const Writing *writing)
{
	FmTargetKind kind = writing->target.kind;
	Oid type = fm_list_owner_type(kind, writing->serving.loaded)->type;

	if (!OidIsValid(lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("a table of lists by ids of type %s cannot have a primary key",
							   format_type_be(type)),
						errdetail("The type has no order."),
						errhint("Create a table with the columns %s, and name that.",
								fm_list_kind(kind)->column_names)));
}

/* Create a table in a schema. */
static void
new_target(Writing *writing, Oid schema, const char *name)
{
	const char *model = writing->serving.model.name;
	FmOuterProgress outer;
	FmRoleSwitch previous;
	FmLists *lists;

	check_key(writing);
	fm_progress_begin_lists(model, &outer);
	open_proof(writing, InvalidOid, InvalidOid);
	lists = keep_lists(writing);
	fm_progress_phase(model, FM_PHASE_WRITING_LISTS);
	previous = fm_act_as(writing->owner);
	create_target(lists, schema, name, &writing->proof);
	fm_restore_role(&previous);
	fm_progress_end_lists(&outer);
	fm_proof_describe(&writing->proof, &writing->serving, get_relname_relid(name, schema),
					  &writing->rules);
	fm_lists_free(lists);
}

/* ErrorContextCallback: name the table, since a refresh writes several. */
static void
name_target(void *relation)
{
	errcontext("writing the lists of table %s", (char *) relation);
}

/* Record how a registered table has been written. */
static void
save_account(const Writing *writing, Oid schema, const char *model, Oid target)
{
	fm_spi_connect();
	fm_registry_note_writing(schema, model, target, &writing->account);
	fm_proof_save(&writing->proof, schema, model, target);
	fm_spi_finish();
}

int64
fm_rewrite_target(FunctionCallInfo fcinfo, const char *model, const FmTarget *wanted)
{
	Oid target = wanted->table;
	FmRoleSwitch previous;
	ErrorContextCallback context = {error_context_stack, name_target, fm_relation_sql(target)};
	Writing writing = {.target = *wanted};

	error_context_stack = &context;
	LockRelationOid(target, ShareUpdateExclusiveLock);
	writing.owner = fm_relation_owner(target);
	if (!OidIsValid(writing.owner))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the table of lists with OID %u has been dropped", target),
						errhint("%s makes a new one.", fm_list_kind(wanted->kind)->writer)));
	writing.account.started_at = GetCurrentTimestamp();
	previous = fm_act_as(writing.owner);
	fm_serve_begin(&writing.serving, fcinfo, cstring_to_text(model), FM_IDS_TEXT,
				   CurrentMemoryContext);
	update_target(&writing, fm_extension_schema(fcinfo), target);
	fm_serve_end(&writing.serving);
	fm_restore_role(&previous);
	save_account(&writing, fm_extension_schema(fcinfo), model, target);
	error_context_stack = context.previous;
	return writing.account.num_rows;
}

/* Register the table with its model. */
static void
register_target(FunctionCallInfo fcinfo, const char *model, const FmTarget *target)
{
	fm_spi_connect();
	fm_registry_save_target(fm_extension_schema(fcinfo), model, target);
	fm_spi_finish();
}

/* Return the schema to create a table in. */
static Oid
creation_schema(RangeVar *name, const FmListKind *kind)
{
	Oid schema = RangeVarGetCreationNamespace(name);

	if (isAnyTempNamespace(schema))
		ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
						errmsg("a table of lists cannot be created as a temporary table"),
						errhint("Create a temporary table with the columns %s, and name that.",
								kind->column_names)));
	fm_check_create(schema, "write to another: 'schema.table'");
	return schema;
}

/* Write the table that the call names, and register it. Return the number of its rows. */
static int64
write_target(FunctionCallInfo fcinfo, Writing *writing)
{
	FmTarget *wanted = &writing->target;
	const FmListKind *kind = fm_list_kind(wanted->kind);
	RangeVar *name;
	char *model;
	Oid schema = InvalidOid;
	Oid target;

	fm_require_argument(fcinfo, ARG_TARGET, "target");
	wanted->x = fm_x_argument(fcinfo, ARG_X);
	PreventCommandIfReadOnly(psprintf("%s()", kind->writer));
	name = makeRangeVarFromNameList(textToQualifiedNameList(PG_GETARG_TEXT_PP(ARG_TARGET)));
	/* check the ownership before taking the lock */
	target = RangeVarGetRelidExtended(name, ShareUpdateExclusiveLock, RVR_MISSING_OK,
									  RangeVarCallbackOwnsRelation, NULL);
	if (!OidIsValid(target))
		schema = creation_schema(name, kind);
	writing->owner = OidIsValid(target) ? fm_relation_owner(target) : GetUserId();
	writing->account.started_at = GetCurrentTimestamp();

	fm_serve_begin(&writing->serving, fcinfo,
				   PG_ARGISNULL(ARG_MODEL) ? NULL : PG_GETARG_TEXT_PP(ARG_MODEL), FM_IDS_TEXT,
				   CurrentMemoryContext);
	if (OidIsValid(target))
		update_target(writing, fm_extension_schema(fcinfo), target);
	else
		new_target(writing, schema, name->relname);
	model = writing->serving.model.name;
	fm_serve_end(&writing->serving);
	if (!OidIsValid(target))
		target = get_relname_relid(name->relname, schema);
	/* a temporary table cannot be refreshed by other sessions */
	if (get_rel_persistence(target) != RELPERSISTENCE_TEMP)
	{
		wanted->table = target;
		register_target(fcinfo, model, wanted);
		save_account(writing, fm_extension_schema(fcinfo), model, target);
	}
	return writing->account.num_rows;
}

Datum
fm_write_top_x(PG_FUNCTION_ARGS)
{
	Writing writing = {.target.kind = FM_TARGET_TOP_X};
	FmTarget *wanted = &writing.target;

	fm_require_argument(fcinfo, ARG_EXCLUDE_SEEN, "exclude_seen");
	fm_check_context(fcinfo, ARG_CONTEXT);
	wanted->exclude_seen = PG_GETARG_BOOL(ARG_EXCLUDE_SEEN);
	wanted->users = PG_ARGISNULL(ARG_USERS) ? InvalidOid : PG_GETARG_OID(ARG_USERS);
	wanted->items = PG_ARGISNULL(ARG_ITEMS) ? InvalidOid : PG_GETARG_OID(ARG_ITEMS);
	wanted->context = PG_ARGISNULL(ARG_CONTEXT) ? NULL : PG_GETARG_JSONB_P(ARG_CONTEXT);
	wanted->has_novelty = fm_novelty_argument(fcinfo, ARG_NOVELTY, &wanted->novelty);
	PG_RETURN_INT64(write_target(fcinfo, &writing));
}

Datum
fm_write_similar_items(PG_FUNCTION_ARGS)
{
	Writing writing = {.target.kind = FM_TARGET_SIMILAR_ITEMS};

	writing.target.items = PG_ARGISNULL(ARG_ITEMS_OF_SIMILAR) ? InvalidOid
															  : PG_GETARG_OID(ARG_ITEMS_OF_SIMILAR);
	PG_RETURN_INT64(write_target(fcinfo, &writing));
}
