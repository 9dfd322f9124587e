/*
 * An evaluation of a model: the scores and lists of all users of the rows being evaluated.
 *
 * The users of the model get their lists from the batch (batch.c). That leaves out all that they
 * have rated, so the items being evaluated are put in afterwards, where their scores say. What
 * needs to know what a user has rated comes after the batch: the baseline and, in a ranking, the
 * area under the curve. Users whom the model does not know follow, one by one.
 *
 * Memory: what the evaluated rows need, and the vectors of about CURVE_USERS users, in the context
 * of the call.
 */
#include "batch/evaluation.h"

#include <math.h>

#include "batch/batch.h"
#include "batch/seen_all.h"
#include "core/bitset.h"
#include "core/scan/scan.h"
#include "serve/list_score.h"
#include "serve/question_context.h"
#include "source/ratings_columns.h"
#include "source/read_baseline.h"
#include "utils/memutils.h"

/*
 * Of how many users, about, the area under the curve is computed. It takes the scores of all items,
 * which take longer than the list: with 35,000 items and 256 factors 0.24 ms a user beside 0.06. As
 * an area is between 0 and 1, the standard error of the mean is below 0.01.
 */
#define CURVE_USERS 3000

/* Compute what each combination of contexts adds to a user. */
static void
prepare_contexts(FmEvaluation *evaluation)
{
	FmContextReading *reading = evaluation->reading->contexts;
	const FmServing *serving = &evaluation->serving;
	int k = serving->loaded->version.num_factors;
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

		level[l] = (FmUserVector){palloc0(k * sizeof(float)), 0, NULL, 0};
		(void) fm_add_context_level(serving, reading->columns[column].name, name, &level[l]);
		CHECK_FOR_INTERRUPTS();
	}
	count = reading->contexts.num_combinations;
	evaluation->v = palloc0(k * sizeof(float));
	evaluation->context_base = palloc_extended((count + 1) * sizeof(double),
											   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	evaluation->context_v = palloc_extended((count + 1) * k * sizeof(float),
											MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (Size i = 0; i < count; i++)
		for (int c = 0; c < reading->num_columns; c++)
		{
			const FmUserVector *of = &level[reading->contexts.level[i * reading->num_columns + c]];

			evaluation->context_base[i] += of->base;
			for (int f = 0; f < k; f++)
				evaluation->context_v[i * k + f] += of->v[f];
		}
}

/* Return the vector that scores a row: the user's, in the row's context. */
static FmUserVector
row_vector(const FmEvaluation *evaluation, int64 row, const FmUserVector *user)
{
	FmUserVector vector = *user;
	int k = evaluation->serving.loaded->version.num_factors;
	Size context;

	if (evaluation->context_base == NULL)
		return vector;
	context = evaluation->by_user.user_context[row];
	for (int f = 0; f < k; f++)
		evaluation->v[f] = user->v[f] + evaluation->context_v[context * k + f];
	vector.v = evaluation->v;
	vector.base += evaluation->context_base[context];
	return vector;
}

static bool
is_ranking(const FmEvaluation *evaluation)
{
	return fm_is_ranking(evaluation->serving.loaded->version.task);
}

/* Return the mean of the training as a value of the rows; of a classification the share of yes. */
static double
training_mean(const FmEvaluation *evaluation)
{
	const FmVersion *version = &evaluation->serving.loaded->version;

	if (fm_is_classification(version->task))
		return (version->rating_mean - version->rating_min) /
			   ((double) version->rating_max - version->rating_min);
	return version->rating_mean - evaluation->reading->center;
}

/* Read the baseline, unless the model has no ratings relation. */
static void
read_baseline(FmEvaluation *evaluation)
{
	const FmServing *serving = &evaluation->serving;
	const FmLoaded *loaded = serving->loaded;
	FmDefinition definition = serving->model.definition;
	FmBaselineSource source = {.definition = &definition,
							   .read_only = serving->read_only,
							   .num_items = loaded->version.num_items,
							   .no = loaded->version.rating_min,
							   .yes = loaded->version.rating_max};

	if (!fm_knows_seen(serving))
		return;
	fm_check_ratings(serving);
	/* the task of the version, not that of a later definition */
	definition.task = loaded->version.task;
	source.has_ratings = !is_ranking(evaluation) &&
						 fm_ratings_are_readable(&definition, loaded->user_type.type,
												 loaded->item_type.type);
	evaluation->baseline = fm_read_baseline(&source, evaluation->reading, training_mean(evaluation),
											evaluation->host);
}

static void
prepare_curves(FmEvaluation *evaluation)
{
	const FmLoaded *loaded = evaluation->serving.loaded;
	const FmBaseline *baseline = evaluation->baseline;

	evaluation->curves = fm_curves_create(fm_scan_rows(loaded->matrix), loaded->version.num_items,
										  fm_query_length(evaluation->serving.loaded),
										  baseline != NULL ? baseline->standing : NULL,
										  evaluation->host);
	evaluation->relevant_items = MemoryContextAllocHuge(CurrentMemoryContext,
														loaded->version.num_items * sizeof(int32));
}

static void
prepare(FmEvaluation *evaluation)
{
	MemoryContext context = CurrentMemoryContext;
	const FmVersion *version = &evaluation->serving.loaded->version;
	Size num_items = fm_idmap_count(evaluation->reading->items);
	int32 num_users = fm_idmap_count(evaluation->reading->users);
	Size words = fm_bitset_words(num_items) * sizeof(uint64);

	prepare_contexts(evaluation);
	evaluation->rules = (FmListRules){evaluation->x, true,
									  fm_serve_novelty(&evaluation->serving, NULL)};
	fm_ratings_by_user(&evaluation->reading->triples, num_users, (int32) num_items,
					   evaluation->host, &evaluation->by_user);
	evaluation->done = palloc0(num_users * sizeof(bool));
	evaluation->known = MemoryContextAllocHuge(context, num_users * sizeof(FmEvaluated));
	evaluation->excluded = palloc0(words);
	evaluation->relevant = palloc0(words);
	evaluation->model.recommended = palloc0(words);
	evaluation->simple.recommended = palloc0(words);
	evaluation->x = Min(evaluation->x, version->num_items);
	evaluation->hits = MemoryContextAllocHuge(context, (Size) evaluation->x * sizeof(FmHit));
	evaluation->popular = MemoryContextAllocHuge(context, (Size) evaluation->x * sizeof(int32));
	evaluation->is_hit = MemoryContextAllocHuge(context, evaluation->x);
	read_baseline(evaluation);
	if (fm_is_classification(version->task))
	{
		evaluation->model.labels = fm_label_sums_create(evaluation->host);
		evaluation->simple.labels = fm_label_sums_create(evaluation->host);
	}
	if (is_ranking(evaluation))
		prepare_curves(evaluation);
}

/* ---- One user ---- */

/* Add the errors of a user's rows. */
static void
score_rows(FmEvaluation *evaluation, int32 user, const FmUserVector *vector)
{
	const FmLoaded *loaded = evaluation->serving.loaded;
	const FmRatings *rows = &evaluation->by_user;

	for (int64 r = rows->user_start[user]; r < rows->user_start[user + 1]; r++)
	{
		int32 item = rows->user_item[r];
		FmUserVector scored = row_vector(evaluation, r, vector);
		double score = scored.base;
		double weight = rows->user_weight != NULL ? rows->user_weight[r] : 1;

		if (item < loaded->version.num_items)
			score += fm_list_rating(&loaded->shape, scored.v, fm_scan_vector(loaded->matrix, item));
		fm_check_score(score);
		if (evaluation->model.labels != NULL)
			(void) fm_add_label(evaluation->model.labels, score, loaded->version.score_variance,
								rows->user_value[r] > 0, weight);
		else if (!is_ranking(evaluation))
			(void) fm_add_error(&evaluation->model.errors, score - evaluation->reading->center,
								rows->user_value[r], weight);
	}
}

/* Put the user's relevant items into their set. Return how many distinct ones there are. */
static int64
mark_relevant(FmEvaluation *evaluation, int32 user)
{
	const FmRatings *rows = &evaluation->by_user;
	double least_relevant = fm_is_classification(evaluation->serving.loaded->version.task)
								? 1
								: training_mean(evaluation);
	int64 num_relevant = 0;

	for (int64 r = rows->user_start[user]; r < rows->user_start[user + 1]; r++)
		if (rows->user_value[r] >= least_relevant &&
			!fm_bitset_has(evaluation->relevant, rows->user_item[r]))
		{
			fm_bitset_add(evaluation->relevant, rows->user_item[r]);
			num_relevant++;
		}
	return num_relevant;
}

/* Take all items being evaluated for the user out of a set. */
static void
remove_evaluated(const FmEvaluation *evaluation, int32 user, uint64 *set)
{
	const FmRatings *rows = &evaluation->by_user;

	for (int64 r = rows->user_start[user]; r < rows->user_start[user + 1]; r++)
		fm_bitset_remove(set, rows->user_item[r]);
}

/* Add a user's list, which is in `hits`. The relevant items are marked. */
static void
add_list(FmEvaluation *evaluation, int32 length, int64 num_relevant)
{
	for (int32 r = 0; r < length; r++)
	{
		int32 item = evaluation->hits[r].item;

		evaluation->is_hit[r] = fm_bitset_has(evaluation->relevant, item);
		fm_bitset_add(evaluation->model.recommended, item);
	}
	(void) fm_add_ranking(&evaluation->model.lists, evaluation->is_hit, length, evaluation->x,
						  num_relevant);
}

/* Put an item into the list of `length` in `hits`, if it belongs there. Return the new length. */
static int32
put_into_list(FmEvaluation *evaluation, int32 length, FmHit hit)
{
	FmHit *hits = evaluation->hits;
	int32 at;

	if (length == evaluation->x && !fm_ranks_before(hit, hits[length - 1]))
		return length;
	for (int32 r = 0; r < length; r++)
		if (hits[r].item == hit.item)
			return length;
	if (length < evaluation->x)
		length++;
	for (at = length - 1; at > 0 && fm_ranks_before(hit, hits[at - 1]); at--)
		hits[at] = hits[at - 1];
	hits[at] = hit;
	return length;
}

/*
 * Put the items being evaluated into the list of the best items that the user has not rated. Return
 * its new length. An item that the user has not rated is in the list already, if it belongs there.
 */
static int32
put_evaluated_into_list(FmEvaluation *evaluation, int32 user, const float *query, int32 length)
{
	const FmLoaded *loaded = evaluation->serving.loaded;
	const FmRatings *rows = &evaluation->by_user;

	for (int64 r = rows->user_start[user]; r < rows->user_start[user + 1]; r++)
	{
		int32 item = rows->user_item[r];

		if (item < loaded->version.num_items)
			length = put_into_list(evaluation, length,
								   (FmHit){item, fm_scan_score(loaded->matrix, query, item)});
	}
	return length;
}

/* ---- The area under the curve ---- */

/* Return whether the area under the curve is computed of a user. It depends on their id alone. */
static bool
has_curve(const FmEvaluation *evaluation, int32 user)
{
	const FmIdMap *users = evaluation->reading->users;

	return is_ranking(evaluation) &&
		   ((uint64) fm_idmap_hash(users, user) * fm_idmap_count(users)) >> 32 < CURVE_USERS;
}

/* Add the area under the curve. The items that are not eligible are in `excluded`. */
static void
add_curve(FmEvaluation *evaluation, int32 user, const float *query)
{
	const FmRatings *rows = &evaluation->by_user;
	int32 count = 0;

	(void) mark_relevant(evaluation, user);
	for (int64 r = rows->user_start[user]; r < rows->user_start[user + 1]; r++)
	{
		int32 item = rows->user_item[r];

		/* removed from the set, so that an item with two rows counts once */
		if (item < evaluation->serving.loaded->version.num_items &&
			fm_bitset_has(evaluation->relevant, item))
			evaluation->relevant_items[count++] = item;
		fm_bitset_remove(evaluation->relevant, item);
	}
	if (count > 0)
		fm_curves_add(evaluation->curves, query, evaluation->excluded, evaluation->relevant_items,
					  count);
}

/* ---- The baseline ---- */

/* Predict the user's rows. Those that the ratings relation holds as well are in `excluded`. */
static void
predict_without_model(FmEvaluation *evaluation, int32 user)
{
	const FmRatings *rows = &evaluation->by_user;

	for (int64 r = rows->user_start[user]; r < rows->user_start[user + 1]; r++)
	{
		int32 item = rows->user_item[r];
		double weight = rows->user_weight != NULL ? rows->user_weight[r] : 1;
		double own = fm_bitset_has(evaluation->excluded, item) ? rows->user_value[r] : NAN;
		double predicted = fm_baseline_rating(evaluation->baseline, user, item, own);

		if (evaluation->model.labels != NULL)
			(void) fm_add_base_rate(evaluation->simple.labels, training_mean(evaluation), predicted,
									rows->user_value[r] > 0, weight);
		else
			(void) fm_add_error(&evaluation->simple.errors, predicted, rows->user_value[r], weight);
	}
}

/* Add the list of the most popular items. The relevant ones are marked. */
static void
add_popular_list(FmEvaluation *evaluation, int64 num_relevant)
{
	int32 length = fm_baseline_list(evaluation->baseline, evaluation->excluded, evaluation->x,
									evaluation->popular);

	for (int32 r = 0; r < length; r++)
	{
		int32 item = evaluation->popular[r];

		evaluation->is_hit[r] = fm_bitset_has(evaluation->relevant, item);
		fm_bitset_add(evaluation->simple.recommended, item);
	}
	(void) fm_add_ranking(&evaluation->simple.lists, evaluation->is_hit, length, evaluation->x,
						  num_relevant);
}

/*
 * Do what needs to know what the user has rated, which is in `excluded`: the baseline and, if there
 * is a query, the area under the curve. Leaves in `excluded` what is not eligible for the list.
 */
static void
score_with_seen(FmEvaluation *evaluation, int32 user, const float *query)
{
	if (evaluation->baseline != NULL && !is_ranking(evaluation))
		predict_without_model(evaluation, user);
	remove_evaluated(evaluation, user, evaluation->excluded);
	if (evaluation->baseline != NULL)
	{
		int64 num_relevant = mark_relevant(evaluation, user);

		if (num_relevant > 0)
			add_popular_list(evaluation, num_relevant);
		remove_evaluated(evaluation, user, evaluation->relevant);
	}
	if (query != NULL)
		add_curve(evaluation, user, query);
}

/* ---- All users ---- */

static void
clear_excluded(FmEvaluation *evaluation)
{
	memset(evaluation->excluded, 0,
		   fm_bitset_words(fm_idmap_count(evaluation->reading->items)) * sizeof(uint64));
}

/* Return the index of a user of the model among those of the rows, or -1. */
static int32
find_user(const FmEvaluation *evaluation, Datum id)
{
	FmIdMap *users = evaluation->reading->users;

	(void) fm_id_convert(&evaluation->serving.loaded->user_type, fm_idmap_type(users), id, &id);
	return fm_idmap_find(users, id);
}

/* FmCurrentCallback: pass over users who are not being evaluated. */
static bool
is_not_evaluated(void *state, const FmBatchUser *known)
{
	return find_user(state, known->id) < 0;
}

/* Keep the user's vector for the area under the curve; return where, or -1. */
static int32
keep_query(FmEvaluation *evaluation, const float *query)
{
	Size size = fm_query_length(evaluation->serving.loaded) * sizeof(float);
	int32 at = evaluation->num_queries++;

	/* the number of users is about CURVE_USERS; the room doubles */
	if (at == 0)
		evaluation->queries = MemoryContextAllocHuge(evaluation->serving.context, size);
	else if ((at & (at - 1)) == 0)
		evaluation->queries = repalloc_huge(evaluation->queries, 2 * at * size);
	memcpy(evaluation->queries + (Size) at * fm_query_length(evaluation->serving.loaded), query,
		   size);
	return at;
}

/* FmListCallback: score a user of the model. */
static void
score_known_user(void *state, const FmBatchUser *known, const FmHit *hits, int32 count)
{
	FmEvaluation *evaluation = state;
	int32 user = find_user(evaluation, known->id);
	const float *query = known->query;
	FmEvaluated *kept = &evaluation->known[evaluation->num_known];
	int64 num_relevant;

	if (evaluation->done[user])
		fm_users_repeated(&evaluation->serving);
	evaluation->done[user] = true;
	evaluation->num_known++;
	*kept = (FmEvaluated){known->idx, user, -1};
	score_rows(evaluation, user, &known->vector);
	num_relevant = mark_relevant(evaluation, user);
	if (num_relevant > 0)
	{
		memcpy(evaluation->hits, hits, count * sizeof(FmHit));
		add_list(evaluation, put_evaluated_into_list(evaluation, user, query, count), num_relevant);
		if (has_curve(evaluation, user))
			kept->query = keep_query(evaluation, query);
	}
	remove_evaluated(evaluation, user, evaluation->relevant);
}

static void
score_known_users(FmEvaluation *evaluation)
{
	FmSeenStream *seen;

	(void) fm_batch_top_x(&evaluation->serving, &evaluation->rules,
						  &(FmListReceiver){.state = evaluation,
											.put = score_known_user,
											.current = is_not_evaluated,
											.without_xmin = true});
	if (evaluation->baseline == NULL && !is_ranking(evaluation))
		return;
	seen = fm_seen_open(&evaluation->serving);
	for (int32 i = 0; i < evaluation->num_known; i++)
	{
		const FmEvaluated *known = &evaluation->known[i];
		Size at = (Size) Max(known->query, 0) * fm_query_length(evaluation->serving.loaded);

		CHECK_FOR_INTERRUPTS();
		clear_excluded(evaluation);
		fm_seen_add_next(seen, known->idx, evaluation->excluded);
		score_with_seen(evaluation, known->user,
						known->query < 0 ? NULL : evaluation->queries + at);
	}
	fm_seen_close(seen);
}

/* Score a user whom the model does not know. */
static void
score_unknown_user(FmEvaluation *evaluation, int32 user, const FmUserVector *vector)
{
	const float *query = fm_make_query(evaluation->serving.loaded, vector,
									   evaluation->rules.novelty);
	int64 num_relevant;

	score_rows(evaluation, user, vector);
	score_with_seen(evaluation, user, has_curve(evaluation, user) ? query : NULL);
	num_relevant = mark_relevant(evaluation, user);
	if (num_relevant > 0)
		add_list(evaluation,
				 fm_scan_top_x(evaluation->serving.loaded->matrix, query, evaluation->x,
							   evaluation->excluded, evaluation->host, evaluation->hits),
				 num_relevant);
	remove_evaluated(evaluation, user, evaluation->relevant);
}

/*
 * Score users whom the model does not know. They are folded in as by fm_top_x and fm_predict, but
 * not from the rows being evaluated, which contain the answers.
 */
static void
score_unknown_users(FmEvaluation *evaluation)
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
						  : fm_serve_fold(serving->loaded, NULL, NULL, NULL, 0);
		clear_excluded(evaluation);
		if (possible)
			fm_add_seen_items(serving, id, evaluation->excluded);
		score_unknown_user(evaluation, user, &vector);
	}
}

void
fm_evaluation_run(FmEvaluation *evaluation)
{
	prepare(evaluation);
	score_known_users(evaluation);
	score_unknown_users(evaluation);
	if (is_ranking(evaluation))
		fm_curves_finish(evaluation->curves, &evaluation->model.lists, &evaluation->simple.lists);
}
