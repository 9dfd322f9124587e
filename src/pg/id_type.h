/*
 * The type of an id column, and operations on single ids.
 */
#ifndef FMTOPX_ID_TYPE_H
#define FMTOPX_ID_TYPE_H

#include "pg/compat.h"

#include "fmgr.h"
#include "pg/sql_rows.h"

/* An id column's type, and what is needed to hash, compare, print and order its values. */
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

/*
 * Fill *id_type for a column; an error that names column and relation if its type cannot be hashed.
 */
extern void fm_id_type_of_column(Oid relation, AttrNumber column, FmIdType *id_type);

/* Fill *id_type for the type text with a collation. */
extern void fm_id_type_of_text(Oid collation, FmIdType *id_type);

/* Fill *id_type for smallint, integer or bigint, or for that of a domain over one of them. */
extern void fm_id_type_of_integer(Oid type, FmIdType *id_type);

/* Return whether ids of the two types can be equal: the types are the same, or both integers. */
extern bool fm_id_types_match(Oid left, Oid right);

/*
 * Return how to read ids as `id_type` from an expression of another type that matches it. The value
 * of an integer that does not fit is NULL.
 */
extern FmColumn fm_id_column(const char *sql, Oid stored, const FmIdType *id_type);

/* Return the type as a column definition writes it: "pg_catalog.int4", "text COLLATE ...". */
extern char *fm_id_type_sql(const FmIdType *id_type);

/*
 * Return the same with the base type of a domain: for tables of roles other than the domain's
 * owner, who could otherwise make them run a check, or drop their columns with the domain.
 */
extern char *fm_id_base_type_sql(const FmIdType *id_type);

/* Convert an integer to an id; false if it does not fit the type, so that no such id can exist. */
extern bool fm_id_from_int64(const FmIdType *id_type, int64 value, Datum *id);

extern char *fm_id_text(FmIdType *id_type, Datum id);

/* Copy an id into a memory context, detoasted. */
extern Datum fm_id_copy(const FmIdType *id_type, Datum id, MemoryContext context);

static inline int64
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

/* Convert an id to a type that matches its own; false if it does not fit. */
static inline bool
fm_id_convert(const FmIdType *from, const FmIdType *to, Datum id, Datum *result)
{
	if (from->is_integer && from->typlen != to->typlen)
		return fm_id_from_int64(to, fm_id_as_int64(from, id), result);
	*result = id;
	return true;
}

/* The finaliser of splitmix64 (Steele, Lea & Flood 2014), folded to 32 bits. */
static inline uint32
fm_hash_int64(uint64 key)
{
	key = (key ^ (key >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	key = (key ^ (key >> 27)) * UINT64CONST(0x94d049bb133111eb);
	return (uint32) (key ^ (key >> 31));
}

static inline uint32
fm_id_hash(FmIdType *id_type, Datum id)
{
	if (id_type->is_integer)
		return fm_hash_int64((uint64) fm_id_as_int64(id_type, id));
	return DatumGetUInt32(FunctionCall1Coll(&id_type->hash, id_type->collation, id));
}

static inline bool
fm_id_equal(FmIdType *id_type, Datum a, Datum b)
{
	if (id_type->is_integer)
		return fm_id_as_int64(id_type, a) == fm_id_as_int64(id_type, b);
	return DatumGetBool(FunctionCall2Coll(&id_type->equal, id_type->collation, a, b));
}

#endif
