/*
 * Running SQL from C: roles, SPI, names.
 *
 * Everything that reads or writes a user's relation goes through here. Who runs what: statements on
 * the registry run as the owner of the extension's tables; a model's tables and the relations that
 * it was trained on are read as the model's owner; a relation that the caller names in the call
 * itself is read as the caller. Memory: results belong to SPI until fm_rows_end or fm_spi_finish.
 */
#include "pg/sql.h"

#include "access/relation.h"
#include "catalog/pg_operator.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

FmRoleSwitch
fm_act_as(Oid role)
{
	FmRoleSwitch previous;

	GetUserIdAndSecContext(&previous.role, &previous.security_context);
	SetUserIdAndSecContext(role, previous.security_context | SECURITY_RESTRICTED_OPERATION);
	previous.guc_nest_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return previous;
}

void
fm_restore_role(const FmRoleSwitch *previous)
{
	AtEOXact_GUC(false, previous->guc_nest_level);
	SetUserIdAndSecContext(previous->role, previous->security_context);
}

int
fm_sort_like_maintenance(void)
{
	int guc_nest_level = NewGUCNestLevel();

	if (maintenance_work_mem > work_mem)
		(void) set_config_option("work_mem", psprintf("%d", maintenance_work_mem), PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return guc_nest_level;
}

void
fm_spi_connect(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
fm_spi_finish(void)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}

/* SPI does not change the arrays, but does not say so. */
static FmSqlParameters *
for_spi(const FmSqlParameters *parameters)
{
	static const FmSqlParameters none;

	return unconstify(FmSqlParameters *, parameters == NULL ? &none : parameters);
}

void
fm_sql_run(const char *sql, const FmSqlParameters *parameters, bool read_only)
{
	FmSqlParameters *p = for_spi(parameters);
	int result = SPI_execute_with_args(sql, p->count, p->types, p->values, p->nulls, read_only, 0);

	if (result < 0)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(result));
}

Portal
fm_sql_open(const char *sql, const FmSqlParameters *parameters, bool read_only)
{
	FmSqlParameters *p = for_spi(parameters);

	return SPI_cursor_open_with_args(NULL, sql, p->count, p->types, p->values, p->nulls, read_only,
									 0);
}

void
fm_plan_free(FmPlan *plan)
{
	/* a running plan cannot be freed: in this rare case, some kilobytes leak */
	if (plan->plan != NULL && plan->running == 0)
		SPI_freeplan(plan->plan);
	if (plan->sql != NULL)
		pfree(plan->sql);
	plan->plan = NULL;
	plan->sql = NULL;
}

