/*
 * The shared cache: model versions in shared memory. One backend loads a version, and all backends
 * use it.
 *
 * It promises:
 *
 * - A backend that looks for a version finds exactly that version, or nothing.
 * - Memory that a backend is attached to stays valid until the backend detaches.
 * - The cached versions together take at most fmtopx.cache_size.
 * - The library need not be preloaded.
 *
 * Each version has a segment of dynamic shared memory of its own. A directory of NUM_SLOTS slots
 * lists the segments and keeps them pinned. It takes a few kilobytes of main shared memory (from
 * PostgreSQL 17 on, of a named segment), and is created by the first backend that needs it.
 * Evicting a version clears its slot and unpins its segment. The system frees the memory when the
 * last backend has detached; each backend does so at its next call (loaded.c).
 *
 * A version is found by (database, matrix table, stamp). The stamp is a random number, drawn for
 * each set of contents. So an entry may become useless, but it is never wrong: not after a
 * rollback, a restore or a promotion, and not when an OID is reused. Uncommitted versions are not
 * published.
 *
 * Locking: an LWLock protects the slots. It is held for microseconds, and never while memory is
 * allocated or a catalog is read. A slot's entry number and its counters are atomic, so a backend
 * that is attached checks without a lock whether its version is still cached. A backend that loads
 * a version holds a heavyweight lock meanwhile: an advisory lock, because a standby grants no other
 * exclusive lock.
 *
 * When a backend ends, its transaction releases the loading lock, its resource owner an unpublished
 * segment, and a callback the pins. A crash of the server removes everything.
 */
#include "cache/shared_cache.h"

#include "access/xact.h"
#include "cache/image.h"
#include "core/layout.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define NUM_SLOTS 64

/* The fourth field of the lock tag; the advisory locks of SQL have 1 or 2 there. */
#define LOADING_LOCK 0x464D

typedef struct Slot
{
	pg_atomic_uint64 entry; /* a number that is never used again; 0: the slot is free */
	Oid database;
	Oid matrix_table;
	int64 stamp;
	int32 version;
	dsm_handle handle;
	Size size;
	TimestampTz loaded_at;
	pg_atomic_uint64 hits;
	pg_atomic_uint64 last_used; /* a TimestampTz */
	pg_atomic_uint32 in_use;	/* calls; not reset when the entry is evicted */
} Slot;

typedef struct Directory
{
	LWLock lock;
	uint64 last_entry;
	Slot slots[NUM_SLOTS];
} Directory;

/* Segments to unpin once the lock is released. */
typedef struct Evicted
{
	dsm_handle handles[NUM_SLOTS];
	int count;
} Evicted;

int fm_cache_size = FM_DEFAULT_CACHE_SIZE;

static Directory *directory = NULL;
static const char *directory_problem = NULL; /* why there is no directory */
static uint32 pins[NUM_SLOTS];				 /* of this backend, by slot */

static void
init_directory(void *area)
{
	Directory *new = area;

	memset(new, 0, sizeof(Directory));
	LWLockInitialize(&new->lock, LWLockNewTrancheId());
	for (int i = 0; i < NUM_SLOTS; i++)
	{
		pg_atomic_init_u64(&new->slots[i].entry, 0);
		pg_atomic_init_u64(&new->slots[i].hits, 0);
		pg_atomic_init_u64(&new->slots[i].last_used, 0);
		pg_atomic_init_u32(&new->slots[i].in_use, 0);
	}
}

/* before_shmem_exit: release the pins of calls that the end of the backend has ended. */
static void
give_back_pins(int code, Datum arg)
{
	for (int i = 0; i < NUM_SLOTS; i++)
	{
		pg_atomic_fetch_sub_u32(&directory->slots[i].in_use, pins[i]);
		pins[i] = 0;
	}
}

/*
 * Return the name of the directory. Libraries with different layouts, as before and after an update
 * without a restart, must not share one. FM_IMAGE_LAYOUT tells layouts apart; the sizes do so in
 * most cases if it was not incremented.
 */
static const char *
directory_name(void)
{
	return psprintf("fmtopx cache %d (%zu, %zu, %zu)", FM_IMAGE_LAYOUT, sizeof(Directory),
					sizeof(FmImage), fm_scan_matrix_size(1000, 10));
}

/* Find or create the directory. Once there was no memory for it, always return false. */
static bool
open_directory(void)
{
	MemoryContext context = CurrentMemoryContext;

	if (directory != NULL || directory_problem != NULL)
		return directory != NULL;
	if (!IsUnderPostmaster)
	{
		directory_problem = "there is no postmaster";
		return false;
	}
	PG_TRY();
	{
		directory = fm_shared_area(directory_name(), sizeof(Directory), init_directory);
	}
	PG_CATCH();
	{
		ErrorData *error;

		LWLockReleaseAll(); /* none was held before */
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		directory_problem = MemoryContextStrdup(TopMemoryContext, error->message);
	}
	PG_END_TRY();
	if (directory == NULL)
		return false;
	LWLockRegisterTranche(directory->lock.tranche, "fmtopx_cache");
	before_shmem_exit(give_back_pins, (Datum) 0);
	return true;
}

