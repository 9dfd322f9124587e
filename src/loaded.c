/*
 * A model version in memory, ready to serve: read from the model's tables once a backend, then kept.
 *
 * A version never changes, so there is nothing to invalidate: an entry is found by (matrix table,
 * stamp), which the caller has just looked up under its own snapshot; rollback, savepoints and old
 * snapshots are right by construction. Memory: each entry has a context of its own below
 * TopMemoryContext, made complete before it is hung there. At most MAX_LOADED entries are kept, one a
 * model where no call is using more; the least recently used one that no call is using goes first.
 * Locking: none but the queries' own.
 */
#include "loaded.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/solver.h"
#include "host_pg.h"
#include "matrix.h"
#include "realarray.h"
#include "sql.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define MAX_LOADED 8
#define ROWS_PER_FETCH 10000

static FmLoaded *loaded_models[MAX_LOADED];
static uint64 use_counter = 0;

static void
corrupted(const FmModel *model, const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("version %d of model \"%s\" is damaged: %s", model->version, model->name,
						   problem),
					errhint("Train the model again.")));
}

static void
read_version_row(const FmModel *model, bool read_only, FmLoaded *loaded)
{
	const Oid columns[] = {INT4OID, FLOAT8OID, FLOAT4OID, FLOAT4OID, FLOAT8OID};
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(model->version)};

	fm_spi_execute(psprintf("SELECT num_factors, b, rating_min, rating_max, rating_mean FROM %s "
							"WHERE version = $1",
							fm_relation_sql(model->version_table)),
				   1, types, values, NULL, read_only);
	fm_spi_expect(columns, lengthof(columns));
	if (SPI_processed != 1)
		corrupted(model, "its row in the version table is missing");
	loaded->num_factors = DatumGetInt32(fm_spi_value_not_null(0, 1));
	loaded->b = DatumGetFloat8(fm_spi_value_not_null(0, 2));
	loaded->rating_min = DatumGetFloat4(fm_spi_value_not_null(0, 3));
	loaded->rating_max = DatumGetFloat4(fm_spi_value_not_null(0, 4));
	loaded->rating_mean = DatumGetFloat8(fm_spi_value_not_null(0, 5));
	if (loaded->num_factors < FM_MIN_FACTORS || loaded->num_factors > FM_MAX_FACTORS ||
		!isfinite(loaded->b))
		corrupted(model, "its row in the version table is out of range");
	SPI_freetuptable(SPI_tuptable);
}

static void
count_items(const FmModel *model, bool read_only, FmLoaded *loaded)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(model->version)};
	int64 count;

	fm_spi_execute(psprintf("SELECT count(*) FROM %s WHERE version = $1",
							fm_relation_sql(model->item_table)),
				   1, types, values, NULL, read_only);
	count = DatumGetInt64(fm_spi_value_not_null(0, 1));
	if (count < 1 || count > PG_INT32_MAX)
		corrupted(model, "it has no items");
	loaded->num_items = (int32) count;
	SPI_freetuptable(SPI_tuptable);
}

/* Open a cursor over one version's rows. */
static Portal
open_version_cursor(const FmModel *model, bool read_only, const char *columns, Oid table,
					const char *order)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(model->version)};

	return SPI_cursor_open_with_args(NULL,
									 psprintf("SELECT %s FROM %s WHERE version = $1%s", columns,
											  fm_relation_sql(table), order),
									 1, types, values, NULL, read_only, 0);
}

static Datum
copy_id(const FmIdType *id_type, Datum id, MemoryContext context)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	Datum copy = id_type->typlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(id))
									   : datumCopy(id, id_type->typbyval, id_type->typlen);

	MemoryContextSwitchTo(previous);
	return copy;
}

