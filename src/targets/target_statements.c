/*
 * The SQL statements that change the rows of a table of lists.
 *
 * The statements read new rows from tuplestores (pg/sql_input.h). Triggers, defaults, partitions
 * and policies of the table work as in any statement. Locking: that of the statements. Memory:
 * tuplestores of work_mem each, which spill to disk.
 */
#include "targets/target_statements.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_index.h"
#include "optimizer/optimizer.h"
#include "pg/sql.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

/* Return "t.rank = n.rank AND t.user_id = n.user_id", or the same for another kind of lists. */
static char *
same_key(const FmListKind *kind, const FmIdType *owner_type)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "t.rank = n.rank AND ");
	fm_append_equality(&sql, psprintf("t.%s", kind->owner), owner_type->type,
					   psprintf("n.%s", kind->owner));
	return sql.data;
}

static void
execute(const char *sql)
{
	fm_sql_run(sql, NULL, false);
}

FmTargetColumns
fm_target_columns(const FmListKind *kind, Oid target)
{
	return (FmTargetColumns){get_attnum(target, "score") != InvalidAttrNumber,
							 kind->num_columns > LIST_RATING &&
								 get_attnum(target, "rating") != InvalidAttrNumber};
}

/* Return the names of the columns that a table has, as INSERT and SELECT list them. */
static char *
column_names(const FmListKind *kind, Oid target)
{
	FmTargetColumns has = fm_target_columns(kind, target);

	return psprintf("%s, rank, %s%s%s", kind->owner, kind->item, has.score ? ", score" : "",
					has.rating ? ", rating" : "");
}

/* Return what stands in FROM for the rows, with the alias n. */
static char *
rows_sql(const FmInput *rows, FmInputWay way)
{
	return psprintf("%s n", fm_input_sql(rows, way, 0));
}

/* Update the rows of the table that differ from those of `rows` with the same key. */
static void
update_rows(const FmListKind *kind, const FmIdType *owner_type, const FmIdType *item_type,
			Oid target, const FmInput *rows, FmInputWay way)
{
	FmTargetColumns has = fm_target_columns(kind, target);
	char *item = psprintf("n.%s", kind->item);
	StringInfoData same;

	initStringInfo(&same);
	fm_append_equality(&same, psprintf("t.%s", kind->item), item_type->type, item);
	if (has.score)
		appendStringInfoString(&same, " AND t.score = n.score");
	if (has.rating)
		appendStringInfoString(&same, " AND t.rating IS NOT DISTINCT FROM n.rating");
	fm_input_run(psprintf("UPDATE %s t SET %s = %s%s%s FROM %s "
						  "WHERE %s AND NOT coalesce(%s, false)",
						  fm_relation_sql(target), kind->item, item,
						  has.score ? ", score = n.score" : "",
						  has.rating ? ", rating = n.rating" : "", rows_sql(rows, way),
						  same_key(kind, owner_type), same.data),
				 NULL, rows, way);
}

static bool
is_key_column(const FmListKind *kind, Oid table, AttrNumber number)
{
	return number == get_attnum(table, kind->owner) || number == get_attnum(table, "rank");
}

/* Return whether the index allows only one row with the same owner and rank. */
static bool
is_list_key(const FmListKind *kind, Oid table, Oid index)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool is_key;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	is_key = form->indisunique && form->indisvalid && form->indimmediate &&
			 heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
	for (int i = 0; is_key && i < form->indnkeyatts; i++)
		is_key = is_key_column(kind, table, form->indkey.values[i]);
	ReleaseSysCache(tuple);
	return is_key;
}

static bool
has_list_key(const FmListKind *kind, Oid table)
{
	Relation relation = table_open(table, AccessShareLock);
	List *indexes = RelationGetIndexList(relation);
	ListCell *cell;
	bool found = false;

	foreach (cell, indexes)
		found = found || is_list_key(kind, table, lfirst_oid(cell));
	list_free(indexes);
	table_close(relation, NoLock);
	return found;
}

/* Delete all rows that share owner and rank with another. The right one is inserted again. */
static void
delete_repeated_rows(const FmListKind *kind, Oid target, const char *table, const char *key)
{
	if (!has_list_key(kind, target))
		execute(psprintf("DELETE FROM %s t USING (SELECT %s, rank FROM %s "
						 "GROUP BY %s, rank HAVING count(*) > 1) n WHERE %s",
						 table, kind->owner, table, kind->owner, key));
}