static void
lock_directory(LWLockMode mode)
{
	LWLockAcquire(&directory->lock, mode);
}

static void
unlock_directory(void)
{
	LWLockRelease(&directory->lock);
}

static void
unpin_evicted(const Evicted *evicted)
{
	for (int i = 0; i < evicted->count; i++)
		dsm_unpin_segment(evicted->handles[i]);
}

/* The caller holds the lock of the directory, here and in the functions down to evict_down_to. */
static uint64
slot_entry(Slot *slot)
{
	return pg_atomic_read_u64(&slot->entry);
}

static Slot *
find_slot(Oid matrix_table, int64 stamp)
{
	for (int i = 0; i < NUM_SLOTS; i++)
	{
		Slot *slot = &directory->slots[i];

		if (slot_entry(slot) != 0 && slot->database == MyDatabaseId &&
			slot->matrix_table == matrix_table && slot->stamp == stamp)
			return slot;
	}
	return NULL;
}

static Slot *
find_free_slot(void)
{
	for (int i = 0; i < NUM_SLOTS; i++)
		if (slot_entry(&directory->slots[i]) == 0)
			return &directory->slots[i];
	return NULL;
}

static void
evict(Slot *slot, Evicted *evicted)
{
	evicted->handles[evicted->count++] = slot->handle;
	pg_atomic_write_u64(&slot->entry, 0);
}

static void
evict_model(Oid matrix_table, Evicted *evicted)
{
	for (int i = 0; i < NUM_SLOTS; i++)
	{
		Slot *slot = &directory->slots[i];

		if (slot_entry(slot) != 0 && slot->database == MyDatabaseId &&
			slot->matrix_table == matrix_table)
			evict(slot, evicted);
	}
}

/* Return the least recently used slot; one that a call is using only if there is no other. */
static Slot *
least_useful(void)
{
	Slot *worst = NULL;
	bool worst_in_use = false;

	for (int i = 0; i < NUM_SLOTS; i++)
	{
		Slot *slot = &directory->slots[i];
		bool in_use = pg_atomic_read_u32(&slot->in_use) > 0;

		if (slot_entry(slot) == 0)
			continue;
		if (worst == NULL || (worst_in_use && !in_use) ||
			(worst_in_use == in_use &&
			 pg_atomic_read_u64(&slot->last_used) < pg_atomic_read_u64(&worst->last_used)))
		{
			worst = slot;
			worst_in_use = in_use;
		}
	}
	return worst;
}

static Size
used_size(void)
{
	Size used = 0;

	for (int i = 0; i < NUM_SLOTS; i++)
		if (slot_entry(&directory->slots[i]) != 0)
			used += directory->slots[i].size;
	return used;
}

/* Evict until at most `limit` bytes are cached. */
static void
evict_down_to(Size limit, Evicted *evicted)
{
	while (used_size() > limit)
		evict(least_useful(), evicted);
}

static Size
cache_limit(void)
{
	return (Size) fm_cache_size * 1024;
}

bool
fm_shared_attach(Oid matrix_table, int64 stamp, FmShared *shared)
{
	FmShared found = {0};
	dsm_handle handle = 0;
	const char *problem;
	Slot *slot;

	if (!open_directory())
		return false;
	lock_directory(LW_SHARED);
	slot = find_slot(matrix_table, stamp);
	if (slot != NULL)
	{
		found.entry = slot_entry(slot);
		found.slot = (int) (slot - directory->slots);
		handle = slot->handle;
	}
	unlock_directory();
	if (slot == NULL)
		return false;
	found.segment = fm_segment_attach(handle, &problem);
	if (found.segment == NULL) /* evicted meanwhile, or no room in the address space */
		return false;
	dsm_pin_mapping(found.segment);
	*shared = found;
	return true;
}

static LOCKTAG
loading_lock_tag(Oid matrix_table)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, matrix_table, 0, LOADING_LOCK);
	return tag;
}

void
fm_shared_lock(Oid matrix_table)
{
	LOCKTAG tag = loading_lock_tag(matrix_table);

	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

void
fm_shared_unlock(Oid matrix_table)
{
	LOCKTAG tag = loading_lock_tag(matrix_table);

	(void) LockRelease(&tag, ExclusiveLock, false);
}

/* Return whether the database of an entry, or its table in this database, no longer exists. */
static bool
is_dead(const FmSharedEntry *entry)
{
	if (entry->database == MyDatabaseId)
		return !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(entry->matrix_table));
	return !SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(entry->database));
}

static void
evict_dead(Evicted *evicted)
{
	int count;
	FmSharedEntry *entries = fm_shared_list(&count);

	for (int i = 0; i < count; i++)
	{
		if (!is_dead(&entries[i]))
			continue;
		lock_directory(LW_EXCLUSIVE);
		for (int s = 0; s < NUM_SLOTS; s++)
			if (slot_entry(&directory->slots[s]) == entries[i].entry)
				evict(&directory->slots[s], evicted);
		unlock_directory();
	}
	pfree(entries);
}

