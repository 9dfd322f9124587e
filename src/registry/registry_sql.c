/*
 * Statements on the registry's tables.
 *
 * Only the extension's owner may write the tables, so each statement runs as that role. Locking:
 * the RowExclusiveLock of the statements, and their row locks, until the end of the transaction.
 * Readers do not wait: they see the previous rows. Memory: results belong to SPI.
 */
#include "registry/registry_sql.h"

#include "utils/lsyscache.h"

Oid
fm_registry_owner(Oid schema)
{
	Oid owner = fm_relation_owner(get_relname_relid("fm_model", schema));

	if (!OidIsValid(owner))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the registry of extension \"fmtopx\" is missing"),
						errhint("Drop the extension and create it again.")));
	return owner;
}

void
fm_registry_execute(Oid schema, const char *table, const char *format,
					const FmSqlParameters *parameters)
{
	FmRoleSwitch previous = fm_act_as(fm_registry_owner(schema));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, format, fm_qualified_sql(schema, table),
					 fm_qualified_sql(schema, "fm_model"));
	fm_sql_run(sql.data, parameters, false);
	fm_restore_role(&previous);
}
