/*
 * The best x items for every user of a model; and fm_top_x_all, which returns them as a set.
 *
 * Users come from the user table by cursor, in the order of their idx, and are scanned in blocks, together
 * with what they have seen: by this process alone, or by a team of several (batch_team.c). Memory: a block
 * or a few, what the seen items take (seen_all.c), and one context per user, reset after his list is handed
 * over.
 */
#include "batch/batch.h"

#include "batch/batch_team.h"
#include "catalog/pg_type.h"
#include "pg/real_array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_top_x_all);

#define USERS_PER_FETCH 1000

struct FmUserWalk
{
	const FmLoaded *loaded;
	Portal cursor;
	SPITupleTable *rows;
	uint64 num_rows;
	uint64 next;
	bool xmins;
	FmBatchUser user;
};

static void
fetch_users(FmUserWalk *walk)
{
	const Oid columns[] = {INT4OID, walk->loaded->user_type.type, FLOAT4OID, FLOAT4ARRAYOID,
						   XIDOID};

	SPI_freetuptable(walk->rows);
	SPI_cursor_fetch(walk->cursor, true, USERS_PER_FETCH);
	fm_spi_expect(columns, walk->xmins ? 5 : 4);
	walk->rows = SPI_tuptable;
	walk->num_rows = SPI_processed;
	walk->next = 0;
}

FmUserWalk *
fm_users_open(const FmServing *serving, bool xmins)
{
	const FmLoaded *loaded = serving->loaded;
	FmUserWalk *walk = palloc0(sizeof(FmUserWalk));
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(loaded->version)};
	char *sql = psprintf("SELECT idx, user_id, w, v%s FROM %s WHERE version = $1 ORDER BY idx",
						 xmins ? ", xmin" : "", fm_relation_sql(serving->model.user_table));
	int guc_nest_level = fm_sort_like_maintenance();

	walk->loaded = loaded;
	walk->xmins = xmins;
	walk->user.vector.query = palloc0((loaded->num_factors + 1) * sizeof(float));
	walk->user.vector.query[loaded->num_factors] = 1;
	walk->cursor = SPI_cursor_open_with_args(NULL, sql, 1, types, values, NULL, serving->read_only,
											 0);
	fetch_users(walk); /* which sorts */
	AtEOXact_GUC(false, guc_nest_level);
	return walk;
}

const FmBatchUser *
fm_users_next(FmUserWalk *walk)
{
	Datum values[5];
	bool nulls[5];

	if (walk->next == walk->num_rows && walk->num_rows > 0)
		fetch_users(walk);
	if (walk->num_rows == 0)
		return NULL;
	heap_deform_tuple(walk->rows->vals[walk->next++], walk->rows->tupdesc, values, nulls);
	if (nulls[0] || nulls[1] || nulls[2] || nulls[3])
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a row of the model's user table contains NULL"),
						errhint("Train the model again.")));
	walk->user.idx = DatumGetInt32(values[0]);
	walk->user.id = values[1];
	walk->user.xmin = walk->xmins ? DatumGetTransactionId(values[4]) : InvalidTransactionId;
	walk->user.vector.base = walk->loaded->b + DatumGetFloat4(values[2]);
	fm_read_real_array(values[3], walk->loaded->num_factors, "a user's v", walk->user.vector.query);
	return &walk->user;
}

void
fm_users_close(FmUserWalk *walk)
{
	SPI_freetuptable(walk->rows);
	SPI_cursor_close(walk->cursor);
}

FmBlockUsers *
fm_block_users_create(const FmServing *serving, const FmBlockShape *shape, MemoryContext context)
{
	FmBlockUsers *users = MemoryContextAllocZero(context, sizeof(FmBlockUsers));

	users->id_type = &serving->loaded->user_type;
	users->ids = AllocSetContextCreate(context, "fmtopx ids of a block", ALLOCSET_DEFAULT_SIZES);
	users->users = MemoryContextAlloc(context, shape->max_users * sizeof(FmBatchUser));
	return users;
}

static void
fill_seeds(int32 *seeds, int32 length, const FmBatchUser *user, const FmListReceiver *receiver)
{
	int32 count = 0;
	const int32 *known = receiver->seeds == NULL ? NULL
												 : receiver->seeds(receiver->state, user, &count);

	for (int32 i = 0; i < length; i++)
		seeds[i] = i < count ? known[i] : -1;
}

bool
fm_block_fill(const FmBlock *block, const FmBlockShape *shape, FmBlockUsers *users,
			  FmUserWalk *walk, const FmListReceiver *receiver)
{
	Size length = shape->num_factors + 1;
	const FmBatchUser *user;
	int32 count = 0;

	MemoryContextReset(users->ids);
	while (count < shape->max_users && (user = fm_users_next(walk)) != NULL)
	{
		FmBatchUser *kept = &users->users[count];

		if (receiver->current != NULL && receiver->current(receiver->state, user))
			continue;
		*kept = *user;
		kept->id = fm_id_copy(users->id_type, user->id, users->ids);
		kept->vector.query = block->queries + count * length;
		memcpy(kept->vector.query, user->vector.query, length * sizeof(float));
		fill_seeds(block->seeds + (Size) count * shape->length, shape->length, user, receiver);
		block->idx[count++] = user->idx;
	}
	*block->count = count;
	return count > 0;
}

