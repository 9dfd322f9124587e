/*
 * The registry's targets, written: which tables hold a model's lists. The rules of registry_sql.c hold.
 */
#include "registry/registry_models.h"

#include "catalog/pg_type.h"
#include "registry/registry_sql.h"
#include "pg/sql.h"
#include "utils/array.h"

void
fm_registry_save_target(Oid schema, const char *model, Oid target, int32 x, bool exclude_seen)
{
	FmArguments arguments = {0};

	fm_add_text(&arguments, model);
	fm_add_relation(&arguments, target);
	fm_add_integer(&arguments, x, false);
	fm_add_argument(&arguments, BOOLOID, BoolGetDatum(exclude_seen), false);
	/* what another model wrote there is gone */
	fm_registry_execute(schema, "fm_target", "DELETE FROM %s WHERE target = $2 AND model <> $1",
						&arguments);
	fm_registry_execute(schema, "fm_target",
						"INSERT INTO %s VALUES ($1, $2, $3, $4) ON CONFLICT (model, target) "
						"DO UPDATE SET x = excluded.x, exclude_seen = excluded.exclude_seen",
						&arguments);
}

void
fm_registry_delete_target(Oid schema, const char *model, Oid target)
{
	FmArguments arguments = {0};

	fm_add_text(&arguments, model);
	fm_add_relation(&arguments, target);
	fm_registry_execute(schema, "fm_target", "DELETE FROM %s WHERE model = $1 AND target = $2",
						&arguments);
}

char *
fm_registry_target_model(Oid schema, Oid target)
{
	FmArguments arguments = {0};

	fm_add_relation(&arguments, target);
	fm_registry_execute(schema, "fm_target", "SELECT model FROM %s WHERE target = $1", &arguments);
	return fm_registry_text();
}

FmTarget *
fm_registry_targets(Oid schema, const char *model, MemoryContext context, int *num_targets)
{
	FmArguments arguments = {0};
	FmTarget *targets;

	fm_add_text(&arguments, model);
	fm_registry_execute(
		schema, "fm_target",
		"SELECT target, x, exclude_seen FROM %s WHERE model = $1 ORDER BY target::oid", &arguments);
	*num_targets = (int) SPI_processed;
	targets = MemoryContextAllocZero(context, (SPI_processed + 1) * sizeof(FmTarget));
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		targets[r].table = DatumGetObjectId(fm_spi_value_not_null(r, 1));
		targets[r].x = DatumGetInt32(fm_spi_value_not_null(r, 2));
		targets[r].exclude_seen = DatumGetBool(fm_spi_value_not_null(r, 3));
	}
	return targets;
}

void
fm_registry_save_proof(Oid schema, const char *model, Oid target, const FmListsProof *proof)
{
	FmArguments arguments = {0};

	fm_add_text(&arguments, model);
	fm_add_relation(&arguments, target);
	fm_add_text(&arguments, proof->made_from);
	fm_add_bigint(&arguments, proof->before);
	fm_add_bigint(&arguments, proof->written_by);
	fm_add_bigint(&arguments, proof->seen_rows);
	fm_add_integers(&arguments, proof->recent, proof->num_recent);
	/* of a target that has been forgotten meanwhile there is nothing to remember */
	fm_registry_execute(
		schema, "fm_target_proof",
		psprintf("INSERT INTO %%s SELECT model, target, $3, $4, $5, $6, $7 FROM %s "
				 "WHERE model = $1 AND target = $2 FOR KEY SHARE "
				 "ON CONFLICT (model, target) DO UPDATE SET made_from = excluded.made_from, "
				 "before = excluded.before, written_by = excluded.written_by, "
				 "seen_rows = excluded.seen_rows, recent = excluded.recent",
				 fm_qualified_sql(schema, "fm_target")),
		&arguments);
}

/* An integer[] without NULL, in a context. */
static int32 *
copy_integers(Datum datum, MemoryContext context, int32 *count)
{
	ArrayType *array = DatumGetArrayTypeP(datum);
	int32 *values;

	*count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	values = MemoryContextAlloc(context, (*count + 1) * sizeof(int32));
	memcpy(values, ARR_DATA_PTR(array), *count * sizeof(int32));
	return values;
}

bool
fm_registry_find_proof(Oid schema, const char *model, Oid target, MemoryContext context,
					   FmListsProof *proof)
{
	FmArguments arguments = {0};

	fm_add_text(&arguments, model);
	fm_add_relation(&arguments, target);
	fm_registry_execute(schema, "fm_target_proof",
						"SELECT made_from, before, written_by, seen_rows, recent FROM %s "
						"WHERE model = $1 AND target = $2 AND made_from <> ''",
						&arguments);
	if (SPI_processed == 0)
		return false;
	strlcpy(proof->made_from, fm_registry_text(), sizeof(proof->made_from));
	proof->before = DatumGetInt64(fm_spi_value_not_null(0, 2));
	proof->written_by = DatumGetInt64(fm_spi_value_not_null(0, 3));
	proof->seen_rows = DatumGetInt64(fm_spi_value_not_null(0, 4));
	proof->recent = copy_integers(fm_spi_value_not_null(0, 5), context, &proof->num_recent);
	return true;
}
