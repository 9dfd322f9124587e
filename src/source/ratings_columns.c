/*
 * The columns of a ratings relation: what they must be, and what their values mean.
 *
 * Locking: none; columns are looked up in the catalogue. Memory: the current context.
 */
#include "source/ratings_columns.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "parser/parse_type.h"
#include "pg/sql.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

static void
check_relation_kind(Oid relation)
{
	char kind = get_rel_relkind(relation);

	if (kind == '\0')
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the ratings relation (OID %u) does not exist", relation),
						errhint("Name another with ratings => '...'.")));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
		kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a table or view", get_rel_name(relation))));
}

static bool
is_boolean_column(Oid relation, const char *column)
{
	Oid type = get_atttype(relation, get_attnum(relation, column));

	return OidIsValid(type) && getBaseType(type) == BOOLOID;
}

static bool
is_number_type(Oid type)
{
	char category;
	bool preferred;
	Oid cast;

	if (getBaseType(type) == FLOAT8OID)
		return true;
	get_type_category_preferred(getBaseType(type), &category, &preferred);
	return category == TYPCATEGORY_NUMERIC &&
		   find_coercion_pathway(FLOAT8OID, getBaseType(type), COERCION_EXPLICIT, &cast) ==
			   COERCION_PATH_FUNC;
}

static void
check_number_column(Oid relation, const char *column, const char *option)
{
	AttrNumber number = fm_column_number(relation, column, option);
	Oid type = get_atttype(relation, number);

	if (!is_number_type(type))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of relation \"%s\" is of type %s, not a number",
							   column, get_rel_name(relation), format_type_be(type)),
						errhint("Make a view of the relation that casts the column to real.")));
}

/* The rating must be a number; in a classification it may also be a boolean. */
static void
check_rating_column(const FmDefinition *definition)
{
	Oid relation = definition->ratings;
	const char *column = definition->rating_column;

	(void) fm_column_number(relation, column, "rating_column");
	if (!is_boolean_column(relation, column))
		check_number_column(relation, column, "rating_column");
	else if (!fm_is_classification(definition->task))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of relation \"%s\" is of type boolean, not a number",
							   column, get_rel_name(relation)),
						errhint("To learn the probability of yes, use task => 'classification'.")));
}

static void
check_context_column(const FmDefinition *definition, const char *column)
{
	Oid relation = definition->ratings;
	Oid type = get_atttype(relation, fm_column_number(relation, column, "context_columns"));
	Oid base = getBaseType(type);

	if (strcmp(column, definition->user_column) == 0 ||
		strcmp(column, definition->item_column) == 0 ||
		strcmp(column, definition->rating_column) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" is the user, the item or the rating, not a context", column),
				 errhint("Leave it out of context_columns.")));
	if (base == FLOAT4OID || base == FLOAT8OID || base == NUMERICOID ||
		OidIsValid(get_base_element_type(type)) ||
		!OidIsValid(lookup_type_cache(base, TYPECACHE_EQ_OPR)->eq_opr))
		ereport(
			ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of relation \"%s\" cannot be a context: type %s is not one of "
					"categories",
					column, get_rel_name(relation), format_type_be(type)),
			 errhint("Make a view of the relation that casts the column to text or integer.")));
}

static void
check_context_columns(const FmDefinition *definition)
{
	for (int c = 0; c < definition->num_context_columns; c++)
	{
		check_context_column(definition, definition->context_columns[c]);
		for (int d = 0; d < c; d++)
			if (strcmp(definition->context_columns[c], definition->context_columns[d]) == 0)
				ereport(ERROR, (errcode(ERRCODE_DUPLICATE_COLUMN),
								errmsg("option context_columns names \"%s\" twice",
									   definition->context_columns[c])));
	}
}

static bool
is_time_type(Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

static void
check_time_column(const FmDefinition *definition)
{
	Oid relation = definition->ratings;
	const char *column = definition->time_column;
	Oid type = get_atttype(relation, fm_column_number(relation, column, "time_column"));

	if (!is_number_type(type) && !is_time_type(getBaseType(type)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is of type %s, not a number, a date "
						"or a time",
						column, get_rel_name(relation), format_type_be(type)),
				 errhint("Make a view of the relation that casts the column to timestamptz.")));
}

char *
fm_time_sql(const FmDefinition *definition)
{
	const char *column = quote_identifier(definition->time_column);
	Oid type = get_atttype(definition->ratings,
						   get_attnum(definition->ratings, definition->time_column));

	return psprintf(is_time_type(getBaseType(type))
						? "pg_catalog.date_part('epoch', r.%s::pg_catalog.timestamptz)"
						: "r.%s::pg_catalog.float8",
					column);
}

