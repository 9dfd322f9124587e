/*
 * The SQL statements that change the rows of a table of lists.
 *
 * All of them need SPI connected and act as the table's owner.
 */
#ifndef FMTOPX_TARGET_STATEMENTS_H
#define FMTOPX_TARGET_STATEMENTS_H

#include "pg/compat.h"

#include "batch/lists.h"
#include "pg/sql_input.h"

/* Which of the columns that a table of lists need not have are there. */
typedef struct FmTargetColumns
{
	bool score;
	bool rating;
} FmTargetColumns;

extern FmTargetColumns fm_target_columns(const FmListKind *kind, Oid target);

/*
 * Make the rows of a table those of the lists, by statements that compare the two. Only rows that
 * differ are touched; but if statements on the table get their rows in chunks (FM_INPUT_ARRAYS),
 * all rows are replaced. Moves the lists to their tuplestore.
 */
extern void fm_target_update(Oid target, FmLists *lists);

/* Changes to a table, collected before any of them is made. */
typedef struct FmChanges
{
	const FmListKind *kind;
	FmIdType owner_type;
	FmIdType item_type;
	TupleDesc desc;
	FmInput changed; /* rows with a new item, score or rating */
	FmInput gone;	 /* keys of rows to delete */
	FmInput missing; /* rows to insert */
	bool keyless;	 /* delete also rows without an owner or a rank */
} FmChanges;

/* Begin with none, in the current context. */
extern void fm_changes_init(FmChanges *changes, const FmListKind *kind, const FmIdType *owner_type,
							const FmIdType *item_type);

/* Add a row to one of the three kinds. */
extern void fm_changes_put(const FmChanges *changes, FmInput *rows, const Datum *values,
						   const bool *nulls);

/*
 * Make the changes, by one statement for each kind of which there are any, or for each chunk of
 * it.
 */
extern void fm_changes_apply(const FmChanges *changes, Oid target);

/* Free the tuplestores. */
extern void fm_changes_free(const FmChanges *changes);

#endif
