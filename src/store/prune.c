/*
 * Deleting old versions: their row in the version table first, then the rows of the other tables,
 * at once or a range of blocks at a time.
 *
 * Locking: the statements' own. Memory: the current context.
 */
#include "store/prune.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "pg/sql.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

#define PRUNE_BLOCKS 1024 /* of a table, in one step */

void
fm_store_keep(const FmModel *model, int version, int previous_version, int keep_versions)
{
	char *table = fm_relation_sql(model->version_table);
	FmSqlParameters parameters = {0};

	fm_add_integer(&parameters, version);
	fm_add_integer(&parameters, previous_version);
	fm_add_integer(&parameters, keep_versions);
	fm_sql_run(psprintf("DELETE FROM %s WHERE version NOT IN (SELECT version FROM %s "
						"ORDER BY version = $1 DESC, version = $2 DESC, version DESC LIMIT $3)",
						table, table),
			   &parameters, false);
}

/*
 * Return a statement that deletes what fm_store_keep has left in a table. More conditions can be
 * appended.
 */
static char *
delete_unknown(const FmModel *model, Oid table)
{
	return psprintf("DELETE FROM %s WHERE version NOT IN (SELECT version FROM %s)",
					fm_relation_sql(table), fm_relation_sql(model->version_table));
}

void
fm_store_prune(const FmModel *model)
{
	const Oid tables[] = {model->matrix_table, model->item_table, model->user_table,
						  model->level_table};

	for (int i = 0; i < lengthof(tables) && OidIsValid(tables[i]); i++)
		fm_sql_run(delete_unknown(model, tables[i]), NULL, false);
}

/* Return how many blocks a table has; 0 if it is not a plain table. */
static BlockNumber
count_blocks(Oid table)
{
	Relation relation = fm_open_relation(table);
	BlockNumber count = relation->rd_rel->relkind == RELKIND_RELATION
							? RelationGetNumberOfBlocks(relation)
							: 0;

	relation_close(relation, NoLock);
	return count;
}

/* Delete what fm_store_keep has left in the next blocks of a table. */
static void
prune_blocks(const FmModel *model, Oid table, FmPruning *position)
{
	FmSqlParameters parameters = {0};
	ItemPointerData from;
	ItemPointerData to;

	ItemPointerSet(&from, position->block, 0);
	position->block += Min(PRUNE_BLOCKS, position->num_blocks - position->block);
	ItemPointerSet(&to, position->block, 0);
	fm_add_parameter(&parameters, TIDOID, PointerGetDatum(&from), false);
	fm_add_parameter(&parameters, TIDOID, PointerGetDatum(&to), false);
	fm_sql_run(psprintf("%s AND ctid >= $1 AND ctid < $2", delete_unknown(model, table)),
			   &parameters, false);
}

bool
fm_store_prune_step(const FmModel *model, FmPruning *position)
{
	const Oid tables[] = {model->matrix_table, model->item_table, model->user_table,
						  model->level_table, InvalidOid};
	Oid table = tables[position->table];

	if (position->block == 0)
		position->num_blocks = count_blocks(table);
	if (position->num_blocks == 0)
		fm_sql_run(delete_unknown(model, table), NULL, false);
	else
		prune_blocks(model, table, position);
	if (position->block == position->num_blocks)
		*position = (FmPruning){.table = position->table + 1};
	return OidIsValid(tables[position->table]);
}
