/*
 * Model versions that this backend has ready to serve. The image of a version is in shared memory,
 * where one backend has loaded it for all (shared_cache.c), or in this backend's own memory.
 *
 * A version never changes, so nothing is ever invalidated. A version is found by (matrix table,
 * stamp), and the caller has just looked the stamp up under its own snapshot. That makes rollbacks,
 * savepoints and old snapshots correct. Own memory is used for versions that others have no use
 * for, because they are uncommitted or no longer the latest, and for all versions when sharing is
 * off or shared memory is short.
 *
 * Memory: each version has a context of its own, which is moved below TopMemoryContext when it is
 * complete. At most MAX_LOADED versions are kept, and only one of a model unless calls are using
 * more. When there is no room, the least recently used version that no call is using is freed. A
 * version that has been evicted from the shared cache is freed at the next call in another
 * transaction. Locking: the loading lock of shared_cache.c while a version is loaded into shared
 * memory.
 */
#include "cache/loaded.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "pg/host_pg.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(fm_cache_rows);

#define MAX_LOADED 8

static FmLoaded *loaded_models[MAX_LOADED];
static uint64 use_counter = 0;

static void
free_entry(int slot)
{
	FmLoaded *loaded = loaded_models[slot];

	loaded_models[slot] = NULL;
	fm_plan_free(&loaded->user_plan);
	fm_plan_free(&loaded->context_plan);
	fm_plan_free(&loaded->item_plan);
	fm_plan_free(&loaded->seen_plan);
	fm_plan_free(&loaded->own_plan);
	fm_shared_detach(&loaded->shared);
	MemoryContextDelete(loaded->context);
}

/*
 * Free the versions of a model that no call is using. Most of them are old, and not asked for
 * again.
 */
static void
free_versions(Oid matrix_table)
{
	for (int i = 0; i < MAX_LOADED; i++)
		if (loaded_models[i] != NULL && loaded_models[i]->matrix_table == matrix_table &&
			loaded_models[i]->pins == 0)
			free_entry(i);
}

/*
 * Free what has been evicted, except for versions that this transaction has used: its snapshot may
 * be old, and it may use them again.
 */
static void
free_evicted(void)
{
	for (int i = 0; i < MAX_LOADED; i++)
	{
		FmLoaded *loaded = loaded_models[i];

		if (loaded != NULL && loaded->shared.segment != NULL && loaded->pins == 0 &&
			!fm_shared_is_cached(&loaded->shared) &&
			loaded->transaction != GetCurrentTransactionStartTimestamp())
			free_entry(i);
	}
}

/*
 * After a change of fmtopx.cache_size, evict what no longer fits, and free what is in own memory,
 * so that the next call tries again to share it.
 */
static void
follow_cache_size(void)
{
	static int followed = -1;

	if (followed == fm_cache_size)
		return;
	if (followed >= 0)
	{
		fm_shared_trim();
		for (int i = 0; i < MAX_LOADED; i++)
			if (loaded_models[i] != NULL && loaded_models[i]->shared.segment == NULL &&
				loaded_models[i]->pins == 0)
				free_entry(i);
	}
	followed = fm_cache_size;
}

/* Return a free slot; if there is none, free the least recently used that no call is using. */
static int
free_slot(void)
{
	int oldest = -1;

	for (int i = 0; i < MAX_LOADED; i++)
	{
		if (loaded_models[i] == NULL)
			return i;
		if (loaded_models[i]->pins == 0 &&
			(oldest < 0 || loaded_models[i]->last_used < loaded_models[oldest]->last_used))
			oldest = i;
	}
	if (oldest < 0)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("more than %d model versions are in use at once", MAX_LOADED),
						errhint("Ask the models in several statements.")));
	free_entry(oldest);
	return oldest;
}

static FmLoaded *
create_entry(const FmModel *model)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx loaded model",
												  ALLOCSET_DEFAULT_SIZES);
	FmLoaded *loaded = MemoryContextAllocZero(context, sizeof(FmLoaded));
	MemoryContext previous = MemoryContextSwitchTo(context);

	loaded->context = context;
	loaded->matrix_table = model->matrix_table;
	loaded->stamp = model->stamp;
	loaded->uncommitted = model->uncommitted;
	loaded->loaded_at = GetCurrentTimestamp();
	/* in the entry's context, because functions of the types are called as long as it lives */
	fm_id_type_of_column(model->user_table, fm_column_number(model->user_table, "user_id", NULL),
						 &loaded->user_type);
	fm_id_type_of_column(model->item_table, fm_column_number(model->item_table, "item_id", NULL),
						 &loaded->item_type);
	MemoryContextSwitchTo(previous);
	return loaded;
}

/* FmImageAlloc */
static void *
alloc_own(void *ctx, Size size)
{
	const FmLoaded *loaded = ctx;
	const FmHost *host = fm_pg_host(loaded->context);

	return host->alloc(host->ctx, size, 1);
}

