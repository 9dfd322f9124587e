/*
 * The training lock of a model: a heavyweight lock on its version table as an object, not as a
 * relation. VACUUM and ANALYZE lock relations, so the training lock does not conflict with them.
 * Memory: see fm_model_lookup.
 */
#include "registry/training_lock.h"

#include "catalog/pg_class.h"
#include "registry/lock_wait.h"
#include "utils/inval.h"

static LOCKTAG
training_lock_tag(Oid version_table)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, version_table, 0);
	return tag;
}

void
fm_training_lock(const FmModel *model, bool for_session)
{
	LOCKTAG tag = training_lock_tag(model->version_table);

	fm_lock_or_wait(&tag, for_session, model->name, "trained or dropped");
}

bool
fm_training_lock_at_once(const FmModel *model, bool for_session)
{
	LOCKTAG tag = training_lock_tag(model->version_table);

	if (LockAcquire(&tag, ExclusiveLock, for_session, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	AcceptInvalidationMessages();
	return true;
}

char *
fm_training_lock_holder(const FmModel *model)
{
	LOCKTAG tag = training_lock_tag(model->version_table);
	int pid;
	char *detail;
	char *holder = fm_lock_holder(&tag, &pid, &detail);

	if (holder[0] == '\0')
		return NULL;
	return psprintf("It is locked%s.%s%s", holder, detail == NULL ? "" : " ",
					detail == NULL ? "" : detail);
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
		fm_training_lock(model, false);
	}
	return false;
}
