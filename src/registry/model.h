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
	bool attached;	  /* its tables are filled from elsewhere and say which version is active */
	int version;	  /* the active one; if attached, 0 until fm_model_take_pointer */
	int64 stamp;	  /* random; identifies the contents of the version everywhere, forever */
	bool uncommitted; /* published by the current transaction */
	int keep_versions;
	float max_worse; /* infinity: never refuse a training */
	FmDefinition definition;
} FmModel;

/* The schema of the extension, given a call of one of its functions. */
#define fm_extension_schema(fcinfo) get_func_namespace((fcinfo)->flinfo->fn_oid)

/*
 * Find a model by name. Return false if there is none, or if all of its tables have been dropped;
 * *model is then all zero. SPI must be connected. Uses the active snapshot if read_only, else a new
 * one. Strings are allocated in the given context.
 */
extern bool fm_model_lookup(Oid schema, const char *name, bool read_only, MemoryContext context,
							FmModel *model);

/*
 * If the model is attached, set the version that is served as its version table says; 0: none has
 * arrived yet. The caller of this function has checked that the user may read the table.
 */
extern void fm_model_take_pointer(FmModel *model, bool read_only);

/*
 * Find the model of a call: the one with the name given; else that of the setting fmtopx.model;
 * else the only model that the caller may read. It is an error if there is no such model, if there
 * are several, or if one of its tables has been dropped.
 */
extern void fm_model_resolve(Oid schema, text *name, bool read_only, MemoryContext context,
							 FmModel *model);

/* Raise an error if a table of the model has been dropped. */
extern void fm_model_check_tables(const FmModel *model);

/* Raise the error that there is no model of this name. */
pg_noreturn extern void fm_model_missing(const char *name);

/* Raise the error that the version being served is damaged. `problem` says what is wrong. */
pg_noreturn extern void fm_model_damaged(const FmModel *model, const char *problem);

/* Raise an error unless the current user owns the model or is a member of the owner. */
extern void fm_model_check_owner(const FmModel *model);

/* Raise an error if the model is attached. */
extern void fm_model_check_not_attached(const FmModel *model);

/* Raise the error that a model was imported, so that there is no training to repeat. */
pg_noreturn extern void fm_model_imported(const char *name);

/* Raise an error unless the role may read all rows of all tables of the model. */
extern void fm_model_check_readable(const FmModel *model, Oid role);

/* The setting fmtopx.model. */
extern char *fm_default_model;

#endif
