/*
 * What the view fm_health shows of tables: their size, and how many rows the ratings have.
 *
 * The view shows the models of several owners, each of whom may have locked or altered a table. One
 * of them must not keep the others from being shown. So a table that cannot be locked at once is
 * passed over, and an error in reading one gives NULL. Locking: AccessShareLock, at once or not at
 * all. Memory: the current context.
 */
#include "pg/compat.h"

#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "pg/bare_scan.h"
#include "pg/sql.h"
#include "pg/steps.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(fm_disk_size);
PG_FUNCTION_INFO_V1(fm_live_rows);

typedef struct DiskSize
{
	Datum *tables;
	bool *nulls;
	int num_tables;
	int64 size;
	bool locked; /* one of them is, so that the size is not known */
} DiskSize;

/* FmStep: add up the sizes of the tables that exist. */
static void
add_sizes(void *state, const void *argument)
{
	DiskSize *disk = state;

	for (int i = 0; i < disk->num_tables; i++)
	{
		Oid table = DatumGetObjectId(disk->tables[i]);

		if (disk->nulls[i])
			continue;
		if (!ConditionalLockRelationOid(table, AccessShareLock))
		{
			disk->locked = true;
			return;
		}
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table)))
			disk->size += DatumGetInt64(
				DirectFunctionCall1(pg_total_relation_size, ObjectIdGetDatum(table)));
		UnlockRelationOid(table, AccessShareLock);
	}
}

/* Return the size of tables with their indexes; NULL if one of them is locked. */
Datum
fm_disk_size(PG_FUNCTION_ARGS)
{
	DiskSize disk = {0};

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT,
					  &disk.tables, &disk.nulls, &disk.num_tables);
	if (!fm_attempt_briefly(add_sizes, &disk) || disk.locked)
		PG_RETURN_NULL();
	PG_RETURN_INT64(disk.size);
}

typedef struct LiveRows
{
	Oid relation;
	const char *column;
	int64 rows;
	bool known;
} LiveRows;

/*
 * Return whether the relation's own statistics count what a query of it returns: those of a
 * distributed table do not. The query is planned as the relation's owner. A relation with a policy
 * for the owner is not even planned, because the planner may run what the policy calls.
 */
static bool
has_own_rows(Oid relation, const char *column)
{
	const FmColumn columns[] = {{column, InvalidOid}};
	Oid owner = fm_relation_owner(relation);
	FmRoleSwitch previous;
	bool bare;

	/* statistics take no lock: while the relation is locked, they are the best there is */
	if (!ConditionalLockRelationOid(relation, AccessShareLock))
		return true;
	if (!OidIsValid(owner) || check_enable_rls(relation, owner, true) == RLS_ENABLED)
		return false;
	previous = fm_act_as(owner);
	bare = fm_is_bare_scan(relation, columns, 1);
	fm_restore_role(&previous);
	return bare;
}

/* Read the number of rows that ANALYZE has found in a foreign table; false if it has not run. */
static bool
read_foreign_rows(Oid relation, int64 *rows)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	float4 reltuples;

	if (!HeapTupleIsValid(tuple))
		return false;
	reltuples = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
	ReleaseSysCache(tuple);
	*rows = (int64) reltuples;
	/* before 14, a table that has not been analyzed has 0 */
	return reltuples > 0 ||
		   (reltuples == 0 && DatumGetInt64(DirectFunctionCall1(pg_stat_get_analyze_count,
																ObjectIdGetDatum(relation))) > 0);
}

/* Add the live rows of a relation and its partitions or children. */
static void
add_live_rows(Oid relation, LiveRows *live)
{
	char kind = get_rel_relkind(relation);
	List *children = find_inheritance_children(relation, NoLock);
	ListCell *cell;
	int64 rows = 0;

	check_stack_depth();
	if (kind == RELKIND_RELATION || kind == RELKIND_MATVIEW)
	{
		rows = DatumGetInt64(
			DirectFunctionCall1(pg_stat_get_live_tuples, ObjectIdGetDatum(relation)));
		if (children == NIL && !has_own_rows(relation, live->column))
			live->known = false;
	}
	else if (kind == RELKIND_FOREIGN_TABLE)
		live->known &= read_foreign_rows(relation, &rows);
	else if (kind != RELKIND_PARTITIONED_TABLE)
		live->known = false;
	live->rows += rows;
	foreach (cell, children)
		add_live_rows(lfirst_oid(cell), live);
}

/* FmStep */
static void
count_live_rows(void *state, const void *argument)
{
	LiveRows *live = state;

	add_live_rows(live->relation, live);
}

/* Return how many rows a relation has by the server's statistics; NULL if they do not tell. */
Datum
fm_live_rows(PG_FUNCTION_ARGS)
{
	LiveRows live = {.relation = PG_GETARG_OID(0),
					 .column = NameStr(*PG_GETARG_NAME(1)),
					 .known = true};

	if (!fm_attempt_briefly(count_live_rows, &live) || !live.known)
		PG_RETURN_NULL();
	PG_RETURN_INT64(live.rows);
}
