/*
 * Maps from ids to dense indices.
 */
#ifndef FMTOPX_ID_MAP_H
#define FMTOPX_ID_MAP_H

#include "pg/id_type.h"

typedef struct FmIdMap FmIdMap;

extern FmIdMap *fm_idmap_create(const FmIdType *id_type, MemoryContext context);

/* Return the index of an id. A new id gets the next index. */
extern int32 fm_idmap_intern(FmIdMap *map, Datum id);

/* Return the index of an id, or -1. */
extern int32 fm_idmap_find(FmIdMap *map, Datum id);

/* Add no more ids from now on. Makes finding faster if the ids are integers with few gaps. */
extern void fm_idmap_seal(FmIdMap *map);

extern const FmIdType *fm_idmap_type(const FmIdMap *map);
extern int32 fm_idmap_count(const FmIdMap *map);
extern Datum fm_idmap_id(const FmIdMap *map, int32 index);

/* Return the hash of an id, which is the same in every map. */
extern uint32 fm_idmap_hash(const FmIdMap *map, int32 index);

/*
 * Return the order of the ids: element r is the index of the id with rank r. Integers are ordered
 * by value, other types by the bytes of the text form, which does not depend on the locale.
 */
extern int32 *fm_idmap_order(FmIdMap *map);

#endif
