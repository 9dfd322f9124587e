/*
 * The SQL statements that change the rows of a table of lists.
 *
 * The statements read new rows from tuplestores, which stand in them as relations (the mechanism
 * of transition tables). Triggers, defaults, partitions and policies of the table work as in any
 * statement. Locking: that of the statements. Memory: tuplestores of work_mem each, which spill to
 * disk.
 */
#include "targets/target_statements.h"

#include "optimizer/optimizer.h"
#include "utils/builtins.h"

/* Return "t.rank = n.rank AND t.user_id = n.user_id". */
static char *
same_key(const FmIdType *user_type)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "t.rank = n.rank AND ");
	fm_append_equality(&sql, "t.user_id", user_type->type, "n.user_id");
	return sql.data;
}

static void
execute(const char *sql)
{
	fm_sql_run(sql, NULL, false);
}

/* Update the rows of the table that differ from those of `rows` with the same key. */
static void
execute_update(const FmIdType *user_type, const FmIdType *item_type, const char *table,
			   const char *rows)
{
	StringInfoData same_item;

	initStringInfo(&same_item);
	fm_append_equality(&same_item, "t.item_id", item_type->type, "n.item_id");
	execute(psprintf("UPDATE %s t SET item_id = n.item_id, score = n.score FROM %s n "
					 "WHERE %s AND NOT coalesce(%s AND t.score = n.score, false)",
					 table, rows, same_key(user_type), same_item.data));
}

void
fm_target_update(const char *table, FmLists *lists)
{
	char *key = same_key(&lists->user_type);

	fm_lists_spill(lists);
	fm_spi_register_rows("new_lists", lists->desc, lists->store, lists->num_rows);
	execute_update(&lists->user_type, &lists->item_type, table, "new_lists");
	execute(psprintf("DELETE FROM %s t WHERE NOT EXISTS (SELECT FROM new_lists n WHERE %s)", table,
					 key));
	execute(psprintf("INSERT INTO %s (user_id, rank, item_id, score) "
					 "SELECT user_id, rank, item_id, score FROM new_lists n "
					 "WHERE NOT EXISTS (SELECT FROM %s t WHERE %s)",
					 table, table, key));
	SPI_unregister_relation("new_lists");
}

static FmChangedRows
begin_rows(const char *name)
{
	return (FmChangedRows){name, tuplestore_begin_heap(true, false, work_mem), 0};
}

void
fm_changes_init(FmChanges *changes, const FmIdType *user_type, const FmIdType *item_type)
{
	changes->user_type = *user_type;
	changes->item_type = *item_type;
	changes->desc = fm_lists_desc(user_type, item_type);
	changes->changed = begin_rows("changed_rows");
	changes->gone = begin_rows("gone_rows");
	changes->missing = begin_rows("missing_rows");
	changes->keyless = false;
}

void
fm_changes_put(const FmChanges *changes, FmChangedRows *rows, const Datum *values,
			   const bool *nulls)
{
	tuplestore_putvalues(rows->store, changes->desc, unconstify(Datum *, values),
						 unconstify(bool *, nulls));
	rows->count++;
}

static void
register_rows(const FmChanges *changes, const FmChangedRows *rows)
{
	fm_spi_register_rows(rows->name, changes->desc, rows->store, rows->count);
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
execute_changes(const FmChanges *changes, const char *table)
{
	if (changes->changed.count > 0)
		execute_update(&changes->user_type, &changes->item_type, table, changes->changed.name);
	if (changes->gone.count > 0)
		execute(psprintf("DELETE FROM %s t USING %s n WHERE %s", table, changes->gone.name,
						 same_key(&changes->user_type)));
	if (changes->keyless)
		execute(psprintf("DELETE FROM %s WHERE user_id IS NULL OR rank IS NULL", table));
	if (changes->missing.count > 0)
		execute(psprintf("INSERT INTO %s (user_id, rank, item_id, score) "
						 "SELECT user_id, rank, item_id, score FROM %s",
						 table, changes->missing.name));
}

void
fm_changes_apply(const FmChanges *changes, const char *table)
{
	register_rows(changes, &changes->changed);
	register_rows(changes, &changes->gone);
	register_rows(changes, &changes->missing);
	expect_cached_pages();
	execute_changes(changes, table);
	SPI_unregister_relation(changes->changed.name);
	SPI_unregister_relation(changes->gone.name);
	SPI_unregister_relation(changes->missing.name);
}

void
fm_changes_free(const FmChanges *changes)
{
	tuplestore_end(changes->changed.store);
	tuplestore_end(changes->gone.store);
	tuplestore_end(changes->missing.store);
}
