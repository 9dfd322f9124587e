/*
 * A model as the registry knows it: definition, tables, active version, owner.
 */
#ifndef FMTOPX_MODEL_H
#define FMTOPX_MODEL_H

#include "pg/compat.h"

#include "registry/definition.h"
#include "utils/lsyscache.h"

typedef struct FmModel
{
	char *name;
	Oid extension_schema;
	Oid owner; /* of the tables */
	Oid version_table;
	Oid user_table;
	Oid item_table;
	Oid matrix_table;
	Oid level_table;  /* InvalidOid until the model is first trained with features */
	bool attached;	  /* its tables are filled from elsewhere, and say what is active */
	int version;	  /* the active one; 0: none has arrived yet */
	int64 stamp;	  /* random: identifies its contents everywhere, for ever */
	bool uncommitted; /* published by the current transaction */
	int keep_versions;
	float max_worse; /* infinity: no training is refused */
	FmDefinition definition;
} FmModel;

/* The schema that the extension lives in, given one of its functions. */
#define fm_extension_schema(fcinfo) get_func_namespace((fcinfo)->flinfo->fn_oid)

/*
 * Find a model by name; false if there is none (or only a dead row). SPI must be connected. Reads
 * under the active snapshot when read_only, else under a fresh one. Results are in the current
 * context, which must not be SPI's own if they are to live on.
 */
extern bool fm_model_lookup(Oid schema, const char *name, bool read_only, MemoryContext context,
							FmModel *model);

/*
 * The model that a call means: the one named; else the setting fmtopx.model; else the only one that
 * the caller may read. An error if there is none, it is ambiguous, or its tables are gone.
 */
extern void fm_model_resolve(Oid schema, text *name, bool read_only, MemoryContext context,
							 FmModel *model);

/* Errors if a table of the model has been dropped. */
extern void fm_model_check_tables(const FmModel *model);

/* An error that says there is no model of this name. */
pg_noreturn extern void fm_model_missing(const char *name);

/* An error that says the version being served is not what was stored: "its ..." what. */
pg_noreturn extern void fm_model_damaged(const FmModel *model, const char *problem);

/* Errors unless the current user owns the model (or is a member of the owner). */
extern void fm_model_check_owner(const FmModel *model);

/* Errors if the model's versions come from elsewhere. */
extern void fm_model_check_not_attached(const FmModel *model);

/* Errors unless the role may read every table of the model, rows unrestricted. */
extern void fm_model_check_readable(const FmModel *model, Oid role);

/* The setting fmtopx.model. */
extern char *fm_default_model;

#endif
