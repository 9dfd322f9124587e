/*
 * Reading the relations of users and items of an import: whose the rows of a file are, or the
 * arrays themselves.
 *
 * All read as the current user, into the current context. SPI must be connected.
 */
#ifndef FMTOPX_IMPORT_ROWS_H
#define FMTOPX_IMPORT_ROWS_H

#include "exchange/importing.h"

/* Relations, and their columns. */
typedef struct FmImportRelations
{
	Oid relation[2];
	const char *id_column[2];
	const char *row_column;	   /* of the number of a row, from 0 */
	const char *vector_column; /* of arrays */
	const char *bias_column;   /* of arrays; NULL: there is none */
	bool ignore_others;		   /* rows of the file that are nobody's are left out */
} FmImportRelations;

/* Find out the types of the ids. */
extern void fm_import_id_types(FmImport *import, const FmImportRelations *relations);

/* Set ids and parameters from a file, and relations that say whose its rows are. */
extern void fm_import_mapped(FmImport *import, const FmImportRelations *relations,
							 const FmImported *file);

/* Set them from relations that hold arrays. */
extern void fm_import_vectors(FmImport *import, const FmImportRelations *relations);

#endif
