/*
 * The state of an import.
 *
 * import.c drives it, import_rows.c reads which rows are whose, and import_describe.c finds what
 * serving needs besides the parameters.
 */
#ifndef FMTOPX_IMPORTING_H
#define FMTOPX_IMPORTING_H

#include "core/host.h"
#include "core/import/import.h"
#include "core/model/parameters.h"
#include "registry/registry_runs.h"
#include "store/result.h"

typedef struct FmImport
{
	FmModel model;
	FmRun run;
	const FmHost *host;
	FmVersion version; /* the numbers that the call gives: task, b, range of the ratings */
	FmIdType id_type[2];
	FmIdMap *ids[2];		 /* of users, of items */
	int32 *order[2];		 /* idx → index in ids */
	FmParameters parameters; /* by idx */
	int64 *digest[2];		 /* by idx; result.digest points to them */
	FmTrainingData data;	 /* the ids and orders only, as they are stored */
	FmResult result;
} FmImport;

#endif
