/*
 * What every user has rated, read live from the ratings relation, and told user by user.
 *
 * The relation is read once, as it comes, into buckets of users (pairs.c). That takes an entry in
 * memory for every user and every pair; when it would exceed maintenance_work_mem, they are
 * dropped and the relation is read again, joined with the users and sorted by the executor, which
 * spills to disk as it sees fit. A batch with workers has its own way to fill the buckets
 * (seen_scan.c). Memory: a context of the stream.
 */
#include "batch/seen_all.h"

#include "batch/users.h"
#include "catalog/pg_type.h"
#include "core/bitset.h"
#include "serve/items.h"
#include "serve/seen.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define ROWS_PER_FETCH 10000

struct FmSeenStream
{
	const FmLoaded *loaded;
	MemoryContext context;
	FmPairs *pairs; /* NULL: the cursor */
	Portal cursor;
	SPITupleTable *rows; /* the batch at hand */
	uint64 num_rows;
	uint64 next;
};

/* The reading of all pairs: the ids that the model knows, and where pairs go. */
typedef struct Reading
{
	const FmServing *serving;
	MemoryContext context;
	FmIdMap *users; /* index: idx */
	FmIdMap *items;
	FmPairs *pairs;
	bool too_large;
} Reading;

static bool
has_room(MemoryContext context)
{
	return MemoryContextMemAllocated(context, true) / 1024 < maintenance_work_mem;
}

/* FmRowCallback: a user, in the order of idx. */
static bool
add_user(void *state, TupleTableSlot *row)
{
	Reading *reading = state;
	int32 idx = fm_idmap_count(reading->users);

	if (row->tts_isnull[0] || row->tts_isnull[1] || DatumGetInt32(row->tts_values[0]) != idx ||
		fm_idmap_intern(reading->users, row->tts_values[1]) != idx)
		fm_users_damaged(reading->serving);
	reading->too_large = idx % FM_PAIR_BUCKET_USERS == 0 && !has_room(reading->context);
	return !reading->too_large;
}

/*
 * FmRowCallback: a rating; of users and items that the model does not know there is nothing to
 * say.
 */
static bool
add_pair(void *state, TupleTableSlot *row)
{
	Reading *reading = state;
	int32 user;
	int32 item;

	if (row->tts_isnull[0] || row->tts_isnull[1])
		return true;
	user = fm_idmap_find(reading->users, row->tts_values[0]);
	item = fm_idmap_find(reading->items, row->tts_values[1]);
	return user < 0 || item < 0 || fm_pairs_add(reading->pairs, user, item);
}

static void
read_items(Reading *reading)
{
	const FmLoaded *loaded = reading->serving->loaded;

	for (int32 item = 0; item < loaded->version.num_items; item++)
		fm_idmap_intern(reading->items, fm_loaded_item_id(loaded, item));
	fm_idmap_seal(reading->items);
	reading->too_large = !has_room(reading->context);
}

static void
read_pairs(Reading *reading)
{
	const FmDefinition *definition = &reading->serving->model.definition;
	const FmLoaded *loaded = reading->serving->loaded;
	const Oid columns[] = {loaded->user_type.type, loaded->item_type.type};

	fm_spi_scan(psprintf("SELECT r.%s, r.%s FROM %s r", quote_identifier(definition->user_column),
						 quote_identifier(definition->item_column),
						 fm_relation_sql(definition->ratings)),
				0, NULL, NULL, reading->serving->read_only, columns, 2, add_pair, reading);
	fm_pairs_finish(reading->pairs);
}

FmPairs *
fm_seen_read(const FmServing *serving, MemoryContext context, FmPairsMaker make, void *make_state)
{
	const FmLoaded *loaded = serving->loaded;
	Reading reading = {serving, context};

	if (loaded->version.num_items > FM_PAIR_MAX_ITEMS)
		return NULL;
	reading.users = fm_idmap_create(&loaded->user_type, context);
	reading.items = fm_idmap_create(&loaded->item_type, context);
	read_items(&reading);
	if (!reading.too_large)
		fm_users_scan(serving, add_user, &reading);
	if (reading.too_large)
		return NULL;
	fm_idmap_seal(reading.users);
	reading.pairs = make(make_state, fm_idmap_count(reading.users), context);
	if (reading.pairs == NULL)
		return NULL;
	read_pairs(&reading);
	return fm_pairs_too_many(reading.pairs) ? NULL : reading.pairs;
}

