/*
 * Relations that are shells: queries of a table are answered from another table, as an engine of
 * distributed tables does.
 *
 * A table is a shell if its schema has a table with the same columns and the same name followed by
 * "__rows". Every statement, whether it reads or writes, is planned for that one. Code that reads
 * the pages of the shell itself finds the shell's own rows, which are stale. A statement that also
 * reads a named tuplestore is refused, because it could not be sent to another node.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

PG_MODULE_MAGIC;

#define SUFFIX "__rows"

extern void _PG_init(void);

static planner_hook_type next_planner = NULL;

typedef struct Found
{
	bool shell;
	bool tuplestore;
} Found;

/* The table that has the rows of a shell, else InvalidOid. */
static Oid
rows_of(Oid relation)
{
	char *name = get_rel_name(relation);

	if (name == NULL || get_rel_relkind(relation) != RELKIND_RELATION)
		return InvalidOid;
	return get_relname_relid(psprintf("%s" SUFFIX, name), get_rel_namespace(relation));
}

static void
look_at(RangeTblEntry *entry, Found *found)
{
	Oid rows;

	if (entry->rtekind == RTE_NAMEDTUPLESTORE)
		found->tuplestore = true;
	if (entry->rtekind != RTE_RELATION)
		return;
	rows = rows_of(entry->relid);
	if (!OidIsValid(rows))
		return;
	LockRelationOid(rows, entry->rellockmode);
	entry->relid = rows;
	entry->inh = false;
	found->shell = true;
}

/* From 16 on a query lists the relations whose privileges are checked beside its range table. */
static void
follow_permissions(Query *query)
{
#if PG_VERSION_NUM >= 160000
	ListCell *cell;

	foreach (cell, query->rteperminfos)
	{
		RTEPermissionInfo *info = lfirst(cell);
		Oid rows = rows_of(info->relid);

		if (OidIsValid(rows))
			info->relid = rows;
	}
#endif
}

static bool
walk(Node *node, void *found)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		look_at((RangeTblEntry *) node, found);
		return false;
	}
	if (IsA(node, Query))
	{
		follow_permissions((Query *) node);
		return query_tree_walker((Query *) node, walk, found, QTW_EXAMINE_RTES_BEFORE);
	}
	return expression_tree_walker(node, walk, found);
}

static PlannedStmt *
plan(Query *query, const char *text, int options, ParamListInfo parameters)
{
	Found found = {0};

	(void) walk((Node *) query, &found);
	if (found.shell && found.tuplestore)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("a named tuplestore cannot be sent to where the rows are")));
	return next_planner != NULL ? next_planner(query, text, options, parameters)
								: standard_planner(query, text, options, parameters);
}

void
_PG_init(void)
{
	next_planner = planner_hook;
	planner_hook = plan;
}
