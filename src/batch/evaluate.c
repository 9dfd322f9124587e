/*
 * fm_evaluate: how well a model predicts given ratings.
 *
 * The relation is an argument of the call, so it is read as the caller; everything else is read as
 * the model's owner.
 *
 * Errors: if the relation has all of the model's context columns, each row is scored in its
 * context. If it has the model's weight column, the errors are weighted.
 *
 * Lists: they are those of fm_top_x without context, excluding what the user has rated, except
 * that the items of the rows being evaluated stay eligible: a good list should contain them. An
 * item is relevant if its rating is at least the mean rating of the training, or a yes in a
 * classification.
 *
 * Memory: the evaluated rows, in the context of the call.
 */
#include "batch/users.h"

#include <math.h>

#include "batch/seen_all.h"
#include "catalog/pg_type.h"
#include "core/bitset.h"
#include "core/model/metrics.h"
#include "core/model/ranking.h"
#include "core/scan/scan.h"
#include "pg/host_pg.h"
#include "serve/items.h"
#include "serve/question_context.h"
#include "source/ratings_columns.h"
#include "source/read_ratings.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(fm_evaluate);

typedef struct Evaluation
{
	FmServing serving;
	int32 x;
	FmRatingReading *reading; /* its items: the model's by idx, then unknown ones */
	FmRatings by_user;
	bool *done; /* by user: has been scored */

	/* of the user being scored */
	uint64 *excluded;
	uint64 *relevant;
	FmHit *hits;
	unsigned char *is_hit;

	/* by combination of contexts; NULL: there are none */
	double *context_base;
	float *context_query; /* × (num_factors + 1) */
	float *query;		  /* of the row being scored */

	uint64 *recommended; /* items that are in any list */
	FmErrorSums errors;
	FmLabelSums *labels; /* instead of errors, in a classification */
	FmRankingSums ranking;

	/* of the user being scored, only in a ranking */
	float *scores; /* of all items */
	int32 *relevant_items;
	int64 *above; /* by relevant item: how many others stand above it */
} Evaluation;

/* Check the type of an id column. Ids of another integer type are read and compared as bigint. */
static void
check_id_type(const FmServing *serving, Oid relation, const char *column, FmIdType *given,
			  const FmIdType *expected)
{
	if (!fm_id_types_match(given->type, expected->type))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of relation \"%s\" is of type %s, but model \"%s\" "
							   "has ids of type %s",
							   column, get_rel_name(relation), format_type_be(given->type),
							   serving->model.name, format_type_be(expected->type)),
						errhint("Make a view of the relation that casts the column.")));
	if (given->typlen != expected->typlen)
		fm_id_type_of_integer(INT8OID, given);
}

/* Return the item's id, as the type in which the rows are read. */
static Datum
item_id(const Evaluation *evaluation, int32 item)
{
	const FmLoaded *loaded = evaluation->serving.loaded;
	Datum id = fm_loaded_item_id(loaded, item);

	(void) fm_id_convert(&loaded->item_type, fm_idmap_type(evaluation->reading->items), id, &id);
	return id;
}

/* Read the relation, as the caller. */
static void
read_rows(Evaluation *evaluation, Oid relation)
{
	FmServing *serving = &evaluation->serving;
	const FmLoaded *loaded = serving->loaded;
	FmDefinition definition = serving->model.definition;
	FmRoleSwitch owner;
	FmIdType user_type;
	FmIdType item_type;

	definition.ratings = relation;
	definition.task = loaded->version.task;
	if (definition.weight_column != NULL &&
		get_attnum(relation, definition.weight_column) == InvalidAttrNumber)
		definition.weight_column = NULL;
	for (int c = 0; c < definition.num_context_columns; c++)
		if (get_attnum(relation, definition.context_columns[c]) == InvalidAttrNumber)
			definition.num_context_columns = 0;
	fm_check_ratings_relation(&definition, &user_type, &item_type);
	check_id_type(serving, relation, definition.user_column, &user_type, &loaded->user_type);
	check_id_type(serving, relation, definition.item_column, &item_type, &loaded->item_type);
	evaluation->reading = fm_rating_reading_create(&user_type, &item_type, &definition);
	evaluation->reading->center = fm_version_center(&loaded->version);
	for (int32 item = 0; item < loaded->version.num_items; item++)
		if (fm_idmap_intern(evaluation->reading->items, item_id(evaluation, item)) != item)
			fm_model_damaged(&serving->model, "it has an item twice");

	owner = fm_act_as(serving->caller.role);
	fm_read_ratings(&definition, true, evaluation->reading);
	fm_restore_role(&owner);
	if (evaluation->reading->triples.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("relation \"%s\" has no ratings to evaluate", get_rel_name(relation)),
				 errdetail("Rows with NULL in a column that is read do not count.")));
	if (fm_is_classification(loaded->version.task))
		fm_label_ratings(&definition, evaluation->reading, loaded->version.rating_min,
						 loaded->version.rating_max);
}