void
fm_target_update(Oid target, FmLists *lists)
{
	char *table = fm_relation_sql(target);
	const FmListKind *kind = lists->kind;
	char *columns = column_names(kind, target);
	char *key = same_key(kind, &lists->owner_type);
	FmInputWay way = fm_input_way(target);
	FmInput rows;
	char *missing = "";

	fm_lists_spill(lists);
	rows = (FmInput){"new_lists", lists->desc, lists->store, lists->num_rows};
	if (way == FM_INPUT_ARRAYS) /* no statement sees all lists and could tell which rows to keep */
		execute(psprintf("DELETE FROM %s", table));
	else
	{
		delete_repeated_rows(kind, target, table, key);
		update_rows(kind, &lists->owner_type, &lists->item_type, target, &rows, way);
		fm_input_run(psprintf("DELETE FROM %s t WHERE NOT EXISTS (SELECT FROM new_lists n "
							  "WHERE %s)",
							  table, key),
					 NULL, &rows, way);
		missing = psprintf("WHERE NOT EXISTS (SELECT FROM %s t WHERE %s)", table, key);
	}
	fm_input_run(psprintf("INSERT INTO %s (%s) SELECT %s FROM %s %s", table, columns, columns,
						  rows_sql(&rows, way), missing),
				 NULL, &rows, way);
}

static FmInput
begin_rows(const FmChanges *changes, const char *name)
{
	return (FmInput){name, changes->desc, tuplestore_begin_heap(true, false, work_mem), 0};
}

void
fm_changes_init(FmChanges *changes, const FmListKind *kind, const FmIdType *owner_type,
				const FmIdType *item_type)
{
	changes->kind = kind;
	changes->owner_type = *owner_type;
	changes->item_type = *item_type;
	changes->desc = fm_lists_desc(kind, owner_type, item_type);
	changes->changed = begin_rows(changes, "changed_rows");
	changes->gone = begin_rows(changes, "gone_rows");
	changes->missing = begin_rows(changes, "missing_rows");
	changes->keyless = false;
}

void
fm_changes_put(const FmChanges *changes, FmInput *rows, const Datum *values, const bool *nulls)
{
	tuplestore_putvalues(rows->store, changes->desc, unconstify(Datum *, values),
						 unconstify(bool *, nulls));
	rows->count++;
}

/*
 * Let the planner cost a page that an index points to like the next page of a scan: the table has
 * just been read, so its pages are usually in memory. The setting lasts until the role is
 * restored.
 */
static void
expect_cached_pages(void)
{
	if (random_page_cost > seq_page_cost)
		(void) set_config_option("random_page_cost", psprintf("%.17g", seq_page_cost), PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Run the statements in an order in which keys do not clash. */
static void
execute_changes(const FmChanges *changes, Oid target, FmInputWay way)
{
	char *table = fm_relation_sql(target);
	char *columns = column_names(changes->kind, target);

	if (changes->changed.count > 0)
		update_rows(changes->kind, &changes->owner_type, &changes->item_type, target,
					&changes->changed, way);
	if (changes->gone.count > 0)
		fm_input_run(psprintf("DELETE FROM %s t USING %s WHERE %s", table,
							  rows_sql(&changes->gone, way),
							  same_key(changes->kind, &changes->owner_type)),
					 NULL, &changes->gone, way);
	if (changes->keyless)
		execute(psprintf("DELETE FROM %s WHERE %s IS NULL OR rank IS NULL", table,
						 changes->kind->owner));
	if (changes->missing.count > 0)
		fm_input_run(psprintf("INSERT INTO %s (%s) SELECT %s FROM %s", table, columns, columns,
							  rows_sql(&changes->missing, way)),
					 NULL, &changes->missing, way);
}

void
fm_changes_apply(const FmChanges *changes, Oid target)
{
	FmInputWay way = fm_input_way(target);

	expect_cached_pages();
	execute_changes(changes, target, way);
}

void
fm_changes_free(const FmChanges *changes)
{
	tuplestore_end(changes->changed.store);
	tuplestore_end(changes->gone.store);
	tuplestore_end(changes->missing.store);
}
