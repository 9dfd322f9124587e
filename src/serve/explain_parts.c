/*
 * Splitting an entity's w and v by its features. A query joins the entity's current rows of the
 * feature relation with the version's table of levels (store/levels.c).
 *
 * A column that the relation no longer has, or of which the version has no level, gets no part.
 * Locking: AccessShareLock by the queries. Memory: the current context.
 */
#include "serve/explain_parts.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "core/data/ratings.h"
#include "source/feature_columns.h"
#include "pg/real_array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

static const char *const side_names[] = {"user", "item"};

static FmPart *
add_part(FmPart *parts, int *num_parts, char *name, int num_factors)
{
	FmPart *part = &parts[(*num_parts)++];

	part->name = name;
	part->w = 0;
	part->v = palloc0(num_factors * sizeof(double));
	return part;
}

/* $1 and $2 of the queries here: the version and the side. */
static FmSqlParameters
side_parameters(const FmServing *serving, int side)
{
	FmSqlParameters parameters = {0};

	fm_add_integer(&parameters, serving->loaded->version.number);
	fm_add_text(&parameters, side_names[side]);
	return parameters;
}

/* What list_features reads. */
enum
{
	FEATURE_NAME
};

static const FmColumn feature_columns[] = {[FEATURE_NAME] = {"feature", TEXTOID}};

/* Query the names of the columns that the version has levels of. */
static void
list_features(const FmServing *serving, int side, FmRows *rows)
{
	FmSqlParameters parameters = side_parameters(serving, side);

	fm_sql_run(psprintf("SELECT DISTINCT feature FROM %s WHERE version = $1 AND side = $2 AND "
						"feature IS NOT NULL ORDER BY feature",
						fm_relation_sql(serving->model.level_table)),
			   &parameters, serving->read_only);
	fm_rows_begin(rows, feature_columns, lengthof(feature_columns));
}

/*
 * Return a level as the table of levels spells it, compared by bytes. The collation of the column
 * may call strings equal that differ, of which the table has only one.
 */
static char *
level_sql(const FmServing *serving, const char *level, const char *feature, Oid collation)
{
	FmIdType text;

	fm_id_type_of_text(fm_level_collation(collation), &text);
	if (text.collation == C_COLLATION_OID)
		return psprintf("%s COLLATE \"C\"", level);
	return psprintf("(SELECT l.level FROM %s l WHERE l.version = $1 AND l.side = $2 AND "
					"l.feature = %s AND l.level = %s::%s LIMIT 1) COLLATE \"C\"",
					fm_relation_sql(serving->model.level_table), quote_literal_cstr(feature), level,
					fm_id_type_sql(&text));
}

/* Append a SELECT of (feature, level, x) for one column of the rows of entity $3. */
static void
append_column(StringInfo sql, const FmServing *serving, Oid relation, const char *column,
			  const char *is_key)
{
	const char *quoted = quote_identifier(column);
	Oid type;
	int32 typmod;
	Oid collation;
	FmFeatureKind kind;

	get_atttypetypmodcoll(relation, get_attnum(relation, column), &type, &typmod, &collation);
	kind = fm_feature_kind(type);
	appendStringInfo(sql, "%sSELECT %s::text AS feature, ", sql->len > 0 ? " UNION ALL " : "",
					 quote_literal_cstr(column));
	if (kind == FM_FEATURE_NUMBER)
		appendStringInfo(sql,
						 "NULL::text AS level, f.%s::float8 AS x FROM %s f WHERE f.%s IS NOT NULL",
						 quoted, fm_relation_sql(relation), quoted);
	else if (kind == FM_FEATURE_CATEGORY)
		appendStringInfo(sql, "%s AS level, 1::float8 AS x FROM %s f WHERE f.%s IS NOT NULL",
						 level_sql(serving, psprintf("f.%s::text", quoted), column, collation),
						 fm_relation_sql(relation), quoted);
	else
		appendStringInfo(
			sql,
			"%s AS level, 1 / sqrt((SELECT count(n) FROM unnest(f.%s::text[]) n)) AS x "
			"FROM %s f, unnest(f.%s::text[]) e WHERE e IS NOT NULL",
			level_sql(serving, "e", column, collation), quoted, fm_relation_sql(relation), quoted);
	appendStringInfo(sql, " AND %s", is_key);
}

/* What is read of an entity's levels. */
enum
{
	LEVEL_FEATURE,
	LEVEL_X,
	LEVEL_W,
	LEVEL_V
};