static void
read_item_ids(const FmModel *model, bool read_only, FmLoaded *loaded)
{
	Portal cursor = open_version_cursor(model, read_only, "idx, item_id", model->item_table, "");
	const Oid columns[] = {INT4OID, loaded->item_type.type};
	Size count = loaded->num_items;
	Size num_read = 0;
	bool *filled = MemoryContextAllocExtended(CurrentMemoryContext, count,
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	loaded->item_ids = MemoryContextAllocHuge(loaded->context, count * sizeof(Datum));
	if (loaded->item_type.is_integer)
		loaded->item_keys = MemoryContextAllocHuge(loaded->context, count * sizeof(int64));
	for (SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH); SPI_processed > 0;
		 SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH))
	{
		fm_spi_expect(columns, 2);
		for (uint64 r = 0; r < SPI_processed; r++)
		{
			int32 idx = DatumGetInt32(fm_spi_value_not_null(r, 1));
			Datum id = fm_spi_value_not_null(r, 2);

			if (idx < 0 || idx >= loaded->num_items || filled[idx])
				corrupted(model, "the idx of its items do not run from 0");
			filled[idx] = true;
			num_read++;
			loaded->item_ids[idx] = copy_id(&loaded->item_type, id, loaded->context);
			if (loaded->item_keys != NULL)
				loaded->item_keys[idx] = fm_id_as_int64(&loaded->item_type, id);
		}
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(cursor);
	pfree(filled);
	if (num_read != count)
		corrupted(model, "its items cannot be counted on");
	for (int32 i = 1; loaded->item_keys != NULL && i < loaded->num_items; i++)
		if (loaded->item_keys[i - 1] >= loaded->item_keys[i])
			corrupted(model, "its items are not in the order of their ids");
}

/* Copy one block's vectors into the scan matrix, from item `first` on; returns how many. */
static int32
read_block(const FmModel *model, FmLoaded *loaded, int64 first, const FmMatrix *block)
{
	if (block->num_factors != loaded->num_factors)
		corrupted(model, "a block of its matrix has another number of factors");
	for (int32 i = 0; i < block->num_items; i++)
	{
		const float *row = fm_matrix_vector(block, i);

		if (block->ids[i] != first + i || block->ids[i] >= loaded->num_items)
			corrupted(model, "its matrix and its item table have different items");
		fm_scan_matrix_set(loaded->matrix, (int32) block->ids[i], row, row[loaded->num_factors]);
	}
	return block->num_items;
}

static void
read_matrix(const FmModel *model, bool read_only, FmLoaded *loaded)
{
	const FmHost *host = fm_pg_host(loaded->context);
	Size size = fm_scan_matrix_size(loaded->num_items, loaded->num_factors);
	/* the cast is none, unless the table's owner has given the column another type */
	char *column = psprintf("matrix::%s", fm_qualified_sql(model->extension_schema, "fm_matrix"));
	Portal cursor = open_version_cursor(model, read_only, column, model->matrix_table,
										" ORDER BY block");
	int64 items = 0;

	if (size == 0)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("model \"%s\" is too large for this machine", model->name)));
	loaded->matrix = fm_scan_matrix_init(host->alloc(host->ctx, size, 1), loaded->num_items,
										 loaded->num_factors);
	for (SPI_cursor_fetch(cursor, true, 1); SPI_processed > 0; SPI_cursor_fetch(cursor, true, 1))
	{
		items += read_block(model, loaded, items,
							fm_matrix_from_datum(fm_spi_value_not_null(0, 1)));
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(cursor);
	if (items != loaded->num_items)
		corrupted(model, "its matrix and its item table have different numbers of items");
	fm_scan_matrix_finish(loaded->matrix);
}

static void
free_loaded(FmLoaded *loaded)
{
	fm_plan_free(&loaded->user_plan);
	fm_plan_free(&loaded->item_plan);
	fm_plan_free(&loaded->seen_plan);
	MemoryContextDelete(loaded->context);
}

