/*
 * The registry's models, written. SPI must be connected. Statements run as the registry's owner and
 * trust their arguments: the caller checks the caller's rights.
 */
#ifndef FMTOPX_REGISTRY_MODELS_H
#define FMTOPX_REGISTRY_MODELS_H

#include "registry/model.h"

/*
 * Wait for whoever is creating a model of this name, and keep others from it until the transaction
 * ends.
 */
extern void fm_registry_lock_name(Oid schema, const char *name);

/*
 * Insert the model or replace its definition and active version; an error if the name is another's.
 */
extern void fm_registry_save_model(Oid schema, const FmModel *model);

/* Insert a model whose tables are filled from elsewhere. */
extern void fm_registry_attach_model(Oid schema, const FmModel *model);

/* A model that has one of this model's tables, in the current context, or NULL. */
extern char *fm_registry_tables_model(Oid schema, const FmModel *model);

/*
 * Keep others from moving the model's pointer until the transaction ends; the version it points at,
 * or 0 if there is no such model any more.
 */
extern int fm_registry_lock_pointer(Oid schema, const char *name);

/* Point at another version, under a stamp of its own, which is returned, and tell who listens. */
extern int64 fm_registry_activate(Oid schema, const char *name, int version);

/* NOTIFY fmtopx, when the transaction commits, that a version is being served from then on. */
extern void fm_registry_notify(const char *name, int version);

/* 0 and NaN: as it is. */
extern void fm_registry_set_options(Oid schema, const char *name, int keep_versions,
									float max_worse);

/* Remove a model with its runs, targets and trials; no error if there is none. */
extern void fm_registry_delete_model(Oid schema, const char *name);

/* Never drawn twice: not after a rollback, a restore or a promotion, nor in another database. */
extern int64 fm_registry_next_stamp(void);

#endif
