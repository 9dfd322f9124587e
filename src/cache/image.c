/*
 * An image is read from the model's tables.
 *
 * The ids are read first, into memory of this backend, because the size of the image depends on
 * them. The matrix is then read straight into its place. The owner of the tables may have changed
 * them, so everything is checked. Memory: scratch in a context of its own; the image where the
 * caller wants it. Locking: that of the queries.
 */
#include "cache/image.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/layout.h"
#include "core/model/all_pairs.h"
#include "matrix/matrix.h"
#include "pg/host_pg.h"
#include "pg/sql.h"
#include "pg/sql_rows.h"
#include "registry/definition.h"
#include "storage/shmem.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#define ROWS_PER_FETCH 10000

/* The state of fm_image_read. */
typedef struct Reading
{
	const FmModel *model;
	const FmIdType *item_type;
	bool read_only;
	FmImage head; /* becomes the start of the image */
	FmVersionArrays arrays;
	uint64 *ids; /* by idx: integers, or Datums */
	Size value_bytes;
} Reading;

/* Count the version's rows in a table. */
static int64
count_rows(const Reading *reading, Oid table)
{
	FmSqlParameters parameters = {0};
	int64 count;

	fm_add_integer(&parameters, reading->model->version);
	fm_sql_run(psprintf("SELECT count(*) FROM %s WHERE version = $1", fm_relation_sql(table)),
			   &parameters, reading->read_only);
	count = DatumGetInt64(fm_sql_value(INT8OID));
	SPI_freetuptable(SPI_tuptable);
	return count;
}

/* Raise an error if a part of an attached model has not arrived yet. */
static void
check_arrived(const Reading *reading, const char *what, int64 count, int32 expected)
{
	const FmModel *model = reading->model;

	if (count != expected)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("version %d of model \"%s\" is not complete: it has %lld of %d %s",
						model->version, model->name, (long long) count, expected, what),
				 errhint("Put all four tables into one subscription, and wait until it has copied "
						 "them.")));
}

static void
count_entities(Reading *reading)
{
	const FmModel *model = reading->model;
	FmVersion *version = &reading->head.version;
	int64 items;

	if (model->attached)
		check_arrived(reading, "users", count_rows(reading, model->user_table), version->num_users);
	items = count_rows(reading, model->item_table);
	if (model->attached)
		check_arrived(reading, "items", items, version->num_items);
	if (items < 1 || items > PG_INT32_MAX)
		fm_model_damaged(model, "it has no items");
	version->num_items = (int32) items; /* the table counts, whatever the version's row says */
}

/* Open a cursor over the version's rows in a table. */
static Portal
open_version_cursor(const Reading *reading, const char *columns, Oid table, const char *order)
{
	FmSqlParameters parameters = {0};

	fm_add_integer(&parameters, reading->model->version);
	return fm_sql_open(psprintf("SELECT %s FROM %s WHERE version = $1%s", columns,
								fm_relation_sql(table), order),
					   &parameters, reading->read_only);
}

/*
 * Return an id as a number: an integer as it is, else its Datum. A value by reference is copied,
 * flat.
 */
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

enum
{
	ITEM_IDX,
	ITEM_ID,
	NUM_ITEM_COLUMNS
};

/*
 * Keep the ids of the rows that have been fetched, and mark their idx as filled; returns how many.
 */
static Size
keep_ids(Reading *reading, const FmColumn *columns, bool *filled, MemoryContext context)
{
	FmRows rows;

	fm_rows_begin(&rows, columns, NUM_ITEM_COLUMNS);
	while (fm_rows_next(&rows))
	{
		int32 idx = fm_row_integer(&rows.row, ITEM_IDX);
		Datum id = fm_row_value(&rows.row, ITEM_ID);

		if (idx < 0 || idx >= reading->head.version.num_items || filled[idx])
			fm_model_damaged(reading->model, "the idx of its items do not run from 0 without gaps");
		filled[idx] = true;
		reading->ids[idx] = keep_id(reading, id, context);
	}
	fm_rows_end(&rows);
	return rows.count;
}

static void
read_ids(Reading *reading, MemoryContext context)
{
	const FmModel *model = reading->model;
	const FmColumn columns[] = {
		[ITEM_IDX] = {"idx", INT4OID}, [ITEM_ID] = {"item_id", reading->item_type->type}};
	Portal cursor = open_version_cursor(reading, fm_select_list(columns, NUM_ITEM_COLUMNS),
										model->item_table, "");
	Size count = reading->head.version.num_items;
	Size num_read = 0;
	bool *filled = MemoryContextAllocExtended(context, count, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	reading->ids = MemoryContextAllocHuge(context, count * sizeof(uint64));
	for (SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH); SPI_processed > 0;
		 SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH))
	{
		num_read += keep_ids(reading, columns, filled, context);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(cursor);
	if (num_read != count)
		fm_model_damaged(model, "the number of its items has changed");
	for (Size i = 1; reading->item_type->is_integer && i < count; i++)
		if ((int64) reading->ids[i - 1] >= (int64) reading->ids[i])
			fm_model_damaged(model, "its items are not in the order of their ids");
}

/* Return the number of factors that the matrix must have. */
static int
list_factors(const Reading *reading)
{
	FmListShape shape = fm_version_list_shape(&reading->head.version);

	return fm_list_factors(&shape);
}

