/*
 * Rows that an SQL statement reads from memory: a tuplestore in place of a table.
 */
#ifndef FMTOPX_SQL_INPUT_H
#define FMTOPX_SQL_INPUT_H

#include "pg/compat.h"

#include "pg/sql_parameters.h"

/* How a statement gets its rows */
typedef enum FmInputWay
{
	FM_INPUT_RELATION, /* as a relation, as triggers get transition tables */
	FM_INPUT_ARRAYS	   /* as array parameters, in chunks: for statements that other nodes run */
} FmInputWay;

typedef struct FmInput
{
	const char *name; /* of the relation */
	TupleDesc desc;	  /* a column may be of type real[], never NULL and of one length */
	Tuplestorestate *store;
	int64 count;
} FmInput;

/*
 * Return the way for statements that write to this table, or read from it. Only a plain local table
 * can be joined with rows in this process's memory: an engine that sends statements to other nodes
 * refuses such a relation.
 */
extern FmInputWay fm_input_way(Oid table);

/*
 * Return what stands in the statement's FROM for the rows, to be followed by an alias. The
 * statement's own parameters come first.
 */
extern char *fm_input_sql(const FmInput *input, FmInputWay way, int num_own_parameters);

/* Run the statement, once or for each chunk of the rows. SPI must be connected. */
extern void fm_input_run(const char *sql, const FmSqlParameters *own, const FmInput *input,
						 FmInputWay way);

#endif
