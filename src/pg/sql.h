/*
 * Running SQL from C: in whose name, over which relation, with which names quoted how.
 */
#ifndef FMTOPX_SQL_H
#define FMTOPX_SQL_H

#include "pg/compat.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "pg/sql_parameters.h"
#include "pg/sql_rows.h"

/*
 * Act as another role until fm_restore_role, under a security-restricted operation and with
 * search_path pinned to pg_catalog, as REFRESH MATERIALIZED VIEW does. An error in between needs no
 * clean-up: the end of the (sub)transaction restores the role and the settings.
 */
typedef struct FmRoleSwitch
{
	Oid role;
	int security_context;
	int guc_nest_level;
} FmRoleSwitch;

extern FmRoleSwitch fm_act_as(Oid role);
extern void fm_restore_role(const FmRoleSwitch *previous);

/*
 * Let queries that begin from here on sort in maintenance_work_mem, where that is more than
 * work_mem, until AtEOXact_GUC(false, result).
 */
extern int fm_sort_like_maintenance(void);

/* SPI_connect and SPI_finish, failing loudly. */
extern void fm_spi_connect(void);
extern void fm_spi_finish(void);

/*
 * Run a statement; parameters may be NULL: none. The result is in SPI_tuptable and SPI_processed;
 * sql_rows.h reads it.
 */
extern void fm_sql_run(const char *sql, const FmSqlParameters *parameters, bool read_only);

/* The same by a cursor. */
extern Portal fm_sql_open(const char *sql, const FmSqlParameters *parameters, bool read_only);

/*
 * Run; every argument not null unless nulls says 'n'. Results are in SPI_tuptable, SPI_processed.
 */
extern void fm_spi_execute(const char *sql, int num_args, Oid *types, Datum *values,
						   const char *nulls, bool read_only);

/*
 * A statement kept between calls. Its text names relations, which may be renamed or moved under it,
 * so every call gives the text as it is now, and another text is prepared anew. All zero to begin
 * with.
 */
typedef struct FmPlan
{
	SPIPlanPtr plan;
	char *sql;
	int running; /* executions under way: the statement may call us again */
} FmPlan;

/* fm_sql_run for a kept statement. */
extern void fm_plan_run(FmPlan *plan, const char *sql, const FmSqlParameters *parameters,
						bool read_only);

/* The same, for a kept statement; no argument is null. */
extern void fm_plan_execute(FmPlan *plan, const char *sql, int num_args, Oid *types, Datum *values,
							bool read_only);
extern void fm_plan_free(FmPlan *plan);

/*
 * An error unless the last result has columns of these types: what a table's owner may have altered
 * must not be taken for what it was.
 */
extern void fm_spi_expect(const Oid *types, int num_columns);

/*
 * Run a query and hand over each row as it comes, without a copy of it; no argument is null.
 * Columns must have these types, as in fm_spi_expect. The row is gone after the call, and so is
 * what is allocated in the memory context that is current in it. The callback returns whether it
 * wants more.
 */
typedef bool (*FmRowCallback)(void *state, TupleTableSlot *row);

extern void fm_spi_scan(const char *sql, int num_args, Oid *types, Datum *values, bool read_only,
						const Oid *columns, int num_columns, FmRowCallback callback, void *state);

/*
 * Run a query and pass each row to a callback as the executor produces it, without a copy. The
 * callback runs in a memory context that is reset after each row, and returns whether it wants more
 * rows.
 */
typedef bool (*FmRowReader)(void *state, const FmRow *row);

extern void fm_sql_scan(const char *sql, const FmSqlParameters *parameters, bool read_only,
						const FmColumn *columns, int num_columns, FmRowReader reader, void *state);

/* A column (from 1) of a row of the last result. */
extern Datum fm_spi_value(uint64 row, int column, bool *isnull);

/* The same where the query cannot give NULL (an error if it does). */
extern Datum fm_spi_value_not_null(uint64 row, int column);

/* Let statements read a tuplestore as a relation of this name, until SPI_unregister_relation. */
extern void fm_spi_register_rows(const char *name, TupleDesc desc, Tuplestorestate *store,
								 double num_rows);

/* InvalidOid if there is no such relation. */
extern Oid fm_relation_owner(Oid relation);

/* schema.name of a relation, both quoted; an error if there is no such relation. */
extern char *fm_relation_sql(Oid relation);
extern char *fm_qualified_sql(Oid schema, const char *name);

/* A column's number; an error that names column and relation if there is none. */
extern AttrNumber fm_column_number(Oid relation, const char *column, const char *option);

/* "a OPERATOR(schema.=) b" for two values of a type with a default equality operator. */
extern void fm_append_equality(StringInfo sql, const char *left, Oid type, const char *right);

/* An error unless the role may SELECT from the relation. */
extern void fm_check_select(Oid relation, Oid role);

#endif