/* Compute what each combination of contexts adds to a user. */
static void
prepare_contexts(Evaluation *evaluation)
{
	FmContextReading *reading = evaluation->reading->contexts;
	const FmServing *serving = &evaluation->serving;
	int dim = serving->loaded->version.num_factors + 1;
	FmUserVector *level;
	Size count;

	if (reading == NULL)
		return;
	fm_number_contexts(reading, &evaluation->reading->triples);
	level = palloc_extended((reading->contexts.num_levels + 1) * sizeof(FmUserVector),
							MCXT_ALLOC_HUGE);
	for (int32 l = 0; l < reading->contexts.num_levels; l++)
	{
		int column;
		char *name = fm_context_level_name(reading, l, &column);

		level[l] = (FmUserVector){palloc0(dim * sizeof(float)), 0};
		(void) fm_add_context_level(serving, reading->columns[column].name, name, &level[l]);
		CHECK_FOR_INTERRUPTS();
	}
	count = reading->contexts.num_combinations;
	evaluation->query = palloc0(dim * sizeof(float));
	evaluation->context_base = palloc_extended((count + 1) * sizeof(double),
											   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	evaluation->context_query = palloc_extended((count + 1) * dim * sizeof(float),
												MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (Size i = 0; i < count; i++)
		for (int c = 0; c < reading->num_columns; c++)
		{
			const FmUserVector *of = &level[reading->contexts.level[i * reading->num_columns + c]];

			evaluation->context_base[i] += of->base;
			for (int f = 0; f < dim; f++)
				evaluation->context_query[i * dim + f] += of->query[f];
		}
}

/* Return the vector that scores a row: the user's, in the row's context. */
static FmUserVector
row_vector(const Evaluation *evaluation, int64 row, const FmUserVector *user)
{
	FmUserVector vector = *user;
	int dim = evaluation->serving.loaded->version.num_factors + 1;
	Size context;

	if (evaluation->context_base == NULL)
		return vector;
	context = evaluation->by_user.user_context[row];
	for (int f = 0; f < dim; f++)
		evaluation->query[f] = user->query[f] + evaluation->context_query[context * dim + f];
	vector.query = evaluation->query;
	vector.base += evaluation->context_base[context];
	return vector;
}

static void
prepare(Evaluation *evaluation)
{
	Size num_items = fm_idmap_count(evaluation->reading->items);
	int32 num_users = fm_idmap_count(evaluation->reading->users);
	Size words = fm_bitset_words(num_items) * sizeof(uint64);

	prepare_contexts(evaluation);
	fm_ratings_by_user(&evaluation->reading->triples, num_users, (int32) num_items,
					   fm_pg_host(CurrentMemoryContext), &evaluation->by_user);
	evaluation->done = palloc0(num_users * sizeof(bool));
	evaluation->excluded = palloc0(words);
	evaluation->relevant = palloc0(words);
	evaluation->recommended = palloc0(words);
	evaluation->x = Min(evaluation->x, evaluation->serving.loaded->version.num_items);
	evaluation->hits = MemoryContextAllocHuge(CurrentMemoryContext,
											  (Size) evaluation->x * sizeof(FmHit));
	if (fm_is_classification(evaluation->serving.loaded->version.task))
		evaluation->labels = fm_label_sums_create(fm_pg_host(CurrentMemoryContext));
	evaluation->is_hit = MemoryContextAllocHuge(CurrentMemoryContext, evaluation->x);
	if (fm_is_ranking(evaluation->serving.loaded->version.task))
	{
		MemoryContext context = CurrentMemoryContext;

		evaluation->scores = MemoryContextAllocHuge(context, num_items * sizeof(float));
		evaluation->relevant_items = MemoryContextAllocHuge(context, num_items * sizeof(int32));
		evaluation->above = MemoryContextAllocHuge(context, num_items * sizeof(int64));
	}
}

/*
 * Add the errors of a user's rows, and collect the relevant items. Return how many distinct ones
 * there are.
 */
static int64
score_rows(Evaluation *evaluation, int32 user, const FmUserVector *vector)
{
	const FmLoaded *loaded = evaluation->serving.loaded;
	const FmRatings *rows = &evaluation->by_user;
	double least_relevant = fm_is_classification(loaded->version.task)
								? 1
								: loaded->version.rating_mean - evaluation->reading->center;
	int64 num_relevant = 0;

	for (int64 r = rows->user_start[user]; r < rows->user_start[user + 1]; r++)
	{
		int32 item = rows->user_item[r];
		FmUserVector scored = row_vector(evaluation, r, vector);
		double score = scored.base;
		double weight = rows->user_weight != NULL ? rows->user_weight[r] : 1;

		if (item < loaded->version.num_items)
			score += fm_scan_score(loaded->matrix, scored.query, item);
		fm_check_score(score);
		if (evaluation->labels != NULL)
			fm_add_label(evaluation->labels, score, loaded->version.score_variance,
						 rows->user_value[r] > 0, weight);
		else if (!fm_is_ranking(loaded->version.task))
			fm_add_error(&evaluation->errors, score - evaluation->reading->center,
						 rows->user_value[r], weight);
		fm_bitset_remove(evaluation->excluded, item);
		if (rows->user_value[r] >= least_relevant && !fm_bitset_has(evaluation->relevant, item))
		{
			fm_bitset_add(evaluation->relevant, item);
			num_relevant++;
		}
	}
	return num_relevant;
}

/* Add the AUC of the user's list of all eligible items. */
static void
rank_whole_list(Evaluation *evaluation, int32 user, const FmUserVector *vector)
{
	const FmLoaded *loaded = evaluation->serving.loaded;
	const FmRatings *rows = &evaluation->by_user;
	int32 num_relevant = 0;
	int64 others;

	for (int64 r = rows->user_start[user]; r < rows->user_start[user + 1]; r++)
	{
		int32 item = rows->user_item[r];

		/* removed from the set, so that an item with two rows counts once */
		if (item < loaded->version.num_items && fm_bitset_has(evaluation->relevant, item))
			evaluation->relevant_items[num_relevant++] = item;
		fm_bitset_remove(evaluation->relevant, item);
	}
	if (num_relevant == 0)
		return;
	fm_score_all(fm_scan_rows(loaded->matrix), loaded->version.num_items,
				 loaded->version.num_factors + 1, vector->query, 1, evaluation->scores);
	others = fm_rank_relevant(evaluation->scores, loaded->version.num_items, evaluation->excluded,
							  evaluation->relevant_items, num_relevant, evaluation->above);
	if (others > 0)
		fm_add_auc(&evaluation->ranking, fm_ranking_auc(evaluation->above, num_relevant, others));
}

/* Score a user. Their seen items are in `excluded`. */
static void
score_user(Evaluation *evaluation, int32 user, const FmUserVector *vector, const FmHost *host)
{
	const FmLoaded *loaded = evaluation->serving.loaded;
	const FmRatings *rows = &evaluation->by_user;
	int64 num_relevant = score_rows(evaluation, user, vector);
	int32 length;

	evaluation->done[user] = true;
	if (num_relevant > 0)
	{
		length = fm_scan_top_x(loaded->matrix, vector->query, evaluation->x, evaluation->excluded,
							   host, evaluation->hits);
		for (int32 r = 0; r < length; r++)
		{
			int32 item = evaluation->hits[r].item;

			evaluation->is_hit[r] = fm_bitset_has(evaluation->relevant, item);
			fm_bitset_add(evaluation->recommended, item);
		}
		fm_add_ranking(&evaluation->ranking, evaluation->is_hit, length, evaluation->x,
					   num_relevant);
		if (fm_is_ranking(loaded->version.task))
			rank_whole_list(evaluation, user, vector);
	}
	for (int64 r = rows->user_start[user]; r < rows->user_start[user + 1]; r++)
		fm_bitset_remove(evaluation->relevant, rows->user_item[r]);
}

static void
clear_excluded(Evaluation *evaluation)
{
	memset(evaluation->excluded, 0,
		   fm_bitset_words(fm_idmap_count(evaluation->reading->items)) * sizeof(uint64));
}

/* Return the index of a user of the model among those of the rows, or -1. */
static int32
find_user(const Evaluation *evaluation, Datum id)
{
	FmIdMap *users = evaluation->reading->users;

	(void) fm_id_convert(&evaluation->serving.loaded->user_type, fm_idmap_type(users), id, &id);
	return fm_idmap_find(users, id);
}

static void
score_known_users(Evaluation *evaluation, const FmHost *host)
{
	FmUserWalk *walk = fm_users_open(&evaluation->serving, false);
	FmSeenStream *seen = fm_seen_open(&evaluation->serving);
	const FmBatchUser *known;

	while ((known = fm_users_next(walk)) != NULL)
	{
		int32 user = find_user(evaluation, known->id);

		CHECK_FOR_INTERRUPTS();
		if (user < 0)
			continue;
		if (evaluation->done[user])
			fm_users_repeated(&evaluation->serving);
		clear_excluded(evaluation);
		fm_seen_add_next(seen, known->idx, evaluation->excluded);
		score_user(evaluation, user, &known->vector, host);
	}
	fm_seen_close(seen);
	fm_users_close(walk);
}

/*
 * Score users whom the model does not know. They are folded in as by fm_top_x and fm_predict, but
 * not from the rows being evaluated, which contain the answers.
 */
static void
score_unknown_users(Evaluation *evaluation, const FmHost *host)
{
	const FmServing *serving = &evaluation->serving;
	const FmRatings *rows = &evaluation->by_user;
	const FmIdMap *users = evaluation->reading->users;

	for (int32 user = 0; user < fm_idmap_count(users); user++)
	{
		Datum id = fm_idmap_id(users, user);
		bool possible = fm_id_convert(fm_idmap_type(users), &serving->loaded->user_type, id, &id);
		FmUserVector vector;

		CHECK_FOR_INTERRUPTS();
		if (evaluation->done[user])
			continue;
		clear_excluded(evaluation);
		fm_bitset_add_all(evaluation->excluded, rows->user_item + rows->user_start[user],
						  (int32) (rows->user_start[user + 1] - rows->user_start[user]));
		vector = possible ? fm_serve_new_user(serving, NULL, id, evaluation->excluded)
						  : fm_serve_fold(serving, NULL, NULL, 0);
		clear_excluded(evaluation);
		if (possible)
			fm_add_seen_items(serving, id, evaluation->excluded);
		score_user(evaluation, user, &vector, host);
	}
}

static double
coverage(const Evaluation *evaluation)
{
	int32 num_items = evaluation->serving.loaded->version.num_items;
	int64 recommended = 0;

	for (int32 item = 0; item < num_items; item++)
		recommended += fm_bitset_has(evaluation->recommended, item);
	return (double) recommended / num_items;
}

static void
put_metric(ReturnSetInfo *result, const char *name, double value, bool isnull)
{
	Datum values[] = {CStringGetTextDatum(name), Float8GetDatum(value)};
	bool nulls[] = {false, isnull};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_label_metrics(const FmLabelSums *labels, ReturnSetInfo *result)
{
	double f1 = fm_f1(labels);
	double auc = fm_auc(labels);

	put_metric(result, "log_loss", fm_log_loss(labels), false);
	put_metric(result, "accuracy", fm_accuracy(labels), false);
	put_metric(result, "f1", f1, isnan(f1));
	put_metric(result, "auc", auc, isnan(auc));
}

static void
put_metrics(const Evaluation *evaluation, ReturnSetInfo *result)
{
	const FmRankingSums *sums = &evaluation->ranking;
	bool none = sums->users == 0; /* no user had a relevant item */
	double users = none ? 1 : (double) sums->users;

	if (evaluation->labels != NULL)
		put_label_metrics(evaluation->labels, result);
	else if (!fm_is_ranking(evaluation->serving.loaded->version.task))
	{
		put_metric(result, "rmse", fm_rmse(&evaluation->errors), false);
		put_metric(result, "mae", fm_mae(&evaluation->errors), false);
	}
	put_metric(result, "precision_at_x", sums->precision / users, none);
	put_metric(result, "recall_at_x", sums->recall / users, none);
	put_metric(result, "ndcg_at_x", sums->ndcg / users, none);
	put_metric(result, "map_at_x", sums->map / users, none);
	put_metric(result, "mrr", sums->mrr / users, none);
	if (fm_is_ranking(evaluation->serving.loaded->version.task))
		put_metric(result, "auc", sums->auc / (double) sums->auc_users, sums->auc_users == 0);
	put_metric(result, "coverage", coverage(evaluation), none);
}

Datum
fm_evaluate(PG_FUNCTION_ARGS)
{
	Evaluation evaluation = {0};
	const FmHost *host;

	fm_require_argument(fcinfo, 0, "ratings");
	evaluation.x = fm_x_argument(fcinfo, 2);
	if (evaluation.x == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("x must be at least 1, but is 0")));
	fm_init_materialized_srf(fcinfo);
	fm_serve_begin(&evaluation.serving, fcinfo, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1),
				   FM_IDS_TEXT, CurrentMemoryContext);
	host = fm_pg_host(CurrentMemoryContext);
	read_rows(&evaluation, PG_GETARG_OID(0));
	prepare(&evaluation);
	score_known_users(&evaluation, host);
	score_unknown_users(&evaluation, host);
	put_metrics(&evaluation, (ReturnSetInfo *) fcinfo->resultinfo);
	fm_serve_end(&evaluation.serving);
	return (Datum) 0;
}
