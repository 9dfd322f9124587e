/*
 * Users' vectors. A user whom the model was trained with has a row in the user table. A user
 * without ratings in the training is folded in: their vector is solved from their ratings, with
 * the items' vectors fixed (core/model/fold.c), in each head by itself. If the model knows their
 * features, the solve starts from these.
 *
 * Solved vectors are not stored: the solve takes less time than reading the ratings. Memory: the
 * context of the call. Locking: that of the queries.
 */
#include "serve/user.h"

#include <float.h>

#include "catalog/pg_type.h"
#include "core/bitset.h"
#include "core/data/repeats.h"
#include "core/model/fold.h"
#include "core/scan/scan.h"
#include "pg/host_pg.h"
#include "pg/real_array.h"
#include "serve/items.h"
#include "source/ratings_columns.h"
#include "storage/lmgr.h"

/* qsort comparator. A fixed order makes the last bit of sums reproducible. */
static int
compare_ratings(const void *a, const void *b)
{
	const FmOwnRating *left = a;
	const FmOwnRating *right = b;

	if (left->item != right->item)
		return left->item < right->item ? -1 : 1;
	if (left->rating != right->rating)
		return left->rating < right->rating ? -1 : 1;
	return (left->weight > right->weight) - (left->weight < right->weight);
}

FmUserVector
fm_empty_user(const FmLoaded *loaded)
{
	const FmVersion *version = &loaded->version;
	FmUserVector user = {palloc0(version->num_factors * sizeof(float)), version->b, NULL, 0};

	if (version->interest_factors > 0)
	{
		user.interest_v = palloc0(version->interest_factors * sizeof(float));
		user.interest_base = version->interest_b;
	}
	return user;
}

/* The pairs that a user's ratings are of, in the order of their items. */
typedef struct Pairs
{
	int64 count;
	int32 *items;
	float *values;	  /* of a classification the share of yes */
	float *weights;	  /* relative, as in the training */
	bool is_weighted; /* false: the weights are unknown */
} Pairs;

/* Merge the ratings of each item, which are adjacent, as the training has merged its rows. */
static Pairs
merge(const FmLoaded *loaded, const FmOwnRating *ratings, int64 count)
{
	const FmVersion *version = &loaded->version;
	MemoryContext context = CurrentMemoryContext;
	Pairs pairs = {.items = MemoryContextAllocHuge(context, count * sizeof(int32)),
				   .values = MemoryContextAllocHuge(context, count * sizeof(float)),
				   .weights = MemoryContextAllocHuge(context, count * sizeof(float)),
				   .is_weighted = ratings[0].weight > 0};

	for (int64 r = 0; r < count; pairs.count++)
	{
		FmPairSums sums = {0};

		pairs.items[pairs.count] = ratings[r].item;
		for (; r < count && ratings[r].item == pairs.items[pairs.count]; r++)
			fm_pair_add(&sums, ratings[r].rating, pairs.is_weighted ? ratings[r].weight : 1);
		pairs.values[pairs.count] = (float) fm_pair_mean(&sums);
		pairs.weights[pairs.count] = (float) Min(fm_pair_weight(&sums, version->repeat_correlation),
												 FLT_MAX);
	}
	if (pairs.is_weighted)
		fm_relative_weights(pairs.weights, pairs.count, version->weight_unit,
							fm_most_weight(version->task));
	return pairs;
}

/* The heads of a version. */
enum
{
	RATING_HEAD, /* in a ranking, the only one */
	INTEREST_HEAD,
	NUM_HEADS
};

struct FmFoldCache
{
	const FmLoaded *loaded;
	MemoryContext context;
	Size room;					  /* that is left */
	double **whitened[NUM_HEADS]; /* by item; NULL: not yet */
};

