/*
 * Writing the registry's targets: which tables hold a model's lists. Locking and memory: see
 * registry_sql.c.
 */
#include "registry/registry_targets.h"

#include "catalog/pg_type.h"
#include "registry/registry_sql.h"
#include "pg/sql.h"
#include "utils/array.h"
#include "utils/timestamp.h"

static const char *const kinds[] = {
	[FM_TARGET_TOP_X] = "top_x", [FM_TARGET_SIMILAR_ITEMS] = "similar_items"};

void
fm_registry_save_target(Oid schema, const char *model, const FmTarget *target)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, model);
	fm_add_relation(&parameters, target->table);
	fm_add_text(&parameters, kinds[target->kind]);
	fm_add_integer(&parameters, target->x);
	fm_add_boolean(&parameters, target->exclude_seen);
	fm_add_parameter(&parameters, FLOAT8OID, Float8GetDatum(target->novelty), !target->has_novelty);
	fm_add_relation(&parameters, target->users);
	fm_add_relation(&parameters, target->items);
	fm_add_parameter(&parameters, JSONBOID, JsonbPGetDatum(target->context),
					 target->context == NULL);
	/* the lists of another model have been overwritten */
	fm_registry_execute(schema, "fm_target", "DELETE FROM %s WHERE target = $2 AND model <> $1",
						&parameters);
	fm_registry_execute(schema, "fm_target",
						"INSERT INTO %s VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
						"ON CONFLICT (model, target) DO UPDATE SET kind = excluded.kind, "
						"x = excluded.x, exclude_seen = excluded.exclude_seen, "
						"novelty = excluded.novelty, users = excluded.users, "
						"items = excluded.items, context = excluded.context",
						&parameters);
}

void
fm_registry_delete_target(Oid schema, const char *model, Oid target)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, model);
	fm_add_relation(&parameters, target);
	fm_registry_execute(schema, "fm_target", "DELETE FROM %s WHERE model = $1 AND target = $2",
						&parameters);
}

void
fm_registry_note_writing(Oid schema, const char *model, Oid target, const FmTargetWriting *writing)
{
	TimestampTz now = GetCurrentTimestamp();
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, model);
	fm_add_relation(&parameters, target);
	fm_add_integer(&parameters, writing->version);
	fm_add_parameter(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(now), false);
	fm_add_parameter(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(writing->started_at), false);
	fm_add_bigint(&parameters, writing->num_rows);
	fm_registry_execute(schema, "fm_target",
						"UPDATE %s SET version = $3, written_at = $4, duration = $4 - $5, "
						"rows = $6 WHERE model = $1 AND target = $2",
						&parameters);
}

char *
fm_registry_target_model(Oid schema, Oid target)
{
	FmSqlParameters parameters = {0};

	fm_add_relation(&parameters, target);
	fm_registry_execute(schema, "fm_target", "SELECT model FROM %s WHERE target = $1", &parameters);
	return fm_sql_text();
}

static FmTargetKind
read_kind(const char *name)
{
	return strcmp(name, kinds[FM_TARGET_SIMILAR_ITEMS]) == 0 ? FM_TARGET_SIMILAR_ITEMS
															 : FM_TARGET_TOP_X;
}

/* Return a copy of a context in a memory context, or NULL. */
static Jsonb *
read_context(const FmRow *row, int column, MemoryContext context)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	Jsonb *copy = fm_row_is_null(row, column) ? NULL
											  : DatumGetJsonbPCopy(fm_row_value(row, column));

	MemoryContextSwitchTo(previous);
	return copy;
}

FmTarget *
fm_registry_targets(Oid schema, const char *model, MemoryContext context, int *num_targets)
{
	enum
	{
		TARGET,
		KIND,
		X,
		EXCLUDE_SEEN,
		NOVELTY,
		USERS,
		ITEMS,
		CONTEXT
	};
	static const FmColumn columns[] = {[TARGET] = {"target", REGCLASSOID},
									   [KIND] = {"kind", TEXTOID},
									   [X] = {"x", INT4OID},
									   [EXCLUDE_SEEN] = {"exclude_seen", BOOLOID},
									   [NOVELTY] = {"novelty", FLOAT8OID},
									   [USERS] = {"users", REGCLASSOID},
									   [ITEMS] = {"items", REGCLASSOID},
									   [CONTEXT] = {"context", JSONBOID}};
	FmSqlParameters parameters = {0};
	FmTarget *targets;
	FmRows rows;

	fm_add_text(&parameters, model);
	fm_registry_execute(schema, "fm_target",
						psprintf("SELECT %s FROM %%s WHERE model = $1 ORDER BY target::oid",
								 fm_select_list(columns, lengthof(columns))),
						&parameters);
	fm_rows_begin(&rows, columns, lengthof(columns));
	targets = MemoryContextAllocZero(context, (rows.count + 1) * sizeof(FmTarget));
	for (*num_targets = 0; fm_rows_next(&rows); (*num_targets)++)
		targets[*num_targets] = (FmTarget){.table = fm_row_relation(&rows.row, TARGET),
										   .kind = read_kind(fm_row_text(&rows.row, KIND)),
										   .x = fm_row_integer(&rows.row, X),
										   .exclude_seen = fm_row_boolean(&rows.row, EXCLUDE_SEEN),
										   .has_novelty = !fm_row_is_null(&rows.row, NOVELTY),
										   .novelty = fm_row_double_or(&rows.row, NOVELTY, 0),
										   .users = fm_row_relation_or_invalid(&rows.row, USERS),
										   .items = fm_row_relation_or_invalid(&rows.row, ITEMS),
										   .context = read_context(&rows.row, CONTEXT, context)};
	fm_rows_end(&rows);
	return targets;
}

