/*
 * The columns of a relation of features: which there are, and of what kind.
 *
 * Locking: AccessShareLock on the relation while its columns are listed. Memory: the current
 * context.
 */
#include "source/feature_columns.h"

#include <math.h>

#include "access/relation.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "pg/sql.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

/*
 * Return the kind of a column, and in *element the type of its levels: of an array, its elements.
 */
static FmFeatureKind
classify(Oid type, Oid *element)
{
	Oid base = getBaseType(type);

	*element = get_base_element_type(type);
	if (OidIsValid(*element))
		return FM_FEATURE_BAG;
	*element = base;
	if (base == FLOAT4OID || base == FLOAT8OID || base == NUMERICOID)
		return FM_FEATURE_NUMBER;
	return FM_FEATURE_CATEGORY;
}

FmFeatureKind
fm_feature_kind(Oid type)
{
	Oid element;

	return classify(type, &element);
}

Oid
fm_level_collation(Oid collation)
{
	return OidIsValid(collation) && !get_collation_isdeterministic(collation) ? collation
																			  : C_COLLATION_OID;
}

static void
check_feature_column(Oid relation, const Form_pg_attribute attribute)
{
	Oid element;

	(void) classify(attribute->atttypid, &element);
	if (!OidIsValid(lookup_type_cache(element, TYPECACHE_EQ_OPR)->eq_opr))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" cannot be a feature: type %s has no "
						"equality operator",
						NameStr(attribute->attname), get_rel_name(relation),
						format_type_be(attribute->atttypid)),
				 errhint("Make a view of the relation that casts the column to text, or leaves it "
						 "out.")));
}

FmFeatureColumn *
fm_list_feature_columns(Oid relation, AttrNumber key, int *num_columns)
{
	Relation rel = fm_open_relation(relation);
	TupleDesc desc = RelationGetDescr(rel);
	FmFeatureColumn *columns = palloc0(desc->natts * sizeof(FmFeatureColumn));

	*num_columns = 0;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		FmFeatureColumn *column = &columns[*num_columns];
		Oid element;

		if (attribute->attisdropped || attribute->attnum == key)
			continue;
		check_feature_column(relation, attribute);
		column->name = pstrdup(NameStr(attribute->attname));
		column->kind = classify(attribute->atttypid, &element);
		column->least = INFINITY;
		column->greatest = -INFINITY;
		column->collation = fm_level_collation(attribute->attcollation);
		(*num_columns)++;
	}
	relation_close(rel, NoLock);
	return columns;
}

static void
check_kind(Oid relation, const char *option)
{
	char kind = get_rel_relkind(relation);

	if (kind == '\0')
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the relation of %s (OID %u) does not exist", option, relation),
						errhint("Name another with %s => '...'.", option)));
	if (get_rel_persistence(relation) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("a model cannot be trained with the features of temporary relation \"%s\"",
						get_rel_name(relation)),
				 errdetail("It is read by every training of the model, in any session."),
				 errhint("Copy it into a permanent table.")));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
		kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a table or view", get_rel_name(relation))));
}

void
fm_check_features_relation(Oid relation, const char *option, const char *key_column,
						   const char *key_option, const FmIdType *id_type)
{
	AttrNumber key;
	Oid type;
	int num_columns;

	check_kind(relation, option);
	key = fm_column_number(relation, key_column, key_option);
	type = get_atttype(relation, key);
	if (!fm_id_types_match(type, id_type->type))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of relation \"%s\" is of type %s, but the ratings "
							   "have ids of type %s",
							   key_column, get_rel_name(relation), format_type_be(type),
							   format_type_be(id_type->type)),
						errhint("Make a view of the relation that casts the column.")));
	pfree(fm_list_feature_columns(relation, key, &num_columns));
	if (num_columns == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("relation \"%s\" has no column other than \"%s\"", get_rel_name(relation),
						key_column),
				 errdetail("Every other column of the relation of %s is a feature.", option)));
}
