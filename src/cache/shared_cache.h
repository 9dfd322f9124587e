/*
 * Loaded versions in shared memory: found, published, counted, evicted.
 */
#ifndef FMTOPX_SHARED_CACHE_H
#define FMTOPX_SHARED_CACHE_H

#include "pg/compat.h"

#include "pg/segment.h"

/* A backend's hold on a version in shared memory; all zero: none. */
typedef struct FmShared
{
	dsm_segment *segment;
	uint64 entry; /* in the directory; 0: not published yet */
	int slot;
} FmShared;

/* The setting fmtopx.cache_size, in kB. */
extern int fm_cache_size;

#define FM_DEFAULT_CACHE_SIZE (1024 * 1024)

/* Attach to a version, for the session; false if it is not in the cache. */
extern bool fm_shared_attach(Oid matrix_table, int64 stamp, FmShared *shared);

/*
 * Who wants to load a version takes this lock, and looks again whether another has loaded it meanwhile. It ends with the
 * transaction at the latest, and a deadlock over it is found as any.
 */
extern void fm_shared_lock(Oid matrix_table);
extern void fm_shared_unlock(Oid matrix_table);

/*
 * Make room in the cache and a segment to load into, which belongs to the current resource owner. Its
 * 64-byte aligned address, or NULL with the reason in *problem.
 */
extern void *fm_shared_create(Size size, FmShared *shared, const char **problem);

/*
 * Let others find what has been loaded, and evict other versions of the model. The hold is the session's
 * from now on.
 */
extern void fm_shared_publish(FmShared *shared, Oid matrix_table, int64 stamp, int version);

extern void *fm_shared_address(const FmShared *shared);
extern void fm_shared_detach(FmShared *shared);

/* Whether the hold is on something that others can find still. */
extern bool fm_shared_is_cached(const FmShared *shared);

/* Count a call that begins and ends. */
extern void fm_shared_pin(const FmShared *shared);
extern void fm_shared_unpin(const FmShared *shared);

/* Evict what is above fmtopx.cache_size, or all versions of one model. */
extern void fm_shared_trim(void);
extern void fm_shared_forget(Oid matrix_table);

/* A copy of what the directory says of one version. */
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

/* All of them, in the current context. */
extern FmSharedEntry *fm_shared_list(int *count);

#endif
