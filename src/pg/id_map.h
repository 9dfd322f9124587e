/*
 * User and item ids: their type, and maps from id to dense index.
 */
#ifndef FMTOPX_ID_MAP_H
#define FMTOPX_ID_MAP_H

#include "pg/compat.h"

#include "fmgr.h"

/* An id column's type and what is needed to hash, compare, print and order its values. */
typedef struct FmIdType
{
	Oid type;
	int32 typmod;
	Oid collation;
	bool is_integer; /* int2, int4 or int8: compared and ordered as int64 */
	int16 typlen;
	bool typbyval;
	FmgrInfo hash;
	FmgrInfo equal;
	FmgrInfo output;
} FmIdType;

/* Fill *id_type for a column; an error naming column and relation if its type cannot be hashed. */
extern void fm_id_type_of_column(Oid relation, AttrNumber column, FmIdType *id_type);

/* The type text, told apart byte by byte. */
extern void fm_id_type_of_text(FmIdType *id_type);

/* "pg_catalog.int4", or "text COLLATE ...": the type as a column definition wants it. */
extern char *fm_id_type_sql(const FmIdType *id_type);

extern int64 fm_id_as_int64(const FmIdType *id_type, Datum id);

/* False where the integer does not fit the type: no such id can exist. */
extern bool fm_id_from_int64(const FmIdType *id_type, int64 value, Datum *id);

extern char *fm_id_text(FmIdType *id_type, Datum id);

typedef struct FmIdMap FmIdMap;

extern FmIdMap *fm_idmap_create(const FmIdType *id_type, MemoryContext context);

/* The index of an id, a new one (in order of appearance) where it is not known yet. */
extern int32 fm_idmap_intern(FmIdMap *map, Datum id);

/* The index of an id, or -1. */
extern int32 fm_idmap_find(FmIdMap *map, Datum id);

/* Say that no more ids will come: finding gets faster where they are integers with few gaps. */
extern void fm_idmap_seal(FmIdMap *map);

/* A copy of an id in a memory context, detoasted. */
extern Datum fm_id_copy(const FmIdType *id_type, Datum id, MemoryContext context);

extern bool fm_id_equal(FmIdType *id_type, Datum a, Datum b);

extern const FmIdType *fm_idmap_type(const FmIdMap *map);
extern int32 fm_idmap_count(const FmIdMap *map);
extern Datum fm_idmap_id(const FmIdMap *map, int32 index);

/* The hash of an id: equal for equal ids, in every map. */
extern uint32 fm_idmap_hash(const FmIdMap *map, int32 index);

/*
 * The order of the ids: element r is the index of the id with rank r. Integers are ordered by value,
 * all else by the bytes of the text form, which no locale can change.
 */
extern int32 *fm_idmap_order(FmIdMap *map);

#endif
