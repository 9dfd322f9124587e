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

enum
{
	KNOWN_ID,
	KNOWN_W,
	KNOWN_V,
	KNOWN_DIGEST,
	NUM_KNOWN
};

static void
grow(FmFoldingKnown *known)
{
	Size k = known->num_factors;

	known->capacity = known->capacity > PG_INT32_MAX / 2 ? PG_INT32_MAX : 2 * known->capacity;
	known->w = repalloc_huge(known->w, known->capacity * sizeof(float));
	known->v = repalloc_huge(known->v, known->capacity * k * sizeof(float));
	known->digest = repalloc_huge(known->digest, known->capacity * sizeof(int64));
}

/* FmRowReader */
static bool
add_known(void *state, const FmRow *row)
{
	FmFoldingKnown *known = state;

	for (int column = 0; column < NUM_KNOWN; column++)
		if (fm_row_is_null(row, column))
			fm_model_damaged(known->model, "a row of a user or item contains NULL");
	if (known->count == known->capacity)
		grow(known);
	if (fm_idmap_intern(known->ids, fm_row_value(row, KNOWN_ID)) != known->count)
		fm_model_damaged(known->model, "it has a user or item twice");
	known->w[known->count] = fm_row_real(row, KNOWN_W);
	fm_read_real_array(fm_row_value(row, KNOWN_V), known->num_factors, "a v of the version",
					   known->v + (Size) known->count * known->num_factors);
	known->digest[known->count] = fm_row_bigint(row, KNOWN_DIGEST);
	known->count++;
	CHECK_FOR_INTERRUPTS();
	return true;
}

/* Read the version's entities of one side. Their ids become the first in the map. */
static void
read_known(FmFolding *folding, int side)
{
	const FmModel *model = &folding->model;
	FmFoldingKnown *known = &folding->known[side];
	FmIdMap *ids = side == FM_USERS ? folding->data.ratings->users : folding->data.ratings->items;
	const FmColumn columns[] = {[KNOWN_ID] = {side == FM_USERS ? "user_id" : "item_id",
											  fm_idmap_type(ids)->type},
								[KNOWN_W] = {"w", FLOAT4OID},
								[KNOWN_V] = {"v", FLOAT4ARRAYOID},
								[KNOWN_DIGEST] = {"digest", INT8OID}};
	FmSqlParameters parameters = {0};

	known->model = model;
	known->ids = ids;
	known->num_factors = folding->version.num_factors;
	known->capacity = 1024;
	known->w = palloc(known->capacity * sizeof(float));
	known->v = palloc((Size) known->capacity * known->num_factors * sizeof(float));
	known->digest = palloc(known->capacity * sizeof(int64));
	fm_add_integer(&parameters, folding->version.number);
	fm_sql_scan(psprintf("SELECT %s FROM %s WHERE version = $1 ORDER BY idx",
						 fm_select_list(columns, NUM_KNOWN),
						 fm_relation_sql(side == FM_USERS ? model->user_table : model->item_table)),
				&parameters, false, columns, NUM_KNOWN, add_known, known);
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
	if (fm_is_classification(definition->task))
		fm_label_ratings(definition, data->ratings, folding->version.rating_min,
						 folding->version.rating_max);
	fm_rank_ratings(data);
}

/*
 * Copy an entity of the version, and decide whether it is to be solved: a user if their ratings
 * have changed, an item only if it had none before. One whose ratings have gone is not.
 */
static void
compare_known(FmFoldingSide *out, int32 rank, const FmFoldingKnown *known, int32 index,
			  bool is_user)
{
	Size k = known->num_factors;
	int64 now = out->digest[rank];
	int64 then = known->digest[index];

	out->w[rank] = known->w[index];
	memcpy(out->v + rank * k, known->v + index * k, k * sizeof(float));
	out->usable[rank] = true;
	out->given[rank] = then == 0;
	if (now != 0 && now != then && (then == 0 || is_user))
	{
		out->solvable[rank] = true;
		out->num_updated++;
	}
	else
		out->digest[rank] = then;
}

static void
compare_side(FmFolding *folding, int side)
{
	const FmFoldingKnown *known = &folding->known[side];
	FmFoldingSide *out = &folding->side[side];
	const int32 *order = side == FM_USERS ? folding->data.user_order : folding->data.item_order;
	const FmHost *host = folding->host;

	out->count = fm_idmap_count(known->ids);
	out->w = host->alloc(host->ctx, out->count, sizeof(float));
	out->v = host->alloc(host->ctx, (Size) out->count * known->num_factors, sizeof(float));
	out->solvable = host->alloc(host->ctx, out->count, sizeof(bool));
	out->usable = host->alloc(host->ctx, out->count, sizeof(bool));
	out->given = host->alloc(host->ctx, out->count, sizeof(bool));
	out->digest = fm_digest_ratings(&folding->data, side);
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
