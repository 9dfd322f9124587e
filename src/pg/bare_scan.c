/*
 * Whether a query of a relation reads nothing but that relation's own rows.
 *
 * A relation may be a shell: the rows of a distributed table are on other nodes, those of a parent
 * table are in its children, and a policy or a generated column changes what a query returns. No
 * list of such cases can be complete, because extensions add to it through planner hooks. So the
 * planner is asked: the query is planned, and its plan must be a bare sequential scan.
 *
 * Memory: the plan is freed before the function returns. Locking: the planner's AccessShareLock on
 * the relation, until the end of the transaction.
 */
#include "pg/bare_scan.h"

#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "pg/sql.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"

/* Plan without indexes: an index-only scan would be as good, but would not look bare. */
static int
disable_indexes(void)
{
	int level = NewGUCNestLevel();

	(void) set_config_option("enable_seqscan", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	(void) set_config_option("enable_indexonlyscan", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("enable_indexscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	return level;
}

/* Return whether the plan's target list is these columns of its scan, in this order. */
static bool
returns_columns(const Scan *scan, Oid relation, const FmColumn *columns, int num_columns)
{
	ListCell *cell;
	int i = 0;

	if (list_length(scan->plan.targetlist) != num_columns)
		return false;
	foreach (cell, scan->plan.targetlist)
	{
		const Var *var = (const Var *) lfirst_node(TargetEntry, cell)->expr;

		if (!IsA(var, Var) || var->varno != scan->scanrelid ||
			var->varattno != get_attnum(relation, columns[i++].sql))
			return false;
	}
	return true;
}

static bool
is_bare(const PlannedStmt *statement, Oid relation, const FmColumn *columns, int num_columns)
{
	const Scan *scan = (const Scan *) statement->planTree;
	const RangeTblEntry *entry;

	if (statement->commandType != CMD_SELECT || statement->subplans != NIL ||
		statement->rowMarks != NIL || !IsA(scan, SeqScan) || scan->plan.qual != NIL ||
		scan->plan.initPlan != NIL)
		return false;
	entry = rt_fetch(scan->scanrelid, statement->rtable);
	return entry->rtekind == RTE_RELATION && entry->relid == relation &&
		   entry->tablesample == NULL && returns_columns(scan, relation, columns, num_columns);
}

static char *
select_sql(Oid relation, const FmColumn *columns, int num_columns)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT");
	for (int i = 0; i < num_columns; i++)
		appendStringInfo(&sql, "%s %s", i == 0 ? "" : ",", quote_identifier(columns[i].sql));
	appendStringInfo(&sql, " FROM %s", fm_relation_sql(relation));
	return sql.data;
}

bool
fm_is_bare_scan(Oid relation, const FmColumn *columns, int num_columns)
{
	int level = disable_indexes();
	SPIPlanPtr plan;
	CachedPlan *cached;
	bool bare = false;

	fm_spi_connect();
	plan = SPI_prepare(select_sql(relation, columns, num_columns), 0, NULL);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	cached = SPI_plan_get_cached_plan(plan);
	if (cached != NULL)
	{
		bare = list_length(cached->stmt_list) == 1 &&
			   is_bare(linitial_node(PlannedStmt, cached->stmt_list), relation, columns,
					   num_columns);
		fm_release_unowned_plan(cached);
	}
	fm_spi_finish();
	AtEOXact_GUC(false, level);
	return bare;
}
