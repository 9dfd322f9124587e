/*
 * Running SQL from C: as which role, over which relation, with which names.
 */
#ifndef FMTOPX_SQL_H
#define FMTOPX_SQL_H

#include "pg/compat.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "pg/sql_parameters.h"
#include "pg/sql_rows.h"

/*
 * Act as another role until fm_restore_role, in a security-restricted operation and with
 * search_path set to pg_catalog, as REFRESH MATERIALIZED VIEW does. After an error nothing needs to
 * be restored: the end of the (sub)transaction restores the role and the settings.
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
 * Let queries use maintenance_work_mem for sorting, if that is more than work_mem, until
 * AtEOXact_GUC(false, result).
 */
extern int fm_sort_like_maintenance(void);

/* SPI_connect and SPI_finish; a failure is an error. */
extern void fm_spi_connect(void);
extern void fm_spi_finish(void);

/*
 * Run a statement. NULL means no parameters. SPI_processed and SPI_tuptable have the result;
 * sql_rows.h reads it.
 */
extern void fm_sql_run(const char *sql, const FmSqlParameters *parameters, bool read_only);

/* Open a cursor for a query. */
extern Portal fm_sql_open(const char *sql, const FmSqlParameters *parameters, bool read_only);

/*
 * A prepared statement that is kept between calls; all zero at first. Its relations can be renamed,
 * so every call gives the current text. If the text has changed, the statement is prepared again.
 */
typedef struct FmPlan
{
	SPIPlanPtr plan;
	char *sql;
	int running; /* executions in progress: the statement may call this code again */
} FmPlan;

/* Run a kept statement, as fm_sql_run does. */
extern void fm_plan_run(FmPlan *plan, const char *sql, const FmSqlParameters *parameters,
						bool read_only);

extern void fm_plan_free(FmPlan *plan);

/*
 * Run a query and pass each row to a callback as the executor produces it, without a copy. The
 * callback runs in a memory context that is reset after each row, and returns whether it wants more
 * rows.
 */
typedef bool (*FmRowReader)(void *state, const FmRow *row);

extern void fm_sql_scan(const char *sql, const FmSqlParameters *parameters, bool read_only,
						const FmColumn *columns, int num_columns, FmRowReader reader, void *state);

/* Return the owner of a relation, or InvalidOid if there is no such relation. */
extern Oid fm_relation_owner(Oid relation);

/* Return a relation's "schema.name", quoted; an error if there is no such relation. */
extern char *fm_relation_sql(Oid relation);
extern char *fm_qualified_sql(Oid schema, const char *name);

/*
 * Open a relation with AccessShareLock; an error if it has been dropped. The caller has checked of
 * what kind it is, and closes it with relation_close.
 */
extern Relation fm_open_relation(Oid relation);

/*
 * Return the number of a column; an error that names column and relation if there is none.
 * `option` is the argument that names the column; NULL: it is a column of a model's table.
 */
extern AttrNumber fm_column_number(Oid relation, const char *column, const char *option);

/* Append "left OPERATOR(schema.=) right", with the default equality operator of the type. */
extern void fm_append_equality(StringInfo sql, const char *left, Oid type, const char *right);

/* Raise an error unless the role may SELECT from the relation. */
extern void fm_check_select(Oid relation, Oid role);

/*
 * Raise an error unless the current user may create something in the schema. `elsewhere` is how to
 * do it in another one, for the hint.
 */
extern void fm_check_create(Oid schema, const char *elsewhere);

#endif
