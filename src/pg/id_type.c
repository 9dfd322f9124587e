/*
 * The type of an id column: any type with a default hash operator class.
 */
#include "pg/id_type.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "pg/sql.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

static bool
is_integer(Oid type)
{
	Oid base_type = OidIsValid(type) ? getBaseType(type) : InvalidOid;

	return base_type == INT2OID || base_type == INT4OID || base_type == INT8OID;
}

/* Fill in what follows from the type. */
static void
fill_id_type(const TypeCacheEntry *entry, FmIdType *id_type)
{
	Oid output;
	bool is_varlena;

	id_type->is_integer = is_integer(id_type->type);
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
fm_id_type_of_text(Oid collation, FmIdType *id_type)
{
	id_type->type = TEXTOID;
	id_type->typmod = -1;
	id_type->collation = collation;
	fill_id_type(lookup_type_cache(TEXTOID, TYPECACHE_HASH_PROC | TYPECACHE_EQ_OPR), id_type);
}

void
fm_id_type_of_integer(Oid type, FmIdType *id_type)
{
	id_type->type = getBaseType(type);
	id_type->typmod = -1;
	id_type->collation = InvalidOid;
	fill_id_type(lookup_type_cache(id_type->type, TYPECACHE_HASH_PROC | TYPECACHE_EQ_OPR), id_type);
}

bool
fm_id_types_match(Oid left, Oid right)
{
	return left == right || (OidIsValid(left) && is_integer(left) && is_integer(right));
}

FmColumn
fm_id_column(const char *sql, Oid stored, const FmIdType *id_type)
{
	Oid wanted = getBaseType(id_type->type);
	const char *name = format_type_be(wanted);

	if (stored == id_type->type || !is_integer(stored) || !id_type->is_integer)
		return (FmColumn){sql, id_type->type};
	if (get_typlen(stored) <= id_type->typlen)
		return (FmColumn){psprintf("%s::%s", sql, name), wanted};
	return (FmColumn){psprintf("CASE WHEN %s BETWEEN %d AND %d THEN %s::%s END", sql,
							   id_type->typlen == 2 ? PG_INT16_MIN : PG_INT32_MIN,
							   id_type->typlen == 2 ? PG_INT16_MAX : PG_INT32_MAX, sql, name),
					  wanted};
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

char *
fm_id_base_type_sql(const FmIdType *id_type)
{
	FmIdType base = *id_type;

	base.type = getBaseTypeAndTypmod(id_type->type, &base.typmod);
	return fm_id_type_sql(&base);
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

Datum
fm_id_copy(const FmIdType *id_type, Datum id, MemoryContext context)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	Datum copy = id_type->typlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(id))
									   : datumCopy(id, id_type->typbyval, id_type->typlen);

	MemoryContextSwitchTo(previous);
	return copy;
}
