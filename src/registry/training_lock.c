/*
 * The training lock of a model: a heavyweight lock on its version table as an object, not as a
 * relation. VACUUM and ANALYZE lock relations, so the training lock does not conflict with them.
 * Memory: see fm_model_lookup.
 */
#include "registry/training_lock.h"

#include "catalog/pg_class.h"
#include "storage/lock.h"
#include "utils/inval.h"

static LOCKTAG
training_lock_tag(Oid version_table)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, version_table, 0);
	return tag;
}

bool
fm_training_lock(Oid version_table, bool for_session, bool wait)
{
	LOCKTAG tag = training_lock_tag(version_table);

	if (LockAcquire(&tag, ExclusiveLock, for_session, !wait) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	AcceptInvalidationMessages();
	return true;
}

void
fm_training_unlock(Oid version_table, bool for_session)
{
	LOCKTAG tag = training_lock_tag(version_table);

	(void) LockRelease(&tag, ExclusiveLock, for_session);
}

bool
fm_model_lock(Oid schema, const char *name, MemoryContext context, FmModel *model)
{
	Oid locked = InvalidOid;

	while (fm_model_lookup(schema, name, false, context, model))
	{
		fm_model_check_owner(model);
		if (model->version_table == locked)
			return true;
		/* during the wait another session can drop the model and create it again */
		if (OidIsValid(locked))
			fm_training_unlock(locked, false);
		locked = model->version_table;
		(void) fm_training_lock(locked, false, true);
	}
	return false;
}
