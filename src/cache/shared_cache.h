/*
 * The shared cache: find, publish, count and evict model versions in shared memory.
 */
#ifndef FMTOPX_SHARED_CACHE_H
#define FMTOPX_SHARED_CACHE_H

#include "pg/compat.h"

#include "pg/segment.h"

/* A backend's attachment to a version in shared memory. All zero: none. */
typedef struct FmShared
{
	dsm_segment *segment;
	uint64 entry; /* in the directory; 0: not published yet */
	int slot;
} FmShared;

/* The setting fmtopx.cache_size, in kB. */
extern int fm_cache_size;

#define FM_DEFAULT_CACHE_SIZE (1024 * 1024)

/* Attach to a version until fm_shared_detach; return false if it is not cached. */
extern bool fm_shared_attach(Oid matrix_table, int64 stamp, FmShared *shared);

/*
 * Lock the loading of a model's versions. A backend that wants to load one takes this lock, then
 * tries again to attach, because another backend may have loaded it meanwhile. The lock is released
 * at the end of the transaction at the latest, and takes part in deadlock detection.
 */
extern void fm_shared_lock(Oid matrix_table);
extern void fm_shared_unlock(Oid matrix_table);

/*
 * Make room in the cache, and create a segment to load into, which belongs to the current resource
 * owner. Returns its address, aligned to 64 bytes, or NULL and the reason in *problem.
 */
extern void *fm_shared_create(Size size, FmShared *shared, const char **problem);

/*
 * Publish what has been loaded, so that others find it, and evict other versions of the model. The
 * backend stays attached until fm_shared_detach.
 */
extern void fm_shared_publish(FmShared *shared, Oid matrix_table, int64 stamp, int version);

extern void *fm_shared_address(const FmShared *shared);
extern void fm_shared_detach(FmShared *shared);

/* Return whether others can still find the version. */
extern bool fm_shared_is_cached(const FmShared *shared);

/* Count a call that begins to use the version, and one that ends. */
extern void fm_shared_pin(const FmShared *shared);
extern void fm_shared_unpin(const FmShared *shared);

/* Evict versions until the rest fits in fmtopx.cache_size; or evict all versions of a model. */
extern void fm_shared_trim(void);
extern void fm_shared_forget(Oid matrix_table);

/* A copy of a slot of the directory. */
typedef struct FmSharedEntry
{
	Oid database;
	Oid matrix_table;
	int64 stamp;
	int32 version;
	Size size;
	TimestampTz loaded_at;
	uint64 hits;
	uint32 in_use;
	uint64 entry;
} FmSharedEntry;

/* Return all cached versions, in the current context. */
extern FmSharedEntry *fm_shared_list(int *count);

#endif
