/*
 * Writing the registry's models. SPI must be connected. The statements run as the registry's owner,
 * so the functions' callers must have checked the user's rights.
 */
#ifndef FMTOPX_REGISTRY_MODELS_H
#define FMTOPX_REGISTRY_MODELS_H

#include "registry/model.h"

/*
 * Lock the name of a model that is about to be created, until the transaction ends. Waits for
 * another session that has locked the name, and reports that (lock_wait.h).
 */
extern void fm_registry_lock_name(Oid schema, const char *name);

/*
 * Insert the model, or replace its definition and active version. It is an error if another model
 * has the name.
 */
extern void fm_registry_save_model(Oid schema, const FmModel *model);

/* Insert a model whose tables are filled from elsewhere. */
extern void fm_registry_attach_model(Oid schema, const FmModel *model);

/* Return the name of a model that has one of these tables, in the current context, or NULL. */
extern char *fm_registry_tables_model(Oid schema, const FmModel *model);

/*
 * Lock the model's pointer to its active version until the transaction ends. Return the version, or
 * 0 if the model no longer exists. A wait is reported (lock_wait.h).
 */
extern int fm_registry_lock_pointer(Oid schema, const char *name);

/* Activate another version with a new stamp, and notify listeners. Return the stamp. */
extern int64 fm_registry_activate(Oid schema, const char *name, int version);

/* Notify the channel fmtopx, when the transaction commits, that the version is served. */
extern void fm_registry_notify(const char *name, int version);

/* Set options; 0 and NaN leave an option as it is. */
extern void fm_registry_set_options(Oid schema, const char *name, int keep_versions,
									float max_worse);

/* Remove a model with its runs, targets and trials; no error if there is none. */
extern void fm_registry_delete_model(Oid schema, const char *name);

/* Draw a random stamp: unlike a sequence, unique after a rollback, restore or promotion, too. */
extern int64 fm_registry_next_stamp(void);

#endif
