/*
 * Finding what fm_fold_in has to solve: the version's users and items beside the ratings as they
 * are now. A digest of its ratings tells whether an entity has changed (fm_digest_ratings).
 *
 * Locking: that of the queries. Memory: the current context, and the host for the sides.
 */
#include "operate/fold_changes.h"

#include "catalog/pg_type.h"
#include "pg/real_array.h"
#include "pg/sql.h"
#include "source/budget.h"
#include "source/ratings_columns.h"
#include "store/tables.h"

/* The columns of the tables; the last ones only if the version has them. */
enum
{
	KNOWN_ID,
	KNOWN_DIGEST,
	KNOWN_W,
	KNOWN_V,
	KNOWN_INTEREST_W,
	KNOWN_INTEREST_V,
	MAX_KNOWN = KNOWN_INTEREST_V + 2 /* and the popularity, last */
};

static void
grow(FmFoldingKnown *known)
{
	known->capacity = known->capacity > PG_INT32_MAX / 2 ? PG_INT32_MAX : 2 * known->capacity;
	for (int h = 0; h < known->num_heads; h++)
	{
		Size k = known->num_factors[h];

		known->w[h] = repalloc_huge(known->w[h], known->capacity * sizeof(float));
		known->v[h] = repalloc_huge(known->v[h], known->capacity * k * sizeof(float));
	}
	known->digest = repalloc_huge(known->digest, known->capacity * sizeof(int64));
	if (known->popularity != NULL)
		known->popularity = repalloc_huge(known->popularity, known->capacity * sizeof(float));
}

/* Return the number of the columns that are read; the popularity is the last, if it is read. */
static int
num_columns(const FmFoldingKnown *known)
{
	return KNOWN_W + 2 * known->num_heads + (known->popularity != NULL ? 1 : 0);
}

/* FmRowReader */
static bool
add_known(void *state, const FmRow *row)
{
	FmFoldingKnown *known = state;
	int columns = num_columns(known);

	for (int column = 0; column < columns; column++)
		if (fm_row_is_null(row, column))
			fm_model_damaged(known->model, "a row of a user or item contains NULL");
	if (known->count == known->capacity)
		grow(known);
	if (fm_idmap_intern(known->ids, fm_row_value(row, KNOWN_ID)) != known->count)
		fm_model_damaged(known->model, "it has a user or item twice");
	for (int h = 0; h < known->num_heads; h++)
	{
		int k = known->num_factors[h];

		known->w[h][known->count] = fm_row_real(row, KNOWN_W + 2 * h);
		fm_read_real_array(fm_row_value(row, KNOWN_V + 2 * h), k, "a v of the version",
						   known->v[h] + (Size) known->count * k);
	}
	known->digest[known->count] = fm_row_bigint(row, KNOWN_DIGEST);
	if (known->popularity != NULL)
		known->popularity[known->count] = fm_row_real(row, columns - 1);
	known->count++;
	CHECK_FOR_INTERRUPTS();
	return true;
}

/* Make room for the version's entities of one side. */
static void
begin_known(FmFolding *folding, int side)
{
	FmFoldingKnown *known = &folding->known[side];

	known->model = &folding->model;
	known->ids = side == FM_USERS ? folding->data.ratings->users : folding->data.ratings->items;
	known->num_heads = folding->num_heads;
	known->capacity = 1024;
	for (int h = 0; h < known->num_heads; h++)
	{
		known->num_factors[h] = folding->head[h].num_factors;
		known->w[h] = palloc(known->capacity * sizeof(float));
		known->v[h] = palloc((Size) known->capacity * known->num_factors[h] * sizeof(float));
	}
	known->digest = palloc(known->capacity * sizeof(int64));
	if (side == FM_ITEMS && folding->version.has_popularity)
		known->popularity = palloc(known->capacity * sizeof(float));
}

/* Read the version's entities of one side. Their ids become the first in the map. */
static void
read_known(FmFolding *folding, int side)
{
	const FmModel *model = &folding->model;
	FmFoldingKnown *known = &folding->known[side];
	FmColumn columns[MAX_KNOWN] = {[KNOWN_DIGEST] = {"digest", INT8OID},
								   [KNOWN_W] = {"w", FLOAT4OID},
								   [KNOWN_V] = {"v", FLOAT4ARRAYOID},
								   [KNOWN_INTEREST_W] = {"interest_w", FLOAT4OID},
								   [KNOWN_INTEREST_V] = {"interest_v", FLOAT4ARRAYOID}};
	FmSqlParameters parameters = {0};
	int count;

	begin_known(folding, side);
	count = num_columns(known);
	columns[KNOWN_ID] = (FmColumn){side == FM_USERS ? "user_id" : "item_id",
								   fm_idmap_type(known->ids)->type};
	if (known->popularity != NULL)
		columns[count - 1] = (FmColumn){"popularity", FLOAT4OID};
	fm_add_integer(&parameters, folding->version.number);
	fm_sql_scan(psprintf("SELECT %s FROM %s WHERE version = $1 ORDER BY idx",
						 fm_select_list(columns, count),
						 fm_relation_sql(side == FM_USERS ? model->user_table : model->item_table)),
				&parameters, false, columns, count, add_known, known);
}

