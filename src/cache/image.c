/*
 * A version of a model as one flat piece of memory: read from the model's tables.
 *
 * The ids are read first, into memory of this backend, since only then is the size of the whole known; the
 * matrix is read straight into its place. What the tables hold is checked, as their owner may have changed
 * it. Memory: scratch in a context of its own; the image where the caller wants it. Locking: the queries' own.
 */
#include "cache/image.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/layout.h"
#include "core/model/parameters.h"
#include "matrix/matrix.h"
#include "pg/real_array.h"
#include "pg/sql.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#define ROWS_PER_FETCH 10000

/* A reading under way. */
typedef struct Reading
{
	const FmModel *model;
	const FmIdType *item_type;
	bool read_only;
	FmImage head; /* what becomes the start of the image */
	float *user_prior;
	uint64 *ids; /* by idx: integers, or Datums */
	Size value_bytes;
} Reading;

static Size
prior_length(const FmImage *head)
{
	Size gram = head->is_ranking ? fm_all_pairs_length(head->num_factors) : 0;

	return head->num_factors + 1 + fm_prior_root_length(head->num_factors) + gram;
}

static void
read_version_row(Reading *reading)
{
	const FmModel *model = reading->model;
	FmImage *head = &reading->head;
	const Oid columns[] = {INT4OID,		   FLOAT8OID,	   FLOAT4OID, FLOAT4OID,
						   FLOAT8OID,	   TEXTOID,		   FLOAT8OID, FLOAT8OID,
						   FLOAT4ARRAYOID, FLOAT4ARRAYOID, FLOAT8OID, FLOAT4ARRAYOID};
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(model->version)};
	FmTask task;

	fm_spi_execute(psprintf("SELECT num_factors, b, rating_min, rating_max, rating_mean, task, "
							"score_variance, noise_variance, user_mean, user_root, "
							"unobserved_weight, item_gram FROM %s WHERE version = $1",
							fm_relation_sql(model->version_table)),
				   1, types, values, NULL, reading->read_only);
	fm_spi_expect(columns, lengthof(columns));
	if (SPI_processed != 1)
		fm_model_damaged(model, "its row in the version table is missing");
	head->version = model->version;
	head->num_factors = DatumGetInt32(fm_spi_value_not_null(0, 1));
	head->b = DatumGetFloat8(fm_spi_value_not_null(0, 2));
	head->rating_min = DatumGetFloat4(fm_spi_value_not_null(0, 3));
	head->rating_max = DatumGetFloat4(fm_spi_value_not_null(0, 4));
	head->rating_mean = DatumGetFloat8(fm_spi_value_not_null(0, 5));
	if (!fm_find_task(TextDatumGetCString(fm_spi_value_not_null(0, 6)), &task))
		fm_model_damaged(model, "its row in the version table is out of range");
	head->is_classification = fm_is_classification(task);
	head->is_ranking = fm_is_ranking(task);
	head->score_variance = DatumGetFloat8(fm_spi_value_not_null(0, 7));
	head->noise_variance = DatumGetFloat8(fm_spi_value_not_null(0, 8));
	if (head->num_factors < FM_MIN_FACTORS || head->num_factors > FM_MAX_FACTORS ||
		!isfinite(head->b) || !isfinite(head->score_variance) || head->score_variance < 0 ||
		!isfinite(head->noise_variance) || head->noise_variance <= 0)
		fm_model_damaged(model, "its row in the version table is out of range");
	reading->user_prior = palloc(prior_length(head) * sizeof(float));
	fm_read_real_array(fm_spi_value_not_null(0, 9), head->num_factors + 1, "a version's user_mean",
					   reading->user_prior);
	fm_read_real_array(fm_spi_value_not_null(0, 10), (int) fm_prior_root_length(head->num_factors),
					   "a version's user_root", reading->user_prior + head->num_factors + 1);
	head->unobserved_weight = DatumGetFloat8(fm_spi_value_not_null(0, 11));
	if (!isfinite(head->unobserved_weight) || head->unobserved_weight < 0)
		fm_model_damaged(model, "its row in the version table is out of range");
	if (head->is_ranking)
		fm_read_real_array(fm_spi_value_not_null(0, 12),
						   (int) fm_all_pairs_length(head->num_factors), "a version's item_gram",
						   reading->user_prior + head->num_factors + 1 +
							   fm_prior_root_length(head->num_factors));
	SPI_freetuptable(SPI_tuptable);
}

