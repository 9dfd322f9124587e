/*
 * Bringing a table of lists up to date: what differs is updated, deleted, inserted, and nothing else touched.
 *
 * The table is read once, in whatever order it comes, and each row compared with the list that is in memory;
 * the differences, few as a rule, are put aside and then applied by one statement a kind, in which they
 * stand as relations (the mechanism of transition tables). So triggers, defaults, partitions and policies
 * of the table work as in any statement. Lists too large for memory are compared by the statements
 * themselves. Locking: the statements' own. Memory: a bit a row, and the differences, which spill to disk.
 */
#include "target.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* Rows of one kind of difference, typed as the lists are. */
typedef struct Rows
{
	const char *name; /* of the relation in statements */
	Tuplestorestate *store;
	double count;
} Rows;

typedef struct Diff
{
	const FmLists *lists;
	FmIdType user_type;
	FmIdType item_type;
	uint8 *met;		 /* a bit for each row of the lists: the table has one of that user and rank */
	int32 last_user; /* rows of one user often stand together */
	bool keyless;	 /* the table has rows without user or rank */
	Rows changed;
	Rows gone;
	Rows missing;
} Diff;

/* "t.rank = n.rank AND t.user_id = n.user_id" */
static char *
same_key(const FmLists *lists)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "t.rank = n.rank AND ");
	fm_append_equality(&sql, "t.user_id", lists->user_type.type, "n.user_id");
	return sql.data;
}

static void
execute(const char *sql)
{
	fm_spi_execute(sql, 0, NULL, NULL, NULL, false);
}

/* Update the rows of the table that differ from those of `rows` with the same key. */
static void
execute_update(const FmLists *lists, const char *table, const char *rows)
{
	StringInfoData same_item;

	initStringInfo(&same_item);
	fm_append_equality(&same_item, "t.item_id", lists->item_type.type, "n.item_id");
	execute(psprintf("UPDATE %s t SET item_id = n.item_id, score = n.score FROM %s n "
					 "WHERE %s AND NOT coalesce(%s AND t.score = n.score, false)",
					 table, rows, same_key(lists), same_item.data));
}

/* For lists in a tuplestore. */
static void
update_by_statements(const FmLists *lists, const char *table)
{
	fm_spi_register_rows("new_lists", lists->desc, lists->store, lists->num_rows);
	execute_update(lists, table, "new_lists");
	execute(psprintf("DELETE FROM %s t WHERE NOT EXISTS (SELECT FROM new_lists n WHERE %s)", table,
					 same_key(lists)));
	execute(psprintf("INSERT INTO %s (user_id, rank, item_id, score) "
					 "SELECT user_id, rank, item_id, score FROM new_lists n "
					 "WHERE NOT EXISTS (SELECT FROM %s t WHERE %s)",
					 table, table, same_key(lists)));
	SPI_unregister_relation("new_lists");
}

static void
begin_rows(Rows *rows, const char *name)
{
	rows->name = name;
	rows->store = tuplestore_begin_heap(true, false, work_mem);
	rows->count = 0;
}

static void
put_row(Rows *rows, TupleDesc desc, Datum *values, bool *nulls)
{
	tuplestore_putvalues(rows->store, desc, values, nulls);
	rows->count++;
}

/* The index of a user of the lists, or -1. */
static int32
find_user(Diff *diff, Datum id)
{
	FmIdMap *users = diff->lists->users;

	if (diff->last_user < 0 ||
		!fm_id_equal(&diff->user_type, fm_idmap_id(users, diff->last_user), id))
		diff->last_user = fm_idmap_find(users, id);
	return diff->last_user;
}

/* FmRowCallback: a row of the table. */
static bool
compare_row(void *state, TupleTableSlot *row)
{
	Diff *diff = state;
	const FmLists *lists = diff->lists;
	Datum *values = row->tts_values;
	bool *nulls = row->tts_isnull;
	Datum wanted[4];
	bool not_null[4] = {false};
	int64 position;
	int32 user;
	int32 rank;

	if (nulls[0] || nulls[1])
	{
		diff->keyless = true;
		return true;
	}
	user = find_user(diff, values[0]);
	rank = DatumGetInt32(values[1]);
	if (user < 0 || rank < 1 || rank > fm_lists_length(lists, user))
	{
		put_row(&diff->gone, lists->desc, values, nulls);
		return true;
	}
	position = lists->start[user] + rank - 1;
	diff->met[position / 8] |= 1 << position % 8;
	fm_lists_row(lists, user, rank, wanted);
	if (nulls[2] || nulls[3] || DatumGetFloat4(values[3]) != DatumGetFloat4(wanted[3]) ||
		!fm_id_equal(&diff->item_type, values[2], wanted[2]))
		put_row(&diff->changed, lists->desc, wanted, not_null);
	return true;
}

static void
find_missing(Diff *diff)
{
	const FmLists *lists = diff->lists;
	bool nulls[4] = {false};
	int64 position = 0;

	for (int32 user = 0; user < fm_idmap_count(lists->users); user++)
		for (int32 rank = 1; rank <= fm_lists_length(lists, user); rank++, position++)
			if ((diff->met[position / 8] & 1 << position % 8) == 0)
			{
				Datum values[4];

				fm_lists_row(lists, user, rank, values);
				put_row(&diff->missing, lists->desc, values, nulls);
			}
}

static void
register_rows(const Diff *diff, const Rows *rows)
{
	fm_spi_register_rows(rows->name, diff->lists->desc, rows->store, rows->count);
}

static void
end_rows(const Rows *rows)
{
	SPI_unregister_relation(rows->name);
	tuplestore_end(rows->store);
}

/* In the order in which keys cannot clash. */
static void
apply(const Diff *diff, const char *table)
{
	const FmLists *lists = diff->lists;

	if (diff->changed.count > 0)
		execute_update(lists, table, diff->changed.name);
	if (diff->gone.count > 0)
		execute(psprintf("DELETE FROM %s t USING %s n WHERE %s", table, diff->gone.name,
						 same_key(lists)));
	if (diff->keyless)
		execute(psprintf("DELETE FROM %s WHERE user_id IS NULL OR rank IS NULL", table));
	if (diff->missing.count > 0)
		execute(psprintf("INSERT INTO %s (user_id, rank, item_id, score) "
						 "SELECT user_id, rank, item_id, score FROM %s",
						 table, diff->missing.name));
}

static void
update_by_comparison(const FmLists *lists, const char *table)
{
	const Oid columns[] = {lists->user_type.type, INT4OID, lists->item_type.type, FLOAT4OID};
	Diff diff = {.lists = lists,
				 .user_type = lists->user_type,
				 .item_type = lists->item_type,
				 .last_user = -1};

	diff.met = MemoryContextAllocExtended(CurrentMemoryContext, lists->num_rows / 8 + 1,
										  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	begin_rows(&diff.changed, "changed_rows");
	begin_rows(&diff.gone, "gone_rows");
	begin_rows(&diff.missing, "missing_rows");
	fm_spi_scan(psprintf("SELECT user_id, rank, item_id, score FROM %s", table), 0, NULL, NULL,
				false, columns, 4, compare_row, &diff);
	find_missing(&diff);
	register_rows(&diff, &diff.changed);
	register_rows(&diff, &diff.gone);
	register_rows(&diff, &diff.missing);
	apply(&diff, table);
	end_rows(&diff.changed);
	end_rows(&diff.gone);
	end_rows(&diff.missing);
	pfree(diff.met);
}

void
fm_target_update(const char *table, const FmLists *lists)
{
	if (lists->store != NULL)
		update_by_statements(lists, table);
	else
		update_by_comparison(lists, table);
}