/* FmPairsMaker */
static FmPairs *
make_local_pairs(void *state, int32 num_users, MemoryContext context)
{
	return fm_pairs_create(num_users, context);
}

static char *
sorted_query(const FmServing *serving)
{
	const FmLoaded *loaded = serving->loaded;
	const FmModel *model = &serving->model;
	char *user = psprintf("r.%s", quote_identifier(model->definition.user_column));
	char *item = psprintf("r.%s", quote_identifier(model->definition.item_column));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT u.idx, i.idx FROM %s r JOIN %s u ON u.version = $1 AND ",
					 fm_relation_sql(model->definition.ratings),
					 fm_relation_sql(model->user_table));
	fm_append_equality(&sql, "u.user_id", loaded->user_type.type, user);
	appendStringInfo(&sql, " JOIN %s i ON i.version = $1 AND ", fm_relation_sql(model->item_table));
	fm_append_equality(&sql, "i.item_id", loaded->item_type.type, item);
	appendStringInfoString(&sql, " ORDER BY u.idx");
	return sql.data;
}

static void
fetch_rows(FmSeenStream *stream)
{
	const Oid columns[] = {INT4OID, INT4OID};

	SPI_freetuptable(stream->rows);
	SPI_cursor_fetch(stream->cursor, true, ROWS_PER_FETCH);
	fm_spi_expect(columns, 2);
	stream->rows = SPI_tuptable;
	stream->num_rows = SPI_processed;
	stream->next = 0;
}

static void
add_from_cursor(FmSeenStream *stream, int32 user_idx, uint64 *set)
{
	while (stream->num_rows > 0)
	{
		for (; stream->next < stream->num_rows; stream->next++)
		{
			HeapTuple row = stream->rows->vals[stream->next];
			bool isnull;
			int32 user = DatumGetInt32(SPI_getbinval(row, stream->rows->tupdesc, 1, &isnull));
			int32 item;

			if (user > user_idx)
				return;
			if (user < user_idx)
				continue;
			item = fm_loaded_check_idx(stream->loaded,
									   DatumGetInt32(
										   SPI_getbinval(row, stream->rows->tupdesc, 2, &isnull)));
			fm_bitset_add(set, item);
		}
		fetch_rows(stream);
	}
}

FmSeenStream *
fm_seen_open(const FmServing *serving)
{
	FmSeenStream *stream = palloc0(sizeof(FmSeenStream));
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(serving->loaded->version.number)};

	stream->loaded = serving->loaded;
	stream->context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx seen items",
											ALLOCSET_DEFAULT_SIZES);
	if (!fm_knows_seen(serving))
		return stream;
	fm_check_ratings(serving);
	stream->pairs = fm_seen_read(serving, stream->context, make_local_pairs, NULL);
	if (stream->pairs != NULL)
		return stream;
	MemoryContextReset(stream->context);
	stream->cursor = SPI_cursor_open_with_args(NULL, sorted_query(serving), 1, types, values, NULL,
											   serving->read_only, 0);
	fetch_rows(stream);
	return stream;
}

FmSeenStream *
fm_seen_of_pairs(FmPairs *pairs)
{
	FmSeenStream *stream = palloc0(sizeof(FmSeenStream));

	stream->pairs = pairs;
	return stream;
}

void
fm_seen_add_next(FmSeenStream *stream, int32 user_idx, uint64 *set)
{
	if (stream->pairs != NULL)
		fm_pairs_add_to_set(stream->pairs, user_idx, set);
	else
		add_from_cursor(stream, user_idx, set);
}

void
fm_seen_add_users(FmSeenStream *stream, int32 first, int32 count, uint64 *sets, Size set_words)
{
	if (stream->pairs != NULL)
		fm_pairs_add_to_sets(stream->pairs, first, count, sets, set_words);
	else
		for (int32 i = 0; i < count; i++)
			fm_seen_add_next(stream, first + i, sets + i * set_words);
}

void
fm_seen_close(FmSeenStream *stream)
{
	if (stream->cursor != NULL)
	{
		SPI_freetuptable(stream->rows);
		SPI_cursor_close(stream->cursor);
	}
	if (stream->context != NULL)
		MemoryContextDelete(stream->context);
	pfree(stream);
}