void
fm_check_ratings_relation(const FmDefinition *definition, FmIdType *user_type, FmIdType *item_type)
{
	Oid relation = definition->ratings;

	check_relation_kind(relation);
	fm_id_type_of_column(relation,
						 fm_column_number(relation, definition->user_column, "user_column"),
						 user_type);
	fm_id_type_of_column(relation,
						 fm_column_number(relation, definition->item_column, "item_column"),
						 item_type);
	if (!fm_is_ranking(definition->task))
		check_rating_column(definition);
	if (definition->weight_column != NULL)
		check_number_column(relation, definition->weight_column, "weight_column");
	check_context_columns(definition);
	if (definition->time_column != NULL)
		check_time_column(definition);
	if (definition->split_column != NULL)
		(void) fm_column_number(relation, definition->split_column, "time_column");
}

/* Return whether the column exists and holds numbers or, if that is allowed, booleans. */
static bool
has_numbers(Oid relation, const char *column, bool or_booleans)
{
	Oid type = get_atttype(relation, get_attnum(relation, column));

	return OidIsValid(type) &&
		   (is_number_type(type) || (or_booleans && getBaseType(type) == BOOLOID));
}

bool
fm_ratings_are_readable(const FmDefinition *definition, Oid user_type, Oid item_type)
{
	Oid relation = definition->ratings;

	return get_rel_name(relation) != NULL &&
		   fm_id_types_match(get_atttype(relation, get_attnum(relation, definition->user_column)),
							 user_type) &&
		   fm_id_types_match(get_atttype(relation, get_attnum(relation, definition->item_column)),
							 item_type) &&
		   (fm_is_ranking(definition->task) ||
			has_numbers(relation, definition->rating_column,
						fm_is_classification(definition->task))) &&
		   (definition->weight_column == NULL ||
			has_numbers(relation, definition->weight_column, false));
}

int
fm_value_columns(const FmDefinition *definition, FmColumn *columns)
{
	int count = 0;

	columns[count].type = FLOAT8OID;
	columns[count++].sql =
		fm_is_ranking(definition->task)
			? "1::pg_catalog.float8"
			: psprintf("r.%s%s::pg_catalog.float8", quote_identifier(definition->rating_column),
					   is_boolean_column(definition->ratings, definition->rating_column)
						   ? "::pg_catalog.int4"
						   : "");
	if (definition->weight_column != NULL)
		columns[count++] = (FmColumn){psprintf("r.%s::pg_catalog.float8",
											   quote_identifier(definition->weight_column)),
									  FLOAT8OID};
	return count;
}

static void
check_rating(const FmDefinition *definition, double rating)
{
	if (isfinite(rating) && isfinite((float) rating))
		return;
	ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					errmsg("column \"%s\" of relation \"%s\" holds the rating %s",
						   definition->rating_column, get_rel_name(definition->ratings),
						   DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(rating)))),
					errdetail("Ratings must be finite and fit the type real."),
					errhint("Filter such rows out with a view.")));
}

static void
check_weight(const FmDefinition *definition, double weight)
{
	if (isfinite((float) weight) && weight >= 0)
		return;
	ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					errmsg("column \"%s\" of relation \"%s\" holds the weight %s",
						   definition->weight_column, get_rel_name(definition->ratings),
						   DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(weight)))),
					errdetail("Weights must be finite, not negative, and fit the type real."),
					errhint("Filter such rows out with a view.")));
}

bool
fm_take_values(const FmDefinition *definition, const Datum *values, const bool *nulls,
			   double *rating, double *weight)
{
	*weight = 1;
	if (definition->weight_column != NULL && !nulls[1])
	{
		*weight = DatumGetFloat8(values[1]);
		check_weight(definition, *weight);
	}
	/* a weight that rounds to 0 as a real counts as 0 */
	if (nulls[0] || (definition->weight_column != NULL && nulls[1]) || (float) *weight == 0)
		return false;
	*rating = DatumGetFloat8(values[0]);
	check_rating(definition, *rating);
	return true;
}

double
fm_rating_center(FmTask task, float min, float max, double mean)
{
	double farthest = Max(fabs((double) min), fabs((double) max));

	return task == FM_TASK_REGRESSION && farthest > FM_FAR * ((double) max - min) ? mean : 0;
}

float
fm_label(const FmDefinition *definition, float no, float yes, float rating)
{
	if (rating != no && rating != yes)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("column \"%s\" of relation \"%s\" holds the rating %g",
						definition->rating_column, get_rel_name(definition->ratings), rating),
				 errdetail("The model was trained on %g (no) and %g (yes).", no, yes),
				 errhint("Make a view of the relation that has no others.")));
	return rating == yes ? 1 : 0;
}
