/*
 * Splitting an entity's w and v by its features. A query joins the entity's current rows of the
 * feature relation with the version's table of levels (store/levels.c).
 *
 * A column that the relation no longer has, or of which the version has no level, gets no part.
 * Locking: AccessShareLock by the queries. Memory: the current context.
 */
#include "serve/explain_parts.h"

#include "catalog/pg_type.h"
#include "core/data/ratings.h"
#include "source/feature_columns.h"
#include "pg/real_array.h"
#include "utils/builtins.h"

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

/* Query the names of the columns that the version has levels of: SPI_processed rows. */
static void
list_features(const FmServing *serving, int side)
{
	Oid types[] = {INT4OID, TEXTOID};
	Datum values[] = {Int32GetDatum(serving->loaded->version),
					  CStringGetTextDatum(side_names[side])};

	fm_spi_execute(psprintf("SELECT DISTINCT feature FROM %s WHERE version = $1 AND side = $2 AND "
							"feature IS NOT NULL ORDER BY feature",
							fm_relation_sql(serving->model.level_table)),
				   2, types, values, NULL, serving->read_only);
}

/* Append a SELECT of (feature, level, x) for one column of the rows of entity $3. */
static void
append_column(StringInfo sql, Oid relation, const char *column, const char *is_key)
{
	const char *quoted = quote_identifier(column);
	FmFeatureKind kind = fm_feature_kind(get_atttype(relation, get_attnum(relation, column)));

	appendStringInfo(sql, "%sSELECT %s::text AS feature, ", sql->len > 0 ? " UNION ALL " : "",
					 quote_literal_cstr(column));
	if (kind == FM_FEATURE_NUMBER)
		appendStringInfo(sql,
						 "NULL::text AS level, f.%s::float8 AS x FROM %s f WHERE f.%s IS NOT NULL",
						 quoted, fm_relation_sql(relation), quoted);
	else if (kind == FM_FEATURE_CATEGORY)
		appendStringInfo(sql,
						 "f.%s::text AS level, 1::float8 AS x FROM %s f WHERE f.%s IS NOT NULL",
						 quoted, fm_relation_sql(relation), quoted);
	else
		appendStringInfo(sql,
						 "e AS level, 1 / sqrt((SELECT count(n) FROM unnest(f.%s::text[]) n)) AS x "
						 "FROM %s f, unnest(f.%s::text[]) e WHERE e IS NOT NULL",
						 quoted, fm_relation_sql(relation), quoted);
	appendStringInfo(sql, " AND %s", is_key);
}

/* Return the query for an entity's levels (feature, x - mean, w, v), or NULL without features. */
static char *
levels_query(const FmServing *serving, int side)
{
	const FmDefinition *definition = &serving->model.definition;
	Oid relation = definition->features[side];
	const char *key = side == FM_USERS ? definition->user_column : definition->item_column;
	const FmIdType *id_type = side == FM_USERS ? &serving->loaded->user_type
											   : &serving->loaded->item_type;
	StringInfoData is_key;
	StringInfoData entries;
	char *key_value;

	if (!OidIsValid(serving->model.level_table) || get_rel_name(relation) == NULL ||
		get_attnum(relation, key) == InvalidAttrNumber)
		return NULL;
	key_value = psprintf("f.%s%s%s", quote_identifier(key), id_type->is_integer ? "::" : "",
						 id_type->is_integer ? fm_id_type_sql(id_type) : "");
	initStringInfo(&is_key);
	fm_append_equality(&is_key, key_value, id_type->type, "$3");
	initStringInfo(&entries);
	list_features(serving, side);
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		char *column = TextDatumGetCString(fm_spi_value_not_null(r, 1));

		if (get_attnum(relation, column) != InvalidAttrNumber)
			append_column(&entries, relation, column, is_key.data);
	}
	SPI_freetuptable(SPI_tuptable);
	if (entries.len == 0)
		return NULL;
	return psprintf("SELECT l.feature, e.x - l.mean, l.w::float8, l.v "
					"FROM (SELECT feature, level, sum(x) AS x FROM (%s) e GROUP BY 1, 2) e "
					"JOIN %s l ON l.version = $1 AND l.side = $2 AND l.feature = e.feature "
					"AND l.level IS NOT DISTINCT FROM e.level ORDER BY l.feature, l.idx",
					entries.data, fm_relation_sql(serving->model.level_table));
}

/* Move what a level contributes from the entity's own part to that of its column. */
static void
move_level(FmPart *own, FmPart *part, uint64 row, int num_factors)
{
	double x = DatumGetFloat8(fm_spi_value_not_null(row, 2));
	double w = x * DatumGetFloat8(fm_spi_value_not_null(row, 3));
	float *v = palloc(num_factors * sizeof(float));

	fm_read_real_array(fm_spi_value_not_null(row, 4), num_factors, "a level's v", v);
	part->w += w;
	own->w -= w;
	for (int f = 0; f < num_factors; f++)
	{
		part->v[f] += x * v[f];
		own->v[f] -= x * v[f];
	}
	pfree(v);
}

FmPart *
fm_entity_parts(const FmServing *serving, int side, bool has_id, Datum id, double w, const float *v,
				int *num_parts)
{
	static const Oid columns[] = {TEXTOID, FLOAT8OID, FLOAT8OID, FLOAT4ARRAYOID};
	const FmIdType *id_type = side == FM_USERS ? &serving->loaded->user_type
											   : &serving->loaded->item_type;
	int k = serving->loaded->num_factors;
	Oid types[] = {INT4OID, TEXTOID, id_type->type};
	Datum values[] = {Int32GetDatum(serving->loaded->version),
					  CStringGetTextDatum(side_names[side]), id};
	char *sql = has_id ? levels_query(serving, side) : NULL;
	FmPart *parts;
	char *last = "";

	if (sql == NULL)
		SPI_processed = 0;
	else
	{
		fm_spi_execute(sql, 3, types, values, NULL, serving->read_only);
		fm_spi_expect(columns, lengthof(columns));
	}
	parts = palloc((SPI_processed + 1) * sizeof(FmPart));
	*num_parts = 0;
	add_part(parts, num_parts, pstrdup(side_names[side]), k)->w = w;
	for (int f = 0; f < k; f++)
		parts[0].v[f] = v[f];
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		char *feature = TextDatumGetCString(fm_spi_value_not_null(r, 1));

		if (strcmp(feature, last) != 0)
			(void) add_part(parts, num_parts, psprintf("%s.%s", side_names[side], feature), k);
		last = feature;
		move_level(&parts[0], &parts[*num_parts - 1], r, k);
	}
	return parts;
}