/* FmImageAlloc; if shared memory is short, warn, and use own memory. */
static void *
alloc_shared(void *ctx, Size size)
{
	FmLoaded *loaded = ctx;
	const char *problem;
	void *memory = fm_shared_create(size, &loaded->shared, &problem);

	if (memory != NULL)
		return memory;
	ereport(WARNING,
			(errmsg("a model of %zu kB is loaded into this connection's own memory: %s",
					size / 1024, problem),
			 errhint("Set fmtopx.cache_size in the server's configuration, and make sure that the "
					 "system has that much shared memory (/dev/shm; in a container, --shm-size). "
					 "With 0, models are not shared, and there is no warning.")));
	return alloc_own(ctx, size);
}

/* Attach to the version if another backend has loaded it, and its ids have the current types. */
static bool
attach(FmLoaded *loaded)
{
	const FmImage *image;

	if (!fm_shared_attach(loaded->matrix_table, loaded->stamp, &loaded->shared))
		return false;
	image = fm_shared_address(&loaded->shared);
	if (image->user_type == loaded->user_type.type && image->item_type == loaded->item_type.type)
		loaded->image = image;
	else
		fm_shared_detach(&loaded->shared);
	return loaded->image != NULL;
}

/* Return whether a transaction that begins now would be served this version. */
static bool
is_latest(const FmModel *model)
{
	FmModel latest;
	bool found;

	/* parallel mode allows no newer snapshot; at worst, the latest version is evicted */
	if (IsInParallelMode())
		return true;
	PushActiveSnapshot(GetLatestSnapshot());
	found = fm_model_lookup(model->extension_schema, model->name, true, CurrentMemoryContext,
							&latest);
	if (found)
		fm_model_take_pointer(&latest, true);
	PopActiveSnapshot();
	return found && latest.matrix_table == model->matrix_table && latest.stamp == model->stamp;
}

static void
load(const FmModel *model, bool read_only, FmLoaded *loaded, FmImageAlloc alloc)
{
	loaded->image = fm_image_read(model, &loaded->user_type, &loaded->item_type, read_only, alloc,
								  loaded);
}

static void
load_for_all(const FmModel *model, bool read_only, FmLoaded *loaded)
{
	fm_shared_lock(model->matrix_table);
	if (!attach(loaded) && is_latest(model))
	{
		load(model, read_only, loaded, alloc_shared);
		if (loaded->shared.segment != NULL)
			fm_shared_publish(&loaded->shared, loaded->matrix_table, loaded->stamp, model->version);
	}
	fm_shared_unlock(model->matrix_table);
}

static void
point_into_image(FmLoaded *loaded)
{
	const FmImage *image = loaded->image;

	loaded->version = image->version;
	loaded->shape = fm_version_list_shape(&image->version);
	loaded->interest_prior.mean = (float *) fm_image_at(image, image->interest_mean);
	loaded->interest_prior.root = (float *) fm_image_at(image, image->interest_root);
	loaded->user_prior.mean = (float *) fm_image_at(image, image->user_mean);
	loaded->user_prior.root = (float *) fm_image_at(image, image->user_root);
	loaded->item_pairs.weight = image->version.unobserved_weight;
	loaded->item_pairs.gram = (float *) fm_image_at(image, image->item_gram);
	loaded->item_pairs.root = (double *) fm_image_at(image, image->item_root);
	loaded->matrix = fm_image_at(image, image->matrix);
}

void
fm_loaded_of_image(const FmImage *image, FmLoaded *loaded)
{
	memset(loaded, 0, sizeof(FmLoaded));
	loaded->image = image;
	point_into_image(loaded);
}

static FmLoaded *
obtain(const FmModel *model, bool read_only)
{
	FmLoaded *loaded = create_entry(model);
	int slot;

	(void) free_slot(); /* raise any error now, while there is nothing to undo */
	if (fm_cache_size > 0 && !model->uncommitted && !attach(loaded))
		load_for_all(model, read_only, loaded);
	if (loaded->image == NULL)
		load(model, read_only, loaded, alloc_own);
	point_into_image(loaded);
	slot = free_slot();
	MemoryContextSetParent(loaded->context, TopMemoryContext);
	loaded_models[slot] = loaded;
	return loaded;
}

static void
unpin(void *arg)
{
	FmLoaded *loaded = arg;

	loaded->pins--;
	fm_shared_unpin(&loaded->shared);
}

static void
pin(FmLoaded *loaded, MemoryContext user)
{
	MemoryContextCallback *callback = MemoryContextAlloc(user, sizeof(MemoryContextCallback));

	callback->func = unpin;
	callback->arg = loaded;
	MemoryContextRegisterResetCallback(user, callback);
	loaded->pins++;
	loaded->hits++;
	loaded->last_used = ++use_counter;
	loaded->transaction = GetCurrentTransactionStartTimestamp();
	fm_shared_pin(&loaded->shared);
}

