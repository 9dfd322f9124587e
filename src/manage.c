/*
 * Looking after models: fm_drop.
 *
 * Locking: the AccessExclusiveLock of DROP TABLE, and the model's training lock before it (train.c).
 */
#include "compat.h"

#include "fmgr.h"
#include "registry.h"
#include "shared_cache.h"
#include "sql.h"
#include "store.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(fm_drop);

Datum
fm_drop(PG_FUNCTION_ARGS)
{
	Oid schema = fm_extension_schema(fcinfo);
	FmModel model;
	FmRoleSwitch previous;
	char *name;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the name of the model must not be NULL")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	fm_spi_connect();
	if (!fm_model_lock(schema, name, CurrentMemoryContext, &model))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name),
				 errhint("See the view fm_models for those you may read.")));
	previous = fm_act_as(model.owner);
	fm_store_drop_tables(&model);
	fm_restore_role(&previous);
	fm_registry_delete_model(schema, name);
	fm_shared_forget(model.matrix_table); /* rolled back, it is loaded again */
	fm_spi_finish();
	PG_RETURN_VOID();
}