void *
fm_shared_create(Size size, FmShared *shared, const char **problem)
{
	Evicted evicted = {.count = 0};

	if (!open_directory())
	{
		*problem = directory_problem;
		return NULL;
	}
	size = add_size(size, FM_ALIGNMENT);
	if (size > cache_limit())
	{
		*problem = "it is larger than fmtopx.cache_size";
		return NULL;
	}
	evict_dead(&evicted);
	unpin_evicted(&evicted);
	evicted.count = 0;
	lock_directory(LW_EXCLUSIVE);
	evict_down_to(cache_limit() - size, &evicted);
	unlock_directory();
	unpin_evicted(&evicted);

	*shared = (FmShared){.segment = fm_segment_create(size, problem)};
	return shared->segment == NULL ? NULL : fm_shared_address(shared);
}

void
fm_shared_publish(FmShared *shared, Oid matrix_table, int64 stamp, int version)
{
	Evicted evicted = {.count = 0};
	Size size = dsm_segment_map_length(shared->segment);
	Slot *slot;

	dsm_pin_mapping(shared->segment);
	dsm_pin_segment(shared->segment);
	lock_directory(LW_EXCLUSIVE);
	evict_model(matrix_table, &evicted);
	evict_down_to(cache_limit() > size ? cache_limit() - size : 0, &evicted);
	if (find_free_slot() == NULL)
		evict(least_useful(), &evicted);
	slot = find_free_slot();
	slot->database = MyDatabaseId;
	slot->matrix_table = matrix_table;
	slot->stamp = stamp;
	slot->version = version;
	slot->handle = dsm_segment_handle(shared->segment);
	slot->size = size;
	slot->loaded_at = GetCurrentTimestamp();
	pg_atomic_write_u64(&slot->hits, 0);
	pg_atomic_write_u64(&slot->last_used, (uint64) slot->loaded_at);
	pg_atomic_write_u64(&slot->entry, ++directory->last_entry);
	shared->entry = directory->last_entry;
	shared->slot = (int) (slot - directory->slots);
	unlock_directory();
	unpin_evicted(&evicted);
}

void *
fm_shared_address(const FmShared *shared)
{
	return fm_align_pointer(dsm_segment_address(shared->segment));
}

void
fm_shared_detach(FmShared *shared)
{
	if (shared->segment != NULL)
		dsm_detach(shared->segment);
	*shared = (FmShared){0};
}

bool
fm_shared_is_cached(const FmShared *shared)
{
	return shared->entry != 0 && slot_entry(&directory->slots[shared->slot]) == shared->entry;
}

void
fm_shared_pin(const FmShared *shared)
{
	Slot *slot;

	if (shared->entry == 0)
		return;
	slot = &directory->slots[shared->slot];
	pins[shared->slot]++;
	pg_atomic_fetch_add_u32(&slot->in_use, 1);
	pg_atomic_fetch_add_u64(&slot->hits, 1);
	pg_atomic_write_u64(&slot->last_used, (uint64) GetCurrentStatementStartTimestamp());
}

void
fm_shared_unpin(const FmShared *shared)
{
	/* at the end of the backend, give_back_pins has released all pins */
	if (shared->entry == 0 || pins[shared->slot] == 0)
		return;
	pins[shared->slot]--;
	pg_atomic_fetch_sub_u32(&directory->slots[shared->slot].in_use, 1);
}

void
fm_shared_trim(void)
{
	Evicted evicted = {.count = 0};

	if (!open_directory())
		return;
	lock_directory(LW_EXCLUSIVE);
	evict_down_to(cache_limit(), &evicted);
	unlock_directory();
	unpin_evicted(&evicted);
}

void
fm_shared_forget(Oid matrix_table)
{
	Evicted evicted = {.count = 0};

	if (!open_directory())
		return;
	lock_directory(LW_EXCLUSIVE);
	evict_model(matrix_table, &evicted);
	unlock_directory();
	unpin_evicted(&evicted);
}

FmSharedEntry *
fm_shared_list(int *count)
{
	FmSharedEntry *entries = palloc(NUM_SLOTS * sizeof(FmSharedEntry));

	*count = 0;
	if (!open_directory())
		return entries;
	lock_directory(LW_SHARED);
	for (int i = 0; i < NUM_SLOTS; i++)
	{
		Slot *slot = &directory->slots[i];

		if (slot_entry(slot) != 0)
			entries[(*count)++] = (FmSharedEntry){.database = slot->database,
												  .matrix_table = slot->matrix_table,
												  .stamp = slot->stamp,
												  .version = slot->version,
												  .size = slot->size,
												  .loaded_at = slot->loaded_at,
												  .hits = pg_atomic_read_u64(&slot->hits),
												  .in_use = pg_atomic_read_u32(&slot->in_use),
												  .entry = slot_entry(slot)};
	}
	unlock_directory();
	return entries;
}
