/*
 * Maps from ids of any hashable type to dense indices.
 *
 * The table is PostgreSQL's simplehash, keyed by the id itself. Integers, the common case when
 * ratings are read, are hashed and compared inline. Once the map is sealed and has few gaps, they
 * are looked up in an array, which misses the CPU cache less often. Every other type uses its own
 * hash and equality functions, so ids that SQL calls equal are one id here. Memory: everything is
 * in the context given to fm_idmap_create, including copies of by-reference ids.
 */
#include "pg/id_map.h"

#include "utils/memutils.h"

typedef struct FmIdEntry
{
	Datum id;
	uint32 hash;
	int32 index;
	char status;
} FmIdEntry;

#define SH_PREFIX idtable
#define SH_ELEMENT_TYPE FmIdEntry
#define SH_KEY_TYPE Datum
#define SH_KEY id
#define SH_HASH_KEY(table, key) fm_id_hash((FmIdType *) (table)->private_data, key)
#define SH_EQUAL(table, a, b) fm_id_equal((FmIdType *) (table)->private_data, a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct FmIdMap
{
	MemoryContext context;
	FmIdType id_type;
	idtable_hash *table;
	Datum *ids;
	int32 count;
	int64 capacity;

	int32 *direct; /* of a sealed map: by id - least, the index or -1; NULL: use the table */
	int64 least;
	uint64 range;
};

FmIdMap *
fm_idmap_create(const FmIdType *id_type, MemoryContext context)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	FmIdMap *map = palloc0(sizeof(FmIdMap));

	map->context = context;
	map->id_type = *id_type;
	fmgr_info_copy(&map->id_type.hash, (FmgrInfo *) &id_type->hash, context);
	fmgr_info_copy(&map->id_type.equal, (FmgrInfo *) &id_type->equal, context);
	fmgr_info_copy(&map->id_type.output, (FmgrInfo *) &id_type->output, context);
	map->table = idtable_create(context, 1024, &map->id_type);
	map->capacity = 1024;
	map->ids = palloc(map->capacity * sizeof(Datum));
	MemoryContextSwitchTo(previous);
	return map;
}

/* Copy a new id and give it the next index. */
static void
append_id(FmIdMap *map, FmIdEntry *entry)
{
	if (map->count == PG_INT32_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("more than %d distinct ids", PG_INT32_MAX)));
	if (map->count == map->capacity)
	{
		map->capacity *= 2;
		map->ids = repalloc_huge(map->ids, map->capacity * sizeof(Datum));
	}
	entry->id = fm_id_copy(&map->id_type, entry->id, map->context);
	entry->index = map->count;
	map->ids[map->count++] = entry->id;
}

int32
fm_idmap_intern(FmIdMap *map, Datum id)
{
	bool found;
	FmIdEntry *entry = idtable_insert(map->table, id, &found);

	if (!found)
		append_id(map, entry);
	return entry->index;
}

void
fm_idmap_seal(FmIdMap *map)
{
	int64 least = PG_INT64_MAX;
	int64 greatest = PG_INT64_MIN;

	if (!map->id_type.is_integer || map->count == 0)
		return;
	for (int32 i = 0; i < map->count; i++)
	{
		int64 id = fm_id_as_int64(&map->id_type, map->ids[i]);

		least = Min(least, id);
		greatest = Max(greatest, id);
	}
	/* the array takes no more memory than the table, and fewer bytes for each id */
	if ((uint64) greatest - (uint64) least >= UINT64CONST(4) * map->count)
		return;
	map->least = least;
	map->range = (uint64) greatest - (uint64) least + 1;
	map->direct = MemoryContextAllocHuge(map->context, map->range * sizeof(int32));
	memset(map->direct, -1, map->range * sizeof(int32));
	for (int32 i = 0; i < map->count; i++)
		map->direct[fm_id_as_int64(&map->id_type, map->ids[i]) - least] = i;
}

int32
fm_idmap_find(FmIdMap *map, Datum id)
{
	FmIdEntry *entry;

	if (map->direct != NULL)
	{
		uint64 key = (uint64) fm_id_as_int64(&map->id_type, id) - (uint64) map->least;

		return key < map->range ? map->direct[key] : -1;
	}
	entry = idtable_lookup(map->table, id);
	return entry == NULL ? -1 : entry->index;
}

const FmIdType *
fm_idmap_type(const FmIdMap *map)
{
	return &map->id_type;
}

int32
fm_idmap_count(const FmIdMap *map)
{
	return map->count;
}

Datum
fm_idmap_id(const FmIdMap *map, int32 index)
{
	Assert(index >= 0 && index < map->count);
	return map->ids[index];
}

uint32
fm_idmap_hash(const FmIdMap *map, int32 index)
{
	return fm_id_hash((FmIdType *) &map->id_type, fm_idmap_id(map, index));
}

typedef struct FmSortedId
{
	int64 integer;
	char *text; /* NULL for integers */
	int32 index;
} FmSortedId;

static int
compare_sorted_ids(const void *a, const void *b)
{
	const FmSortedId *left = a;
	const FmSortedId *right = b;

	if (left->text != NULL)
		return strcmp(left->text, right->text);
	return left->integer < right->integer ? -1 : left->integer > right->integer;
}

int32 *
fm_idmap_order(FmIdMap *map)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "fmtopx id order",
												  ALLOCSET_DEFAULT_SIZES);
	int32 *order = MemoryContextAllocHuge(CurrentMemoryContext, Max(map->count, 1) * sizeof(int32));
	MemoryContext previous = MemoryContextSwitchTo(scratch);
	FmSortedId *sorted = MemoryContextAllocHuge(scratch, Max(map->count, 1) * sizeof(FmSortedId));

	for (int32 i = 0; i < map->count; i++)
	{
		bool integer = map->id_type.is_integer;

		sorted[i].index = i;
		sorted[i].integer = integer ? fm_id_as_int64(&map->id_type, map->ids[i]) : 0;
		sorted[i].text = integer ? NULL : fm_id_text(&map->id_type, map->ids[i]);
	}
	qsort(sorted, map->count, sizeof(FmSortedId), compare_sorted_ids);
	for (int32 i = 0; i < map->count; i++)
		order[i] = sorted[i].index;
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(scratch);
	return order;
}