static void
prepare(FmPlan *plan, const char *sql, FmSqlParameters *parameters)
{
	SPIPlanPtr prepared = SPI_prepare(sql, parameters->count, parameters->types);

	if (prepared == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	fm_plan_free(plan);
	plan->sql = MemoryContextStrdup(TopMemoryContext, sql);
	if (SPI_keepplan(prepared) != 0)
		elog(ERROR, "SPI_keepplan failed");
	plan->plan = prepared;
}

/* Run a prepared statement. */
static void
run_prepared(FmPlan *plan, FmSqlParameters *parameters, bool read_only)
{
	volatile int result = 0;

	plan->running++;
	PG_TRY();
	{
		result = SPI_execute_plan(plan->plan, parameters->values, parameters->nulls, read_only, 0);
	}
	PG_FINALLY();
	{
		plan->running--;
	}
	PG_END_TRY();
	if (result < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
}

void
fm_plan_run(FmPlan *plan, const char *sql, const FmSqlParameters *parameters, bool read_only)
{
	FmSqlParameters *p = for_spi(parameters);

	if (plan->plan == NULL || strcmp(plan->sql, sql) != 0)
		prepare(plan, sql, p);
	run_prepared(plan, p, read_only);
}

/* A destination of rows that passes them to a reader. */
typedef struct RowReceiver
{
	DestReceiver receiver;
	FmRowReader reader;
	void *state;
	const FmColumn *columns;
	MemoryContext row_context;
} RowReceiver;

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *rows = (RowReceiver *) self;
	MemoryContext previous = MemoryContextSwitchTo(rows->row_context);
	bool more;

	slot_getallattrs(slot);
	more = rows->reader(rows->state, &(FmRow){slot->tts_values, slot->tts_isnull, rows->columns});
	MemoryContextSwitchTo(previous);
	MemoryContextReset(rows->row_context);
	return more;
}

static void
start_receiver(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
end_receiver(DestReceiver *self)
{
}

void
fm_sql_scan(const char *sql, const FmSqlParameters *parameters, bool read_only,
			const FmColumn *columns, int num_columns, FmRowReader reader, void *state)
{
	Portal portal = fm_sql_open(sql, parameters, read_only);
	RowReceiver rows = {{receive_row, start_receiver, end_receiver, end_receiver, DestNone},
						reader,
						state,
						columns,
						AllocSetContextCreate(CurrentMemoryContext, "fmtopx row",
											  ALLOCSET_SMALL_SIZES)};

	fm_check_columns(portal->tupDesc, columns, num_columns);
	PortalRunFetch(portal, FETCH_FORWARD, FETCH_ALL, &rows.receiver);
	SPI_cursor_close(portal);
	MemoryContextDelete(rows.row_context);
}

Oid
fm_relation_owner(Oid relation)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Raise the error that a relation, which was there before, is gone. */
pg_noreturn static void
relation_missing(Oid relation)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
					errmsg("a relation (OID %u) has been dropped by another session", relation),
					errhint("Run the statement again: it will say what is missing.")));
}

Relation
fm_open_relation(Oid relation)
{
	Relation opened = try_relation_open(relation, AccessShareLock);

	if (opened == NULL)
		relation_missing(relation);
	return opened;
}

char *
fm_relation_sql(Oid relation)
{
	char *name = get_rel_name(relation);

	if (name == NULL)
		relation_missing(relation);
	return fm_qualified_sql(get_rel_namespace(relation), name);
}

char *
fm_qualified_sql(Oid schema, const char *name)
{
	char *schema_name = get_namespace_name(schema);

	if (schema_name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA),
						errmsg("schema with OID %u does not exist", schema)));
	return quote_qualified_identifier(schema_name, name);
}

AttrNumber
fm_column_number(Oid relation, const char *column, const char *option)
{
	AttrNumber number = get_attnum(relation, column);

	if (number <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of relation \"%s\" does not exist", column,
							   get_rel_name(relation)),
						option == NULL ? errhint("It is a table of a model: train the model again.")
									   : errhint("Name the column with %s => '...'.", option)));
	return number;
}

void
fm_append_equality(StringInfo sql, const char *left, Oid type, const char *right)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);
	HeapTuple tuple;
	Form_pg_operator operator;

	if (!OidIsValid(entry->eq_opr))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("could not identify an equality operator for type %s",
							   format_type_be(type))));
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(entry->eq_opr));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", entry->eq_opr);
	operator=(Form_pg_operator) GETSTRUCT(tuple);
	appendStringInfo(sql, "%s OPERATOR(%s.%s) %s", left,
					 quote_identifier(get_namespace_name(operator->oprnamespace)),
					 NameStr(operator->oprname), right);
	ReleaseSysCache(tuple);
}

void
fm_check_select(Oid relation, Oid role)
{
	AclResult result = pg_class_aclcheck(relation, role, ACL_SELECT);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, get_relkind_objtype(get_rel_relkind(relation)),
					   get_rel_name(relation));
}

void
fm_check_create(Oid schema, const char *elsewhere)
{
	char *name = get_namespace_name(schema);

	if (fm_namespace_aclcheck(schema, GetUserId(), ACL_CREATE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for schema %s", name),
				 errdetail("Tables are to be created there."),
				 errhint("GRANT CREATE ON SCHEMA %s TO %s, or %s.", quote_identifier(name),
						 quote_identifier(GetUserNameFromId(GetUserId(), false)), elsewhere)));
}