void
fm_folding_read(FmFolding *folding)
{
	FmDefinition *definition = &folding->definition;
	FmTrainingData *data = &folding->data;
	FmIdType user_type;
	FmIdType item_type;

	fm_check_ratings_relation(definition, &user_type, &item_type);
	fm_store_check_id_types(&folding->model, &user_type, &item_type);
	/* rows with integers that do not fit the tables are skipped */
	fm_store_id_types(&folding->model, &user_type, &item_type);
	fm_check_budget_to_read(definition);
	data->ratings = fm_rating_reading_create(&user_type, &item_type, definition);
	data->ratings->is_training = true;
	data->ratings->center = fm_version_center(&folding->version);
	for (int side = 0; side < 2; side++)
		read_known(folding, side);
	fm_read_ratings(definition, false, data->ratings);
	folding->num_rows = data->ratings->triples.count;
	if (fm_is_classification(definition->task))
		fm_label_ratings(definition, data->ratings, folding->version.rating_min,
						 folding->version.rating_max);
	fm_rank_ratings(data);
}

/* Copy the w and v of an entity of the version, in all heads. */
static void
copy_known(FmFoldingSide *out, int32 rank, const FmFoldingKnown *known, int32 index)
{
	for (int h = 0; h < known->num_heads; h++)
	{
		FmFoldingVectors *vectors = &out->head[h];
		Size k = known->num_factors[h];

		vectors->w[rank] = known->w[h][index];
		memcpy(vectors->v + rank * k, known->v[h] + index * k, k * sizeof(float));
		vectors->usable[rank] = true;
	}
	if (out->popularity != NULL)
		out->popularity[rank] = known->popularity[index];
}

/*
 * Copy an entity of the version, and decide whether it is to be solved: a user if their ratings
 * have changed, an item only if it had none before. One whose ratings have gone is not.
 */
static void
compare_known(FmFoldingSide *out, int32 rank, const FmFoldingKnown *known, int32 index,
			  bool is_user)
{
	int64 now = out->digest[rank];
	int64 then = known->digest[index];

	copy_known(out, rank, known, index);
	out->given[rank] = then == 0;
	if (now != 0 && now != then && (then == 0 || is_user))
	{
		out->solvable[rank] = true;
		out->num_updated++;
	}
	else
		out->digest[rank] = then;
}

/* Make room for the entities of one side of the new version. */
static void
begin_side(const FmFolding *folding, int side, FmFoldingSide *out)
{
	const FmFoldingKnown *known = &folding->known[side];
	const FmHost *host = folding->host;

	out->count = fm_idmap_count(known->ids);
	for (int h = 0; h < folding->num_heads; h++)
	{
		Size numbers = (Size) out->count * known->num_factors[h];

		out->head[h].w = host->alloc(host->ctx, out->count, sizeof(float));
		out->head[h].v = host->alloc(host->ctx, numbers, sizeof(float));
		out->head[h].usable = host->alloc(host->ctx, out->count, sizeof(bool));
	}
	if (known->popularity != NULL)
		out->popularity = host->alloc(host->ctx, out->count, sizeof(float));
	out->solvable = host->alloc(host->ctx, out->count, sizeof(bool));
	out->given = host->alloc(host->ctx, out->count, sizeof(bool));
	out->digest = fm_digest_ratings(&folding->data, side);
}

static void
compare_side(FmFolding *folding, int side)
{
	const FmFoldingKnown *known = &folding->known[side];
	FmFoldingSide *out = &folding->side[side];
	const int32 *order = side == FM_USERS ? folding->data.user_order : folding->data.item_order;

	begin_side(folding, side, out);
	for (int32 rank = 0; rank < out->count; rank++)
		if (order[rank] < known->count)
			compare_known(out, rank, known, order[rank], side == FM_USERS);
		else
		{
			out->solvable[rank] = true;
			out->num_added++;
		}
}

bool
fm_folding_compare(FmFolding *folding)
{
	int64 num_changed = 0;

	for (int side = 0; side < 2; side++)
	{
		compare_side(folding, side);
		num_changed += folding->side[side].num_added + (int64) folding->side[side].num_updated;
	}
	return num_changed > 0;
}
