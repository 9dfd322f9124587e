/*
 * User and item ids of any hashable type, and the hash table that makes dense indices of them.
 *
 * The table is PostgreSQL's simplehash, keyed by the id itself. Integers are hashed and compared
 * inline (they are the common case and the hot path of loading), and looked up in an array once the map is
 * sealed and has few gaps, which the cache likes better; every other type goes through its own hash and
 * equality functions, so what SQL calls equal is one id here. Memory: all in the
 * context given to fm_idmap_create, copies of by-reference ids included.
 */
#include "pg/id_map.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "pg/sql.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

typedef struct FmIdEntry
{
	Datum id;
	uint32 hash;
	int32 index;
	char status;
} FmIdEntry;

static inline uint32 hash_id(FmIdType *id_type, Datum id);
static inline bool equal_ids(FmIdType *id_type, Datum a, Datum b);

#define SH_PREFIX idtable
#define SH_ELEMENT_TYPE FmIdEntry
#define SH_KEY_TYPE Datum
#define SH_KEY id
#define SH_HASH_KEY(table, key) hash_id((FmIdType *) (table)->private_data, key)
#define SH_EQUAL(table, a, b) equal_ids((FmIdType *) (table)->private_data, a, b)
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

	int32 *direct; /* sealed: by id - least, the index or -1; NULL: use the table */
	int64 least;
	uint64 range;
};

/* splitmix64's finaliser (Steele, Lea & Flood 2014), folded to 32 bits */
static inline uint32
hash_int64(uint64 key)
{
	key = (key ^ (key >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	key = (key ^ (key >> 27)) * UINT64CONST(0x94d049bb133111eb);
	return (uint32) (key ^ (key >> 31));
}

static inline uint32
hash_id(FmIdType *id_type, Datum id)
{
	if (id_type->is_integer)
		return hash_int64((uint64) fm_id_as_int64(id_type, id));
	return DatumGetUInt32(FunctionCall1Coll(&id_type->hash, id_type->collation, id));
}

static inline bool
equal_ids(FmIdType *id_type, Datum a, Datum b)
{
	if (id_type->is_integer)
		return fm_id_as_int64(id_type, a) == fm_id_as_int64(id_type, b);
	return DatumGetBool(FunctionCall2Coll(&id_type->equal, id_type->collation, a, b));
}

bool
fm_id_equal(FmIdType *id_type, Datum a, Datum b)
{
	return equal_ids(id_type, a, b);
}

/* What follows from the type alone. */
static void
fill_id_type(const TypeCacheEntry *entry, FmIdType *id_type)
{
	Oid base_type = getBaseType(id_type->type);
	Oid output;
	bool is_varlena;

	id_type->is_integer = base_type == INT2OID || base_type == INT4OID || base_type == INT8OID;
	get_typlenbyval(id_type->type, &id_type->typlen, &id_type->typbyval);
	fmgr_info(entry->hash_proc, &id_type->hash);
	fmgr_info(get_opcode(entry->eq_opr), &id_type->equal);
	getTypeOutputInfo(id_type->type, &output, &is_varlena);
	fmgr_info(output, &id_type->output);
}

void
fm_id_type_of_column(Oid relation, AttrNumber column, FmIdType *id_type)
{
	TypeCacheEntry *entry;

	get_atttypetypmodcoll(relation, column, &id_type->type, &id_type->typmod, &id_type->collation);
	entry = lookup_type_cache(id_type->type, TYPECACHE_HASH_PROC | TYPECACHE_EQ_OPR);
	if (!OidIsValid(entry->hash_proc) || !OidIsValid(entry->eq_opr))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("column \"%s\" of relation \"%s\" cannot hold ids: type %s has no hash "
						"operator class",
						get_attname(relation, column, false), get_rel_name(relation),
						format_type_be(id_type->type)),
				 errhint("Make a view of the relation that casts the column to text.")));
	fill_id_type(entry, id_type);
}

void
fm_id_type_of_text(FmIdType *id_type)
{
	id_type->type = TEXTOID;
	id_type->typmod = -1;
	id_type->collation = C_COLLATION_OID;
	fill_id_type(lookup_type_cache(TEXTOID, TYPECACHE_HASH_PROC | TYPECACHE_EQ_OPR), id_type);
}

char *
fm_id_type_sql(const FmIdType *id_type)
{
	char *type = format_type_extended(id_type->type, id_type->typmod,
									  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
	HeapTuple tuple;
	Form_pg_collation collation;
	char *result;

	if (!OidIsValid(id_type->collation) || id_type->collation == get_typcollation(id_type->type))
		return type;
	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(id_type->collation));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", id_type->collation);
	collation = (Form_pg_collation) GETSTRUCT(tuple);
	result = psprintf("%s COLLATE %s", type,
					  fm_qualified_sql(collation->collnamespace, NameStr(collation->collname)));
	ReleaseSysCache(tuple);
	return result;
}

int64
fm_id_as_int64(const FmIdType *id_type, Datum id)
{
	switch (id_type->typlen)
	{
		case 2:
			return DatumGetInt16(id);
		case 4:
			return DatumGetInt32(id);
		default:
			return DatumGetInt64(id);
	}
}

bool
fm_id_from_int64(const FmIdType *id_type, int64 value, Datum *id)
{
	switch (id_type->typlen)
	{
		case 2:
			*id = Int16GetDatum((int16) value);
			return value >= PG_INT16_MIN && value <= PG_INT16_MAX;
		case 4:
			*id = Int32GetDatum((int32) value);
			return value >= PG_INT32_MIN && value <= PG_INT32_MAX;
		default:
			*id = Int64GetDatum(value);
			return true;
	}
}

char *
fm_id_text(FmIdType *id_type, Datum id)
{
	return OutputFunctionCall(&id_type->output, id);
}

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

Datum
fm_id_copy(const FmIdType *id_type, Datum id, MemoryContext context)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	Datum copy = id_type->typlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(id))
									   : datumCopy(id, id_type->typbyval, id_type->typlen);

	MemoryContextSwitchTo(previous);
	return copy;
}

/* Keep an own copy of a new id and give it the next index. */
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
	/* no larger than the table, and fewer bytes to an id */
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
	return hash_id((FmIdType *) &map->id_type, fm_idmap_id(map, index));
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