static const FmColumn level_columns[][LEVEL_V + 1] = {
	[FM_RATING_HEAD] = {[LEVEL_FEATURE] = {"l.feature", TEXTOID},
						[LEVEL_X] = {"e.x - l.mean", FLOAT8OID},
						[LEVEL_W] = {"l.w::float8", FLOAT8OID},
						[LEVEL_V] = {"l.v", FLOAT4ARRAYOID}},
	[FM_INTEREST_HEAD] = {[LEVEL_FEATURE] = {"l.feature", TEXTOID},
						  [LEVEL_X] = {"e.x - l.mean", FLOAT8OID},
						  [LEVEL_W] = {"l.interest_w::float8", FLOAT8OID},
						  [LEVEL_V] = {"l.interest_v", FLOAT4ARRAYOID}}};

/* Return the query for an entity's levels, or NULL without features. */
static char *
levels_query(const FmServing *serving, FmHead head, int side)
{
	const FmDefinition *definition = &serving->model.definition;
	Oid relation = definition->features[side];
	const char *key = side == FM_USERS ? definition->user_column : definition->item_column;
	const FmIdType *id_type = side == FM_USERS ? &serving->loaded->user_type
											   : &serving->loaded->item_type;
	StringInfoData is_key;
	StringInfoData entries;
	FmRows names;
	char *key_value;

	if (!OidIsValid(serving->model.level_table) || get_rel_name(relation) == NULL ||
		get_attnum(relation, key) == InvalidAttrNumber)
		return NULL;
	key_value = psprintf("f.%s", quote_identifier(key));
	initStringInfo(&is_key);
	fm_append_equality(&is_key, key_value, id_type->type, "$3");
	initStringInfo(&entries);
	list_features(serving, side, &names);
	while (fm_rows_next(&names))
	{
		char *column = fm_row_text(&names.row, FEATURE_NAME);

		if (get_attnum(relation, column) != InvalidAttrNumber)
			append_column(&entries, serving, relation, column, is_key.data);
	}
	fm_rows_end(&names);
	if (entries.len == 0)
		return NULL;
	return psprintf(
		"SELECT %s FROM (SELECT feature, level, sum(x) AS x FROM (%s) e GROUP BY 1, 2) e "
		"JOIN %s l ON l.version = $1 AND l.side = $2 AND l.feature = e.feature "
		"AND l.level IS NOT DISTINCT FROM e.level ORDER BY l.feature, l.idx",
		fm_select_list(level_columns[head], lengthof(level_columns[head])), entries.data,
		fm_relation_sql(serving->model.level_table));
}

/* Move what a level contributes from the entity's own part to that of its column. */
static void
move_level(FmPart *own, FmPart *part, const FmRow *row, int num_factors)
{
	double x = fm_row_double(row, LEVEL_X);
	double w = x * fm_row_double(row, LEVEL_W);
	float *v = palloc(num_factors * sizeof(float));

	fm_read_real_array(fm_row_value(row, LEVEL_V), num_factors, "a level's v", v);
	part->w += w;
	own->w -= w;
	for (int f = 0; f < num_factors; f++)
	{
		part->v[f] += x * v[f];
		own->v[f] -= x * v[f];
	}
	pfree(v);
}

int
fm_head_factors(const FmLoaded *loaded, FmHead head)
{
	return head == FM_INTEREST_HEAD ? loaded->version.interest_factors
									: loaded->version.num_factors;
}

FmPart *
fm_entity_parts(const FmServing *serving, FmHead head, int side, bool has_id, Datum id, double w,
				const float *v, int *num_parts)
{
	const FmIdType *id_type = side == FM_USERS ? &serving->loaded->user_type
											   : &serving->loaded->item_type;
	int k = fm_head_factors(serving->loaded, head);
	FmSqlParameters parameters = side_parameters(serving, side);
	FmRows rows = {0};
	char *sql = has_id ? levels_query(serving, head, side) : NULL;
	FmPart *parts;
	char *last = "";

	if (sql != NULL)
	{
		fm_add_parameter(&parameters, id_type->type, id, false);
		fm_sql_run(sql, &parameters, serving->read_only);
		fm_rows_begin(&rows, level_columns[head], lengthof(level_columns[head]));
	}
	parts = MemoryContextAllocHuge(CurrentMemoryContext, (rows.count + 1) * sizeof(FmPart));
	*num_parts = 0;
	add_part(parts, num_parts, pstrdup(side_names[side]), k)->w = w;
	for (int f = 0; f < k; f++)
		parts[0].v[f] = v[f];
	while (fm_rows_next(&rows))
	{
		char *feature = fm_row_text(&rows.row, LEVEL_FEATURE);

		if (strcmp(feature, last) != 0)
			(void) add_part(parts, num_parts, psprintf("%s.%s", side_names[side], feature), k);
		last = feature;
		move_level(&parts[0], &parts[*num_parts - 1], &rows.row, k);
	}
	fm_rows_end(&rows);
	return parts;
}