FmFoldCache *
fm_fold_cache_create(const FmLoaded *loaded, Size room, MemoryContext context)
{
	FmFoldCache *cache = MemoryContextAllocZero(context, sizeof(FmFoldCache));
	Size size = (Size) loaded->version.num_items * sizeof(double *);

	cache->loaded = loaded;
	cache->context = context;
	if (size == 0 || room < NUM_HEADS * size)
		return cache;
	cache->room = room - NUM_HEADS * size;
	for (int head = 0; head < NUM_HEADS; head++)
		cache->whitened[head] = MemoryContextAllocExtended(context, size,
														   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	return cache;
}

/* Return what a head makes of an item with the vector v, or NULL if there is no room for it. */
static const double *
whitened_item(FmFoldCache *cache, int head, int32 item, const float *v)
{
	const FmLoaded *loaded = cache->loaded;
	bool is_interest = head == INTEREST_HEAD;
	int k = is_interest ? loaded->version.interest_factors : loaded->version.num_factors;
	bool absorbs = is_interest || fm_is_ranking(loaded->version.task);
	Size size = (k + 1) * sizeof(double);
	double **kept;

	if (cache->whitened[head] == NULL)
		return NULL;
	kept = &cache->whitened[head][item];
	if (*kept == NULL && size <= cache->room)
	{
		*kept = MemoryContextAlloc(cache->context, size);
		cache->room -= size;
		fm_whiten_row(is_interest ? &loaded->interest_prior : &loaded->user_prior, k,
					  absorbs ? loaded->item_pairs.root : NULL, v, *kept);
	}
	return *kept;
}

/* Put what a head makes of items into rows of these items. */
static void
whiten_rows(FmFoldCache *cache, int head, const int32 *items, FmFoldRow *rows, int64 count)
{
	for (int64 r = 0; cache != NULL && r < count; r++)
		rows[r].whitened = whitened_item(cache, head, items[r], rows[r].v);
}

/*
 * Return v of an item in the rating head, and set w. With two heads it is stored in another scale,
 * so it is copied.
 */
static const float *
item_rating(const FmLoaded *loaded, int32 item, float *w)
{
	const float *vector = fm_scan_vector(loaded->matrix, item);
	float *v;

	if (loaded->version.interest_factors == 0)
	{
		*w = vector[fm_list_factors(&loaded->shape)];
		return vector;
	}
	v = palloc(loaded->version.num_factors * sizeof(float));
	fm_list_item_rating(&loaded->shape, vector, v, w);
	return v;
}

/*
 * Return the pairs in the form that the core wants, for the rating head. A pair with a yes and a no
 * is a row for each, which share its weight.
 */
static FmFoldRow *
rating_rows(const FmLoaded *loaded, FmFoldCache *cache, const Pairs *pairs, int64 *count)
{
	const FmVersion *version = &loaded->version;
	bool labels = fm_is_classification(version->task);
	double b = version->b - fm_version_center(version);
	FmFoldRow *rows = MemoryContextAllocHuge(CurrentMemoryContext,
											 2 * pairs->count * sizeof(FmFoldRow));

	*count = 0;
	for (int64 p = 0; p < pairs->count; p++)
	{
		float w;
		const float *v = item_rating(loaded, pairs->items[p], &w);
		const double *whitened = cache == NULL
									 ? NULL
									 : whitened_item(cache, RATING_HEAD, pairs->items[p], v);
		double value = pairs->values[p], weight = pairs->weights[p];

		if (labels && value > 0 && value < 1)
		{
			rows[(*count)++] = (FmFoldRow){v, b + w, 0, (float) (weight * (1 - value)), whitened};
			rows[(*count)++] = (FmFoldRow){v, b + w, 1, (float) (weight * value), whitened};
		}
		else
			rows[(*count)++] = (FmFoldRow){v, b + w, pairs->values[p], pairs->weights[p], whitened};
	}
	return rows;
}

/* Do the same for a head that says who chooses what: to have rated an item is to choose it. */
static FmFoldRow *
choice_rows(const FmLoaded *loaded, FmFoldCache *cache, double b, const Pairs *pairs)
{
	bool is_second = loaded->version.interest_factors > 0;
	MemoryContext context = CurrentMemoryContext;
	FmFoldRow *rows = MemoryContextAllocHuge(context, pairs->count * sizeof(FmFoldRow));
	float *strengths = MemoryContextAllocHuge(context, pairs->count * sizeof(float));

	fm_strengths_of_user(&loaded->version.strength, pairs->values,
						 pairs->is_weighted ? pairs->weights : NULL, pairs->count,
						 fm_pg_host(context), strengths);
	for (int64 p = 0; p < pairs->count; p++)
	{
		const float *vector = fm_scan_vector(loaded->matrix, pairs->items[p]);
		double w = vector[fm_list_factors(&loaded->shape)];

		rows[p] = (FmFoldRow){is_second ? fm_list_item_interest(&loaded->shape, vector) : vector,
							  b + w, 1, strengths[p]};
	}
	whiten_rows(cache, is_second ? INTEREST_HEAD : RATING_HEAD, pairs->items, rows, pairs->count);
	return rows;
}

/* What folding in needs to know of a head. */
typedef struct Head
{
	int num_factors;
	FmTask task;
	double noise_variance;
	const FmPrior *prior;
	const FmAllPairs *all_pairs; /* of a ranking, else NULL */
} Head;

/* Solve a head. Sets v, and adds w to the base. With features, the prior is around `expected`. */
static void
fold_head(const Head *head, const float *expected_v, double expected_w, const FmFoldRow *rows,
		  int64 count, float *v, double *base)
{
	int k = head->num_factors;
	FmPrior prior = *head->prior;
	float *theta = palloc((k + 1) * sizeof(float));

	if (expected_v != NULL)
	{
		prior.mean = palloc((k + 1) * sizeof(float));
		memcpy(prior.mean, expected_v, k * sizeof(float));
		prior.mean[k] = (float) expected_w;
	}
	fm_fold(&prior, k, head->task, head->noise_variance, head->all_pairs, rows, count,
			fm_pg_host(CurrentMemoryContext), theta);
	memcpy(v, theta, k * sizeof(float));
	*base += theta[k];
}

/* Fold into the rating head, or into that of a ranking. */
static void
fold_first(const FmLoaded *loaded, FmFoldCache *cache, const FmUserVector *expected,
		   const Pairs *pairs, FmUserVector *user)
{
	const FmVersion *version = &loaded->version;
	bool is_ranking = fm_is_ranking(version->task);
	/* where a ranking has not learnt strengths, weights are its strengths */
	bool has_strengths = is_ranking && version->strength.kind != FM_STRENGTH_EQUAL;
	Head head = {version->num_factors, version->task, version->noise_variance, &loaded->user_prior,
				 is_ranking ? &loaded->item_pairs : NULL};
	int64 count = pairs->count;
	FmFoldRow *rows = has_strengths ? choice_rows(loaded, cache, version->b, pairs)
									: rating_rows(loaded, cache, pairs, &count);

	fold_head(&head, expected == NULL ? NULL : expected->v,
			  expected == NULL ? 0 : expected->base - version->b, rows, count, user->v,
			  &user->base);
}

static void
fold_interest(const FmLoaded *loaded, FmFoldCache *cache, const FmUserVector *expected,
			  const Pairs *pairs, FmUserVector *user)
{
	const FmVersion *version = &loaded->version;
	Head head = {version->interest_factors, FM_TASK_RANKING, version->interest_noise_variance,
				 &loaded->interest_prior, &loaded->item_pairs};

	fold_head(&head, expected == NULL ? NULL : expected->interest_v,
			  expected == NULL ? 0 : expected->interest_base - version->interest_b,
			  choice_rows(loaded, cache, version->interest_b, pairs), pairs->count,
			  user->interest_v, &user->interest_base);
}

FmUserVector
fm_serve_fold(const FmLoaded *loaded, FmFoldCache *cache, const FmUserVector *expected,
			  FmOwnRating *ratings, int64 count)
{
	FmUserVector user;
	Pairs pairs;

	if (count == 0 && expected != NULL)
		return *expected;
	user = fm_empty_user(loaded);
	if (count == 0)
		return user;
	qsort(ratings, count, sizeof(FmOwnRating), compare_ratings);
	pairs = merge(loaded, ratings, count);
	fold_first(loaded, cache, expected, &pairs, &user);
	if (loaded->version.interest_factors > 0)
		fold_interest(loaded, cache, expected, &pairs, &user);
	return user;
}

FmUserVector
fm_serve_new_user(const FmServing *serving, const FmUserVector *expected, Datum user_id,
				  const uint64 *ignored)
{
	int64 count;
	int64 num_used = 0;
	FmOwnRating *ratings = fm_own_ratings(serving, user_id, &count);

	for (int64 r = 0; r < count; r++)
		if (ignored == NULL || !fm_bitset_has(ignored, ratings[r].item))
			ratings[num_used++] = ratings[r];
	return fm_serve_fold(serving->loaded, NULL, expected, ratings, num_used);
}

int
fm_vector_columns(const FmLoaded *loaded, FmColumn *columns)
{
	columns[VECTOR_W] = (FmColumn){"w", FLOAT4OID};
	columns[VECTOR_V] = (FmColumn){"v", FLOAT4ARRAYOID};
	if (loaded->version.interest_factors == 0)
		return VECTOR_INTEREST_W;
	columns[VECTOR_INTEREST_W] = (FmColumn){"interest_w", FLOAT4OID};
	columns[VECTOR_INTEREST_V] = (FmColumn){"interest_v", FLOAT4ARRAYOID};
	return FM_MAX_VECTOR_COLUMNS;
}

void
fm_read_vector(const FmLoaded *loaded, const FmRow *row, int first, FmUserVector *user)
{
	const FmVersion *version = &loaded->version;

	user->base = version->b + fm_row_real(row, first + VECTOR_W);
	fm_read_real_array(fm_row_value(row, first + VECTOR_V), version->num_factors, "a user's v",
					   user->v);
	if (version->interest_factors == 0)
		return;
	user->interest_base = version->interest_b + fm_row_real(row, first + VECTOR_INTEREST_W);
	fm_read_real_array(fm_row_value(row, first + VECTOR_INTEREST_V), version->interest_factors,
					   "a user's interest_v", user->interest_v);
}

/* What is read of a user's row: the digest, and what makes the vector. */
enum
{
	USER_DIGEST,
	FIRST_VECTOR_COLUMN,
	MAX_USER_COLUMNS = FIRST_VECTOR_COLUMN + FM_MAX_VECTOR_COLUMNS
};

static int
user_columns(const FmLoaded *loaded, FmColumn *columns)
{
	columns[USER_DIGEST] = (FmColumn){"digest", INT8OID};
	return FIRST_VECTOR_COLUMN + fm_vector_columns(loaded, columns + FIRST_VECTOR_COLUMN);
}

static char *
user_query(const FmServing *serving, const FmColumn *columns, int num_columns)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	fm_append_select_list(&sql, columns, num_columns);
	appendStringInfo(&sql, " FROM %s WHERE version = $2 AND ",
					 fm_relation_sql(serving->model.user_table));
	fm_append_equality(&sql, "user_id", serving->loaded->user_type.type, "$1");
	return sql.data;
}