void
fm_block_hand_over(const FmBlock *block, const FmBlockShape *shape, const FmBlockUsers *users,
				   const FmListReceiver *receiver, MemoryContext per_user)
{
	MemoryContext previous = MemoryContextSwitchTo(per_user);

	for (int32 i = 0; i < *block->count; i++)
	{
		receiver->put(receiver->state, &users->users[i], block->hits + (Size) i * shape->length,
					  block->counts[i]);
		MemoryContextReset(per_user);
	}
	MemoryContextSwitchTo(previous);
}

static bool
begin(const FmListReceiver *receiver)
{
	return receiver->begin == NULL || receiver->begin(receiver->state);
}

/* One block after the other, in this process. */
static bool
batch_alone(const FmServing *serving, int32 x, bool exclude_seen, const FmListReceiver *receiver)
{
	const FmLoaded *loaded = serving->loaded;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext per_user = AllocSetContextCreate(context, "fmtopx list of one user",
												   ALLOCSET_DEFAULT_SIZES);
	FmBlockShape shape = fm_block_shape(loaded, x);
	FmBlock block = fm_block_at(&shape, MemoryContextAllocHuge(context, fm_block_size(&shape)));
	FmBlockUsers *users = fm_block_users_create(serving, &shape, context);
	FmSeenStream *seen;
	FmBlockScanner *scanner;
	FmUserWalk *walk;

	if (!begin(receiver))
		return false;
	seen = exclude_seen ? fm_seen_open(serving) : NULL;
	scanner = fm_scanner_create(&shape, loaded->matrix, seen, context);
	walk = fm_users_open(serving, receiver->current != NULL);
	while (fm_block_fill(&block, &shape, users, walk, receiver))
	{
		fm_scanner_run(scanner, &block);
		fm_block_hand_over(&block, &shape, users, receiver, per_user);
	}
	fm_users_close(walk);
	if (seen != NULL)
		fm_seen_close(seen);
	return true;
}

bool
fm_batch_top_x(const FmServing *serving, int32 x, bool exclude_seen, const FmListReceiver *receiver)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx batch",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	int workers;
	bool done;

	if (receiver->check != NULL)
		receiver->check->counted = false;
	exclude_seen = exclude_seen && fm_knows_seen(serving);
	workers = fm_batch_workers(serving, exclude_seen);
	done = (workers > 0 && fm_batch_in_parallel(serving, workers, x, exclude_seen, receiver)) ||
		   batch_alone(serving, x, exclude_seen, receiver);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	return done;
}

typedef struct AllRows
{
	FmServing *serving;
	Datum *item_texts; /* by idx */
	ReturnSetInfo *result;
} AllRows;

/* FmListCallback: one row of fm_top_x_all an item. */
static void
put_text_rows(void *state, const FmBatchUser *user, const FmHit *hits, int32 count)
{
	AllRows *rows = state;
	FmLoaded *loaded = rows->serving->loaded;
	bool nulls[4] = {false};
	Datum user_id = CStringGetTextDatum(fm_id_text(&loaded->user_type, user->id));

	for (int32 r = 0; r < count; r++)
	{
		Datum values[] = {user_id, Int32GetDatum(r + 1), rows->item_texts[hits[r].item],
						  Float4GetDatum(
							  (float) fm_serve_score(loaded, user->vector.base + hits[r].score))};

		tuplestore_putvalues(rows->result->setResult, rows->result->setDesc, values, nulls);
	}
}

Datum
fm_top_x_all(PG_FUNCTION_ARGS)
{
	FmServing serving;
	AllRows rows = {&serving, NULL, (ReturnSetInfo *) fcinfo->resultinfo};
	MemoryContext context = CurrentMemoryContext;
	int32 x = fm_x_argument(fcinfo, 0);
	int32 num_items;

	fm_require_argument(fcinfo, 2, "exclude_seen");
	fm_init_materialized_srf(fcinfo);
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), FM_IDS_TEXT,
				   context);
	num_items = serving.loaded->num_items;
	rows.item_texts = MemoryContextAllocHuge(CurrentMemoryContext, num_items * sizeof(Datum));
	for (int32 item = 0; item < num_items; item++)
		rows.item_texts[item] = fm_serve_item_out(&serving, item);
	(void) fm_batch_top_x(&serving, x, PG_GETARG_BOOL(2), &(FmListReceiver){&rows, put_text_rows});
	fm_serve_end(&serving);
	return (Datum) 0;
}