/* Set the offset of each part of the image, and its size. */
static void
lay_out(Reading *reading)
{
	FmImage *head = &reading->head;
	Size count = head->version.num_items;
	int k = head->version.num_factors, interest = head->version.interest_factors;
	Size matrix_size = fm_scan_matrix_size(head->version.num_items, list_factors(reading));
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
	head->user_mean = fm_layout_add(&layout, k + 1, sizeof(float));
	head->user_root = fm_layout_add(&layout, fm_prior_root_length(k), sizeof(float));
	if (interest > 0)
	{
		head->interest_mean = fm_layout_add(&layout, interest + 1, sizeof(float));
		head->interest_root = fm_layout_add(&layout, fm_prior_root_length(interest), sizeof(float));
	}
	if (interest > 0 || fm_is_ranking(head->version.task))
	{
		int of_pairs = interest > 0 ? interest : k;

		head->item_gram = fm_layout_add(&layout, fm_all_pairs_length(of_pairs), sizeof(float));
		head->item_root = fm_layout_add(&layout, fm_prior_root_length(of_pairs), sizeof(double));
	}
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

	for (int32 item = 0; item < image->version.num_items; item++)
	{
		int64 bucket = (int64) ((ids[item] - ids[0]) >> image->shift);

		while (next <= bucket)
			buckets[next++] = item;
	}
	while (next <= image->num_buckets)
		buckets[next++] = image->version.num_items;
}

static void
fill_ids(const Reading *reading, FmImage *image)
{
	uint64 *ids = (uint64 *) ((char *) image + image->ids);
	Size offset = image->values;

	memcpy(ids, reading->ids, image->version.num_items * sizeof(uint64));
	if (image->integer_ids)
		fill_buckets(image);
	else if (!image->byval_ids)
		for (int32 item = 0; item < image->version.num_items; item++)
		{
			Datum value = (Datum) reading->ids[item];
			Size size = datumGetSize(value, false, reading->item_type->typlen);

			memcpy((char *) image + offset, DatumGetPointer(value), size);
			ids[item] = offset;
			offset += MAXALIGN(size);
		}
}

/* Copy the vectors of a block, which begins with item `first`, and return how many there are. */
static int32
read_block(const Reading *reading, FmScanMatrix *matrix, int64 first, const FmMatrix *block)
{
	const FmImage *head = &reading->head;
	int factors = fm_scan_matrix_factors(matrix);

	if (block->num_factors != factors)
		fm_model_damaged(reading->model, "a block of its matrix has another number of factors");
	for (int32 i = 0; i < block->num_items; i++)
	{
		const float *row = fm_matrix_vector(block, i);

		if (block->ids[i] != first + i || block->ids[i] >= head->version.num_items)
			fm_model_damaged(reading->model, "its matrix and its item table have different items");
		fm_scan_matrix_set(matrix, (int32) block->ids[i], row, row[factors]);
	}
	return block->num_items;
}

static void
read_matrix(const Reading *reading, void *memory)
{
	const FmModel *model = reading->model;
	const FmVersion *version = &reading->head.version;
	FmScanMatrix *matrix = fm_scan_matrix_init(memory, version->num_items, list_factors(reading));
	/* the cast does nothing unless the table's owner has given the column another type */
	char *column = psprintf("matrix::%s", fm_qualified_sql(model->extension_schema, "fm_matrix"));
	Portal cursor = open_version_cursor(reading, column, model->matrix_table, " ORDER BY block");
	int64 items = 0;

	for (SPI_cursor_fetch(cursor, true, 1); SPI_processed > 0; SPI_cursor_fetch(cursor, true, 1))
	{
		Datum block = fm_sql_value(SPI_gettypeid(SPI_tuptable->tupdesc, 1));

		items += read_block(reading, matrix, items, fm_matrix_from_datum(block));
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(cursor);
	if (items != version->num_items)
		fm_model_damaged(model, "its matrix and its item table have different numbers of items");
	fm_scan_matrix_finish(matrix);
}

/* Copy an array into its place, unless there is none. */
static void
fill_array(FmImage *image, Size offset, const float *array, size_t length)
{
	if (array != NULL)
		memcpy((char *) image + offset, array, length * sizeof(float));
}

/* Fill in what folding in makes of all pairs, so that it need not do so for each user. */
static void
fill_root(const Reading *reading, FmImage *image)
{
	const FmHost *host = fm_pg_host(CurrentMemoryContext);
	bool is_two = image->version.interest_factors > 0;
	int k = is_two ? image->version.interest_factors : image->version.num_factors;
	FmAllPairs pairs = {image->version.unobserved_weight, reading->arrays.item_gram};
	const FmPrior *prior = is_two ? &reading->arrays.interest_user_prior
								  : &reading->arrays.user_prior;
	double noise = is_two ? image->version.interest_noise_variance : image->version.noise_variance;
	double *root;

	if (pairs.gram == NULL)
		return;
	root = fm_root_of_all_pairs(prior, k, noise, &pairs, host);
	memcpy((char *) image + image->item_root, root, fm_prior_root_length(k) * sizeof(double));
	host->release(host->ctx, root);
}

static void
fill_arrays(const Reading *reading, FmImage *image)
{
	const FmVersionArrays *arrays = &reading->arrays;
	int k = image->version.num_factors, interest = image->version.interest_factors;

	fill_array(image, image->user_mean, arrays->user_prior.mean, k + 1);
	fill_array(image, image->user_root, arrays->user_prior.root, fm_prior_root_length(k));
	fill_array(image, image->interest_mean, arrays->interest_user_prior.mean, interest + 1);
	fill_array(image, image->interest_root, arrays->interest_user_prior.root,
			   fm_prior_root_length(interest));
	fill_array(image, image->item_gram, arrays->item_gram,
			   fm_all_pairs_length(interest > 0 ? interest : k));
	fill_root(reading, image);
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
	fm_version_read(model, read_only, &reading.head.version, &reading.arrays);
	count_entities(&reading);
	read_ids(&reading, scratch);
	lay_out(&reading);
	image = alloc(ctx, reading.head.size);
	*image = reading.head;
	fill_ids(&reading, image);
	fill_arrays(&reading, image);
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