pg_noreturn static void
tables_are_new(const FmModel *model)
{
	ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					errmsg("the tables of model \"%s\" have been made anew meanwhile", model->name),
					errhint("Repeat the transaction.")));
}

/* Return the type of the ids of users in the table. */
static Oid
stored_user_type(const FmModel *model)
{
	return get_atttype(model->user_table, get_attnum(model->user_table, "user_id"));
}

/*
 * Wait for a training that makes the table anew, for ids of another type, and raise an error if
 * they cannot be compared with those of the version any more.
 */
static void
lock_users(const FmServing *serving)
{
	Oid type;

	LockRelationOid(serving->model.user_table, AccessShareLock);
	type = stored_user_type(&serving->model);
	if (OidIsValid(type) && !fm_id_types_match(type, serving->loaded->user_type.type))
		tables_are_new(&serving->model);
}

/*
 * Raise an error if a user is unknown only because the table has been made anew, for ids of another
 * integer type, since the snapshot was taken.
 */
static void
check_users_remain(const FmServing *serving)
{
	const FmModel *model = &serving->model;
	FmSqlParameters parameters = {0};

	if (stored_user_type(model) == serving->loaded->user_type.type)
		return;
	fm_add_integer(&parameters, serving->loaded->version.number);
	fm_sql_run(psprintf("SELECT FROM %s WHERE version = $1 LIMIT 1",
						fm_relation_sql(model->user_table)),
			   &parameters, serving->read_only);
	if (SPI_processed == 0)
		tables_are_new(model);
}

FmUserVector
fm_serve_user(const FmServing *serving, bool possible, Datum user_id)
{
	FmLoaded *loaded = serving->loaded;
	FmSqlParameters parameters = {0};
	FmColumn columns[MAX_USER_COLUMNS];
	int num_columns = user_columns(loaded, columns);
	FmRows rows;
	FmUserVector user = fm_empty_user(loaded);
	bool known;
	bool rated = false;

	if (!possible)
		return user;
	lock_users(serving);
	fm_add_parameter(&parameters, loaded->user_type.type, user_id, false);
	fm_add_integer(&parameters, loaded->version.number);
	fm_plan_run(&loaded->user_plan, user_query(serving, columns, num_columns), &parameters,
				serving->read_only);
	fm_rows_begin(&rows, columns, num_columns);
	known = fm_rows_next(&rows);
	if (known)
	{
		fm_read_vector(loaded, &rows.row, FIRST_VECTOR_COLUMN, &user);
		rated = fm_row_bigint(&rows.row, USER_DIGEST) != 0;
	}
	fm_rows_end(&rows);
	if (!known)
		check_users_remain(serving);
	return rated ? user : fm_serve_new_user(serving, known ? &user : NULL, user_id, NULL);
}