/* Return whether a column of ids can still be compared with ids of the loaded type. */
static bool
is_type_kept(Oid table, const char *column, const FmIdType *type)
{
	AttrNumber number = get_attnum(table, column);
	Oid stored;
	int32 typmod;
	Oid collation;

	if (number == InvalidAttrNumber)
		return false;
	get_atttypetypmodcoll(table, number, &stored, &typmod, &collation);
	if (collation != type->collation)
		return false;
	return stored == type->type || (SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type->type)) &&
									fm_id_types_match(stored, type->type));
}

/* Return whether the tables have not been altered so that the loaded version is of no use. */
static bool
are_types_kept(const FmLoaded *loaded, const FmModel *model)
{
	return is_type_kept(model->user_table, "user_id", &loaded->user_type) &&
		   is_type_kept(model->item_table, "item_id", &loaded->item_type);
}

FmLoaded *
fm_loaded_get(const FmModel *model, bool read_only, MemoryContext user)
{
	FmLoaded *loaded = NULL;

	follow_cache_size();
	free_evicted();
	for (int i = 0; i < MAX_LOADED && loaded == NULL; i++)
		/* a version loaded while uncommitted may have been changed before the commit */
		if (loaded_models[i] != NULL && loaded_models[i]->matrix_table == model->matrix_table &&
			loaded_models[i]->stamp == model->stamp &&
			loaded_models[i]->uncommitted == model->uncommitted &&
			are_types_kept(loaded_models[i], model))
			loaded = loaded_models[i];
	if (loaded == NULL)
	{
		free_versions(model->matrix_table);
		loaded = obtain(model, read_only);
	}
	pin(loaded, user);
	return loaded;
}

int32
fm_loaded_check_idx(const FmLoaded *loaded, int32 idx)
{
	if (idx < 0 || idx >= loaded->version.num_items)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("the model's item table holds the idx %d, beyond its %d items", idx,
							   loaded->version.num_items),
						errhint("Train the model again.")));
	return idx;
}

Datum
fm_loaded_item_id(const FmLoaded *loaded, int32 item)
{
	return fm_image_item_id(loaded->image, &loaded->item_type, item);
}

enum
{
	COL_DATABASE,
	COL_MATRIX_TABLE,
	COL_VERSION,
	COL_SHARED,
	COL_SIZE,
	COL_HITS,
	COL_IN_USE,
	COL_LOADED_AT,
	NUM_COLS
};

static void
put_row(ReturnSetInfo *result, const FmSharedEntry *entry, bool shared)
{
	char *database = get_database_name(entry->database);
	Datum values[NUM_COLS];
	bool nulls[NUM_COLS] = {false};

	nulls[COL_DATABASE] = database == NULL; /* dropped */
	values[COL_DATABASE] = database == NULL
							   ? (Datum) 0
							   : DirectFunctionCall1(namein, CStringGetDatum(database));
	values[COL_MATRIX_TABLE] = ObjectIdGetDatum(entry->matrix_table);
	values[COL_VERSION] = Int32GetDatum(entry->version);
	values[COL_SHARED] = BoolGetDatum(shared);
	values[COL_SIZE] = Int64GetDatum((int64) entry->size);
	values[COL_HITS] = Int64GetDatum((int64) entry->hits);
	values[COL_IN_USE] = Int32GetDatum((int32) entry->in_use);
	values[COL_LOADED_AT] = TimestampTzGetDatum(entry->loaded_at);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static bool
may_see(const FmSharedEntry *entry)
{
	if (has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS))
		return true;
	return entry->database == MyDatabaseId && get_rel_name(entry->matrix_table) != NULL &&
		   pg_class_aclcheck(entry->matrix_table, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

Datum
fm_cache_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int count;
	FmSharedEntry *entries = fm_shared_list(&count);

	fm_init_materialized_srf(fcinfo);
	for (int i = 0; i < count; i++)
		if (may_see(&entries[i]))
			put_row(result, &entries[i], true);
	for (int i = 0; i < MAX_LOADED; i++)
	{
		const FmLoaded *loaded = loaded_models[i];
		FmSharedEntry own;

		if (loaded == NULL || loaded->shared.segment != NULL)
			continue;
		own = (FmSharedEntry){.database = MyDatabaseId,
							  .matrix_table = loaded->matrix_table,
							  .version = loaded->version.number,
							  .size = loaded->image->size,
							  .loaded_at = loaded->loaded_at,
							  .hits = loaded->hits,
							  .in_use = loaded->pins};
		if (may_see(&own))
			put_row(result, &own, false);
	}
	return (Datum) 0;
}