/* Of an attached model, a part may not have arrived yet. */
static void
check_arrived(const Reading *reading, const char *what, Oid table)
{
	const FmModel *model = reading->model;
	const Oid columns[] = {INT8OID, INT4OID};
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(model->version)};
	int64 count;
	int32 expected;

	if (!model->attached)
		return;
	fm_spi_execute(psprintf("SELECT (SELECT count(*) FROM %s WHERE version = $1), %s FROM %s "
							"WHERE version = $1",
							fm_relation_sql(table), what, fm_relation_sql(model->version_table)),
				   1, types, values, NULL, reading->read_only);
	fm_spi_expect(columns, 2);
	count = DatumGetInt64(fm_spi_value_not_null(0, 1));
	expected = DatumGetInt32(fm_spi_value_not_null(0, 2));
	if (count != expected)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("version %d of model \"%s\" is not complete: it has %lld of %d %s",
						model->version, model->name, (long long) count, expected, what),
				 errhint("All four tables must be in one subscription, and it must have copied "
						 "them.")));
	SPI_freetuptable(SPI_tuptable);
}

static void
count_items(Reading *reading)
{
	const FmModel *model = reading->model;
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(model->version)};
	int64 count;

	fm_spi_execute(psprintf("SELECT count(*) FROM %s WHERE version = $1",
							fm_relation_sql(model->item_table)),
				   1, types, values, NULL, reading->read_only);
	count = DatumGetInt64(fm_spi_value_not_null(0, 1));
	if (count < 1 || count > PG_INT32_MAX)
		fm_model_damaged(model, "it has no items");
	reading->head.num_items = (int32) count;
	SPI_freetuptable(SPI_tuptable);
}

/* Open a cursor over one version's rows. */
static Portal
open_version_cursor(const Reading *reading, const char *columns, Oid table, const char *order)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(reading->model->version)};

	return SPI_cursor_open_with_args(NULL,
									 psprintf("SELECT %s FROM %s WHERE version = $1%s", columns,
											  fm_relation_sql(table), order),
									 1, types, values, NULL, reading->read_only, 0);
}

/* An id as a number: itself, or its Datum; what is by reference is copied, flat. */
static uint64
keep_id(Reading *reading, Datum id, MemoryContext context)
{
	const FmIdType *type = reading->item_type;
	MemoryContext previous;

	if (type->is_integer)
		return (uint64) fm_id_as_int64(type, id);
	if (type->typbyval)
		return id;
	previous = MemoryContextSwitchTo(context);
	id = type->typlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(id))
							: datumCopy(id, false, type->typlen);
	MemoryContextSwitchTo(previous);
	reading->value_bytes = add_size(reading->value_bytes,
									MAXALIGN(datumGetSize(id, false, type->typlen)));
	return id;
}

static void
read_ids(Reading *reading, MemoryContext context)
{
	const FmModel *model = reading->model;
	Portal cursor = open_version_cursor(reading, "idx, item_id", model->item_table, "");
	const Oid columns[] = {INT4OID, reading->item_type->type};
	Size count = reading->head.num_items;
	Size num_read = 0;
	bool *filled = MemoryContextAllocExtended(context, count, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	reading->ids = MemoryContextAllocHuge(context, count * sizeof(uint64));
	for (SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH); SPI_processed > 0;
		 SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH))
	{
		fm_spi_expect(columns, 2);
		for (uint64 r = 0; r < SPI_processed; r++)
		{
			int32 idx = DatumGetInt32(fm_spi_value_not_null(r, 1));
			Datum id = fm_spi_value_not_null(r, 2);

			if (idx < 0 || idx >= count || filled[idx])
				fm_model_damaged(model, "the idx of its items do not run from 0");
			filled[idx] = true;
			num_read++;
			reading->ids[idx] = keep_id(reading, id, context);
		}
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(cursor);
	if (num_read != count)
		fm_model_damaged(model, "its items cannot be counted on");
	for (Size i = 1; reading->item_type->is_integer && i < count; i++)
		if ((int64) reading->ids[i - 1] >= (int64) reading->ids[i])
			fm_model_damaged(model, "its items are not in the order of their ids");
}

/* Decide where everything stands. */
static void
lay_out(Reading *reading)
{
	FmImage *head = &reading->head;
	Size count = head->num_items;
	Size matrix_size = fm_scan_matrix_size(head->num_items, head->num_factors);
	FmLayout layout = {0};

	(void) fm_layout_add(&layout, 1, sizeof(FmImage));
	head->ids = fm_layout_add(&layout, count, sizeof(uint64));
	if (head->integer_ids)
	{
		uint64 range = reading->ids[count - 1] - reading->ids[0];

		while (range >> head->shift >= 2 * count)
			head->shift++;
		head->num_buckets = (int64) (range >> head->shift) + 1;
		head->buckets = fm_layout_add(&layout, head->num_buckets + 1, sizeof(int32));
	}
	else if (!head->byval_ids)
		head->values = fm_layout_add(&layout, 1, reading->value_bytes);
	head->user_prior = fm_layout_add(&layout, prior_length(head), sizeof(float));
	head->matrix = fm_layout_add(&layout, 1, matrix_size);
	if (matrix_size == 0 || layout.overflows)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("model \"%s\" is too large for this machine", reading->model->name)));
	head->size = layout.bytes;
}