void
fm_registry_save_proof(Oid schema, const char *model, Oid target, const FmListsProof *proof)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, model);
	fm_add_relation(&parameters, target);
	fm_add_text(&parameters, proof->made_from);
	fm_add_bigint(&parameters, proof->before);
	fm_add_bigint(&parameters, proof->written_by);
	fm_add_bigint(&parameters, proof->seen_rows);
	fm_add_integers(&parameters, proof->recent, proof->num_recent);
	fm_add_parameter(&parameters, BYTEAOID, PointerGetDatum(proof->items), proof->items == NULL);
	/* nothing is inserted if the target has been forgotten meanwhile */
	fm_registry_execute(
		schema, "fm_target_proof",
		psprintf("INSERT INTO %%s SELECT model, target, $3, $4, $5, $6, $7, $8 FROM %s "
				 "WHERE model = $1 AND target = $2 FOR KEY SHARE "
				 "ON CONFLICT (model, target) DO UPDATE SET made_from = excluded.made_from, "
				 "before = excluded.before, written_by = excluded.written_by, "
				 "seen_rows = excluded.seen_rows, recent = excluded.recent, "
				 "items = excluded.items",
				 fm_qualified_sql(schema, "fm_target")),
		&parameters);
}

/* Copy an integer[] into a context. The registry writes none with NULL, but may be restored. */
static int32 *
copy_integers(Datum datum, MemoryContext context, int32 *count)
{
	ArrayType *array = DatumGetArrayTypeP(datum);
	int32 *values;

	if (array_contains_nulls(array))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("unexpected NULL in an array of table \"fm_target_proof\""),
						errhint("Delete its rows: the next fm_write_top_x makes them anew.")));
	*count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	values = MemoryContextAlloc(context, (*count + 1) * sizeof(int32));
	memcpy(values, ARR_DATA_PTR(array), *count * sizeof(int32));
	return values;
}

/* Return a copy of a bytea in a context, or NULL. */
static bytea *
copy_bytes(const FmRow *row, int column, MemoryContext context)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	bytea *copy = fm_row_is_null(row, column) ? NULL
											  : DatumGetByteaPCopy(fm_row_value(row, column));

	MemoryContextSwitchTo(previous);
	return copy;
}

bool
fm_registry_find_proof(Oid schema, const char *model, Oid target, MemoryContext context,
					   FmListsProof *proof)
{
	enum
	{
		MADE_FROM,
		BEFORE,
		WRITTEN_BY,
		SEEN_ROWS,
		RECENT,
		PROVED_ITEMS
	};
	static const FmColumn columns[] = {
		[MADE_FROM] = {"made_from", TEXTOID},	[BEFORE] = {"before", INT8OID},
		[WRITTEN_BY] = {"written_by", INT8OID}, [SEEN_ROWS] = {"seen_rows", INT8OID},
		[RECENT] = {"recent", INT4ARRAYOID},	[PROVED_ITEMS] = {"items", BYTEAOID}};
	FmSqlParameters parameters = {0};
	FmRows rows;
	bool found;

	fm_add_text(&parameters, model);
	fm_add_relation(&parameters, target);
	fm_registry_execute(
		schema, "fm_target_proof",
		psprintf("SELECT %s FROM %%s WHERE model = $1 AND target = $2 AND made_from <> ''",
				 fm_select_list(columns, lengthof(columns))),
		&parameters);
	fm_rows_begin(&rows, columns, lengthof(columns));
	found = fm_rows_next(&rows);
	if (found)
	{
		strlcpy(proof->made_from, fm_row_text(&rows.row, MADE_FROM), sizeof(proof->made_from));
		proof->before = fm_row_bigint(&rows.row, BEFORE);
		proof->written_by = fm_row_bigint(&rows.row, WRITTEN_BY);
		proof->seen_rows = fm_row_bigint(&rows.row, SEEN_ROWS);
		proof->recent = copy_integers(fm_row_value(&rows.row, RECENT), context, &proof->num_recent);
		proof->items = copy_bytes(&rows.row, PROVED_ITEMS, context);
	}
	fm_rows_end(&rows);
	return found;
}
