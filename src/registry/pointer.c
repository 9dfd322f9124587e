/*
 * Which version of an attached model is served: the one whose row in the version table was
 * activated last.
 *
 * The table is read by a query, so what PostgreSQL and other extensions do with queries applies:
 * the rows of a distributed table are on other nodes. The query runs as the table's owner, in a
 * security-restricted operation, so that nothing the owner has put on the table runs with the
 * rights of the caller. Locking: AccessShareLock on the table, until the end of the transaction.
 *
 * The views show what everybody's models serve. So they must neither fail nor wait because one
 * owner has altered or locked a table: fm_served_version then returns NULL. Memory: the plans of
 * the queries are kept.
 */
#include "registry/pointer.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "pg/sql.h"
#include "pg/steps.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

PG_FUNCTION_INFO_V1(fm_served_version);

#define MAX_POINTER_PLANS 8

static FmPlan pointer_plans[MAX_POINTER_PLANS];

enum
{
	COL_VERSION,
	COL_STAMP,
	COL_ACTIVATION,
	COL_XMIN
};

static const FmColumn pointer_columns[] = {
	[COL_VERSION] = {"version", INT4OID},
	[COL_STAMP] = {"stamp", INT8OID},
	[COL_ACTIVATION] = {"activation", INT8OID},
	[COL_XMIN] = {"xmin", XIDOID},
};

/* Return whether the table has the columns of a version table. It must not be a view. */
static bool
has_pointer(Oid table)
{
	char kind = get_rel_relkind(table);

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE &&
		kind != RELKIND_FOREIGN_TABLE)
		return false;
	for (int i = COL_VERSION; i < COL_XMIN; i++)
	{
		AttrNumber number = get_attnum(table, pointer_columns[i].sql);

		if (number <= 0 || get_atttype(table, number) != pointer_columns[i].type)
			return false;
	}
	return true;
}

static char *
pointer_query(Oid version_table)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	fm_append_select_list(&sql, pointer_columns, lengthof(pointer_columns));
	appendStringInfo(&sql,
					 " FROM %s WHERE version IS NOT NULL AND stamp IS NOT NULL AND activation > 0 "
					 "ORDER BY activation DESC LIMIT 1",
					 fm_relation_sql(version_table));
	return sql.data;
}

FmPointer
fm_read_pointer(Oid version_table, bool read_only)
{
	FmPointer pointer = {0};
	FmRoleSwitch previous;
	FmRows rows;

	if (!has_pointer(version_table))
		return pointer;
	previous = fm_act_as(fm_relation_owner(version_table));
	fm_plan_run(&pointer_plans[version_table % MAX_POINTER_PLANS], pointer_query(version_table),
				NULL, read_only);
	fm_restore_role(&previous);

	fm_rows_begin(&rows, pointer_columns, lengthof(pointer_columns));
	if (fm_rows_next(&rows))
	{
		pointer.version = fm_row_integer(&rows.row, COL_VERSION);
		pointer.stamp = fm_row_bigint(&rows.row, COL_STAMP);
		pointer.uncommitted = TransactionIdIsCurrentTransactionId(fm_row_xid(&rows.row, COL_XMIN));
	}
	fm_rows_end(&rows);
	return pointer;
}

/*
 * Return whether the role may read the table and no policy filters what the role reads. Policies
 * are the owner's code and may take any time.
 */
static bool
reads_all(Oid table, Oid role)
{
	return pg_class_aclcheck(table, role, ACL_SELECT) == ACLCHECK_OK &&
		   check_enable_rls(table, role, true) != RLS_ENABLED;
}

typedef struct Served
{
	Oid version_table;
	int version;
} Served;

/* FmStep */
static void
read_served(void *state, const void *argument)
{
	Served *served = state;

	fm_spi_connect();
	served->version = fm_read_pointer(served->version_table, true).version;
	fm_spi_finish();
}

Datum
fm_served_version(PG_FUNCTION_ARGS)
{
	Served served = {.version_table = PG_GETARG_OID(0)};
	Oid owner = fm_relation_owner(served.version_table);

	if (!OidIsValid(owner) || !reads_all(served.version_table, GetUserId()) ||
		!reads_all(served.version_table, owner) ||
		!ConditionalLockRelationOid(served.version_table, AccessShareLock) ||
		!fm_attempt_briefly(read_served, &served) || served.version == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(served.version);
}