static void
fill_buckets(FmImage *image)
{
	const uint64 *ids = fm_image_at(image, image->ids);
	int32 *buckets = (int32 *) ((char *) image + image->buckets);
	int64 next = 0;

	for (int32 item = 0; item < image->num_items; item++)
	{
		int64 bucket = (int64) ((ids[item] - ids[0]) >> image->shift);

		while (next <= bucket)
			buckets[next++] = item;
	}
	while (next <= image->num_buckets)
		buckets[next++] = image->num_items;
}

static void
fill_ids(const Reading *reading, FmImage *image)
{
	uint64 *ids = (uint64 *) ((char *) image + image->ids);
	Size offset = image->values;

	memcpy(ids, reading->ids, image->num_items * sizeof(uint64));
	if (image->integer_ids)
		fill_buckets(image);
	else if (!image->byval_ids)
		for (int32 item = 0; item < image->num_items; item++)
		{
			Datum value = (Datum) reading->ids[item];
			Size size = datumGetSize(value, false, reading->item_type->typlen);

			memcpy((char *) image + offset, DatumGetPointer(value), size);
			ids[item] = offset;
			offset += MAXALIGN(size);
		}
}

/* Copy one block's vectors into the scan matrix, from item `first` on; returns how many. */
static int32
read_block(const Reading *reading, FmScanMatrix *matrix, int64 first, const FmMatrix *block)
{
	const FmImage *head = &reading->head;

	if (block->num_factors != head->num_factors)
		fm_model_damaged(reading->model, "a block of its matrix has another number of factors");
	for (int32 i = 0; i < block->num_items; i++)
	{
		const float *row = fm_matrix_vector(block, i);

		if (block->ids[i] != first + i || block->ids[i] >= head->num_items)
			fm_model_damaged(reading->model, "its matrix and its item table have different items");
		fm_scan_matrix_set(matrix, (int32) block->ids[i], row, row[head->num_factors]);
	}
	return block->num_items;
}

static void
read_matrix(const Reading *reading, void *memory)
{
	const FmModel *model = reading->model;
	FmScanMatrix *matrix = fm_scan_matrix_init(memory, reading->head.num_items,
											   reading->head.num_factors);
	/* the cast is none, unless the table's owner has given the column another type */
	char *column = psprintf("matrix::%s", fm_qualified_sql(model->extension_schema, "fm_matrix"));
	Portal cursor = open_version_cursor(reading, column, model->matrix_table, " ORDER BY block");
	int64 items = 0;

	for (SPI_cursor_fetch(cursor, true, 1); SPI_processed > 0; SPI_cursor_fetch(cursor, true, 1))
	{
		items += read_block(reading, matrix, items,
							fm_matrix_from_datum(fm_spi_value_not_null(0, 1)));
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(cursor);
	if (items != reading->head.num_items)
		fm_model_damaged(model, "its matrix and its item table have different numbers of items");
	fm_scan_matrix_finish(matrix);
}

FmImage *
fm_image_read(const FmModel *model, const FmIdType *user_type, const FmIdType *item_type,
			  bool read_only, FmImageAlloc alloc, void *ctx)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "fmtopx item ids",
												  ALLOCSET_DEFAULT_SIZES);
	Reading reading = {.model = model, .item_type = item_type, .read_only = read_only};
	FmImage *image;

	reading.head.user_type = user_type->type;
	reading.head.item_type = item_type->type;
	reading.head.integer_ids = item_type->is_integer;
	reading.head.byval_ids = item_type->typbyval;
	read_version_row(&reading);
	check_arrived(&reading, "users", model->user_table);
	check_arrived(&reading, "items", model->item_table);
	count_items(&reading);
	read_ids(&reading, scratch);
	lay_out(&reading);
	image = alloc(ctx, reading.head.size);
	*image = reading.head;
	fill_ids(&reading, image);
	memcpy((char *) image + image->user_prior, reading.user_prior,
		   prior_length(image) * sizeof(float));
	read_matrix(&reading, (char *) image + image->matrix);
	MemoryContextDelete(scratch);
	return image;
}

Datum
fm_image_item_id(const FmImage *image, const FmIdType *item_type, int32 item)
{
	uint64 id = ((const uint64 *) fm_image_at(image, image->ids))[item];
	Datum value;

	if (image->integer_ids)
		(void) fm_id_from_int64(item_type, (int64) id, &value);
	else if (image->byval_ids)
		value = (Datum) id;
	else
		value = PointerGetDatum(fm_image_at(image, (Size) id));
	return value;
}
