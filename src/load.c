/*
 * Reading a ratings relation into memory: one pass by cursor, ids to dense indices on the way.
 *
 * The relation may be anything that can be selected from; who reads it is the caller's choice
 * (sql.h). Memory: the result is in the context that is current on entry; each batch of rows has one
 * of its own, so that what the id types' functions leave behind goes with it. Locking: AccessShareLock
 * by the query.
 */
#include "load.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "parser/parse_type.h"
#include "sql.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define ROWS_PER_FETCH 10000

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

static void
check_rating_column(Oid relation, const char *column)
{
	AttrNumber number = fm_column_number(relation, column, "rating_column");
	Oid type = get_atttype(relation, number);
	char category;
	bool preferred;

	get_type_category_preferred(getBaseType(type), &category, &preferred);
	if (category != TYPCATEGORY_NUMERIC || getBaseType(type) == OIDOID)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of relation \"%s\" is of type %s, not a number",
							   column, get_rel_name(relation), format_type_be(type)),
						errhint("Make a view of the relation that casts the column to real.")));
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
	check_rating_column(relation, definition->rating_column);
}

char *
fm_ratings_query(const FmDefinition *definition)
{
	return psprintf("SELECT %s, %s, %s::pg_catalog.float8 FROM %s",
					quote_identifier(definition->user_column),
					quote_identifier(definition->item_column),
					quote_identifier(definition->rating_column),
					fm_relation_sql(definition->ratings));
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

/* Hand over one batch; returns how many rows were skipped. */
static int64
read_batch(const FmDefinition *definition, FmRatingCallback callback, void *state)
{
	SPITupleTable *rows = SPI_tuptable;
	uint64 num_rows = SPI_processed;
	int64 skipped = 0;

	for (uint64 r = 0; r < num_rows; r++)
	{
		Datum values[3];
		bool nulls[3];
		double rating;

		heap_deform_tuple(rows->vals[r], rows->tupdesc, values, nulls);
		if (nulls[0] || nulls[1] || nulls[2])
		{
			skipped++;
			continue;
		}
		rating = DatumGetFloat8(values[2]);
		check_rating(definition, rating);
		callback(state, values[0], values[1], rating);
	}
	return skipped;
}

int64
fm_read_ratings(const FmDefinition *definition, const FmIdType *user_type,
				const FmIdType *item_type, bool read_only, FmRatingCallback callback, void *state)
{
	const Oid columns[] = {user_type->type, item_type->type, FLOAT8OID};
	MemoryContext batch = AllocSetContextCreate(CurrentMemoryContext, "fmtopx ratings batch",
												ALLOCSET_DEFAULT_SIZES);
	Portal cursor = SPI_cursor_open_with_args(NULL, fm_ratings_query(definition), 0, NULL, NULL,
											  NULL, read_only, 0);
	MemoryContext previous = MemoryContextSwitchTo(batch);
	int64 skipped = 0;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH);
		fm_spi_expect(columns, lengthof(columns));
		if (SPI_processed == 0)
			break;
		skipped += read_batch(definition, callback, state);
		SPI_freetuptable(SPI_tuptable);
		MemoryContextReset(batch);
	}
	SPI_freetuptable(SPI_tuptable);
	SPI_cursor_close(cursor);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(batch);
	return skipped;
}

typedef struct LoadState
{
	FmLoad *load;
	int64 capacity;
} LoadState;

/* FmRatingCallback: append a triple, its ids interned. */
static void
append_triple(void *state, Datum user, Datum item, double rating)
{
	LoadState *loading = state;
	FmLoad *load = loading->load;
	FmTriples *triples = &load->triples;

	if (triples->count == loading->capacity)
	{
		loading->capacity *= 2;
		triples->user = repalloc_huge(triples->user, loading->capacity * sizeof(int32));
		triples->item = repalloc_huge(triples->item, loading->capacity * sizeof(int32));
		triples->value = repalloc_huge(triples->value, loading->capacity * sizeof(float));
	}
	triples->user[triples->count] = fm_idmap_intern(load->users, user);
	triples->item[triples->count] = fm_idmap_intern(load->items, item);
	triples->value[triples->count++] = (float) rating;
	load->min = Min(load->min, (float) rating);
	load->max = Max(load->max, (float) rating);
}

/* Replace indices in order of appearance by ranks in order of the ids. */
static void
rank_indices(int32 *indices, int64 count, const int32 *order, int32 num_ids)
{
	int32 *rank = MemoryContextAllocHuge(CurrentMemoryContext, Max(num_ids, 1) * sizeof(int32));

	for (int32 r = 0; r < num_ids; r++)
		rank[order[r]] = r;
	for (int64 i = 0; i < count; i++)
		indices[i] = rank[indices[i]];
	pfree(rank);
}

static void
check_something_read(const FmDefinition *definition, const FmLoad *load)
{
	const char *relation = get_rel_name(definition->ratings);

	if (load->triples.count == 0 && load->skipped == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("relation \"%s\" has no rows to train on", relation)));
	if (load->triples.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("relation \"%s\" has no ratings to train on", relation),
				 errdetail("Each of its %lld rows has NULL in column \"%s\", \"%s\" or \"%s\".",
						   (long long) load->skipped, definition->user_column,
						   definition->item_column, definition->rating_column)));
	if (load->min == load->max)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("all %lld ratings of relation \"%s\" are %g: there is nothing to learn",
						(long long) load->triples.count, relation, load->min),
				 errhint("task => 'regression' needs ratings that differ.")));
}

void
fm_load_ratings(const FmDefinition *definition, FmLoad *load)
{
	LoadState state = {load, 65536};
	FmIdType user_type;
	FmIdType item_type;

	fm_check_ratings_relation(definition, &user_type, &item_type);
	memset(load, 0, sizeof(*load));
	load->users = fm_idmap_create(&user_type, CurrentMemoryContext);
	load->items = fm_idmap_create(&item_type, CurrentMemoryContext);
	load->triples.user = palloc(state.capacity * sizeof(int32));
	load->triples.item = palloc(state.capacity * sizeof(int32));
	load->triples.value = palloc(state.capacity * sizeof(float));
	load->min = INFINITY;
	load->max = -INFINITY;

	load->skipped = fm_read_ratings(definition, &user_type, &item_type, false, append_triple,
									&state);
	check_something_read(definition, load);

	load->user_order = fm_idmap_order(load->users);
	load->item_order = fm_idmap_order(load->items);
	rank_indices(load->triples.user, load->triples.count, load->user_order,
				 fm_idmap_count(load->users));
	rank_indices(load->triples.item, load->triples.count, load->item_order,
				 fm_idmap_count(load->items));
}