/* Forget other versions of a model that nobody is using: most are older, and gone for good. */
static void
free_versions(Oid matrix_table)
{
	for (int i = 0; i < MAX_LOADED; i++)
		if (loaded_models[i] != NULL && loaded_models[i]->matrix_table == matrix_table &&
			loaded_models[i]->pins == 0)
		{
			free_loaded(loaded_models[i]);
			loaded_models[i] = NULL;
		}
}

/* A slot for one more: an empty one, else the least recently used that nobody is using. */
static int
free_slot(void)
{
	int oldest = -1;

	for (int i = 0; i < MAX_LOADED; i++)
	{
		if (loaded_models[i] == NULL)
			return i;
		if (loaded_models[i]->pins == 0 &&
			(oldest < 0 || loaded_models[i]->last_used < loaded_models[oldest]->last_used))
			oldest = i;
	}
	if (oldest < 0)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("more than %d model versions are in use at once", MAX_LOADED)));
	free_loaded(loaded_models[oldest]);
	loaded_models[oldest] = NULL;
	return oldest;
}

static FmLoaded *
load_version(const FmModel *model, bool read_only)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx loaded model",
												  ALLOCSET_DEFAULT_SIZES);
	FmLoaded *loaded = MemoryContextAllocZero(context, sizeof(FmLoaded));
	MemoryContext previous = MemoryContextSwitchTo(context);
	int slot;

	loaded->context = context;
	loaded->matrix_table = model->matrix_table;
	loaded->stamp = model->stamp;
	loaded->version = model->version;
	/* the types' functions are called for as long as the entry lives */
	fm_id_type_of_column(model->user_table, fm_column_number(model->user_table, "user_id", "model"),
						 &loaded->user_type);
	fm_id_type_of_column(model->item_table, fm_column_number(model->item_table, "item_id", "model"),
						 &loaded->item_type);
	MemoryContextSwitchTo(previous);

	read_version_row(model, read_only, loaded);
	count_items(model, read_only, loaded);
	read_item_ids(model, read_only, loaded);
	read_matrix(model, read_only, loaded);
	slot = free_slot();
	MemoryContextSetParent(context, TopMemoryContext);
	loaded_models[slot] = loaded;
	return loaded;
}

static void
unpin(void *loaded)
{
	((FmLoaded *) loaded)->pins--;
}

static void
pin(FmLoaded *loaded, MemoryContext user)
{
	MemoryContextCallback *callback = MemoryContextAlloc(user, sizeof(MemoryContextCallback));

	callback->func = unpin;
	callback->arg = loaded;
	MemoryContextRegisterResetCallback(user, callback);
	loaded->pins++;
	loaded->last_used = ++use_counter;
}

FmLoaded *
fm_loaded_get(const FmModel *model, bool read_only, MemoryContext user)
{
	FmLoaded *loaded = NULL;

	for (int i = 0; i < MAX_LOADED && loaded == NULL; i++)
		if (loaded_models[i] != NULL && loaded_models[i]->matrix_table == model->matrix_table &&
			loaded_models[i]->stamp == model->stamp)
			loaded = loaded_models[i];
	if (loaded == NULL)
	{
		free_versions(model->matrix_table);
		loaded = load_version(model, read_only);
	}
	pin(loaded, user);
	return loaded;
}

int32
fm_loaded_check_idx(const FmLoaded *loaded, int32 idx)
{
	if (idx < 0 || idx >= loaded->num_items)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("the model's item table holds the idx %d, beyond its %d items", idx,
							   loaded->num_items),
						errhint("Train the model again.")));
	return idx;
}

int32
fm_loaded_find_item(const FmLoaded *loaded, int64 item_id)
{
	int32 low = 0;
	int32 high = loaded->num_items;

	while (low < high)
	{
		int32 middle = low + (high - low) / 2;

		if (loaded->item_keys[middle] < item_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < loaded->num_items && loaded->item_keys[low] == item_id ? low : -1;
}
