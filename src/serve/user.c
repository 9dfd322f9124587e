/*
 * Users' vectors. A user whom the model was trained with has a row in the user table. A user
 * without ratings in the training is folded in: their vector is solved from their ratings, with
 * the items' vectors fixed (core/model/fold.c). If the model knows their features, the solve
 * starts from these.
 *
 * Solved vectors are not stored: the solve takes less time than reading the ratings. Memory: the
 * context of the call. Locking: that of the queries.
 */
#include "serve/user.h"

#include "catalog/pg_type.h"
#include "core/bitset.h"
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

/* Return the ratings in the form that the core wants. */
static FmFoldRow *
fold_rows(const FmServing *serving, const FmOwnRating *ratings, int64 count)
{
	const FmLoaded *loaded = serving->loaded;
	double b = loaded->version.b - fm_version_center(&loaded->version);
	FmFoldRow *rows = MemoryContextAllocHuge(CurrentMemoryContext, count * sizeof(FmFoldRow));

	for (int64 r = 0; r < count; r++)
	{
		const float *item = fm_scan_vector(loaded->matrix, ratings[r].item);
		float value = ratings[r].rating;

		if (fm_is_classification(loaded->version.task))
			value = fm_label(&serving->model.definition, loaded->version.rating_min,
							 loaded->version.rating_max, value);
		rows[r] = (FmFoldRow){item, b + item[loaded->version.num_factors], value,
							  ratings[r].weight};
	}
	return rows;
}

FmUserVector
fm_serve_fold(const FmServing *serving, const FmUserVector *expected, FmOwnRating *ratings,
			  int64 count)
{
	const FmLoaded *loaded = serving->loaded;
	int k = loaded->version.num_factors;
	FmUserVector user = {palloc0((k + 1) * sizeof(float)), loaded->version.b};
	FmPrior prior = loaded->user_prior;

	user.query[k] = 1;
	if (count == 0)
		return expected != NULL ? *expected : user;
	if (expected != NULL)
	{
		prior.mean = palloc((k + 1) * sizeof(float));
		memcpy(prior.mean, expected->query, k * sizeof(float));
		prior.mean[k] = (float) (expected->base - loaded->version.b);
	}
	qsort(ratings, count, sizeof(FmOwnRating), compare_ratings);
	fm_fold(&prior, k, loaded->version.task, loaded->version.noise_variance,
			fm_is_ranking(loaded->version.task) ? &loaded->item_pairs : NULL,
			fold_rows(serving, ratings, count), count, fm_pg_host(CurrentMemoryContext),
			user.query);
	user.base += user.query[k]; /* w */
	user.query[k] = 1;
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
	return fm_serve_fold(serving, expected, ratings, num_used);
}

/* What is read of a user's row. */
enum
{
	USER_W,
	USER_V,
	USER_DIGEST
};

static const FmColumn user_columns[] = {[USER_W] = {"w", FLOAT4OID},
										[USER_V] = {"v", FLOAT4ARRAYOID},
										[USER_DIGEST] = {"digest", INT8OID}};

static char *
user_query(const FmServing *serving)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	fm_append_select_list(&sql, user_columns, lengthof(user_columns));
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
	FmRows rows;
	FmUserVector user = {palloc0((loaded->version.num_factors + 1) * sizeof(float)),
						 loaded->version.b};
	bool known;
	bool rated = false;

	user.query[loaded->version.num_factors] = 1;
	if (!possible)
		return user;
	lock_users(serving);
	fm_add_parameter(&parameters, loaded->user_type.type, user_id, false);
	fm_add_integer(&parameters, loaded->version.number);
	fm_plan_run(&loaded->user_plan, user_query(serving), &parameters, serving->read_only);
	fm_rows_begin(&rows, user_columns, lengthof(user_columns));
	known = fm_rows_next(&rows);
	if (known)
	{
		user.base += fm_row_real(&rows.row, USER_W);
		fm_read_real_array(fm_row_value(&rows.row, USER_V), loaded->version.num_factors,
						   "a user's v", user.query);
		rated = fm_row_bigint(&rows.row, USER_DIGEST) != 0;
	}
	fm_rows_end(&rows);
	if (!known)
		check_users_remain(serving);
	return rated ? user : fm_serve_new_user(serving, known ? &user : NULL, user_id, NULL);
}
