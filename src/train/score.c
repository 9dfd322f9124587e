/*
 * The metrics of a training: how well the parameters score the ratings that were trained on, and
 * those held out, and what the held-out ones would get without a model (core/model/baseline.h).
 *
 * Reads and writes nothing of the database. Memory: that of the host.
 */
#include "train/score.h"

#include <math.h>

#include "core/model/list_vector.h"
#include "core/model/ranking.h"
#include "registry/definition.h"

/* Length of the lists in which held-out ratings are looked up. */
#define TEST_LIST_LENGTH 10

/* Of how many users the lists of a model of ratings are evaluated; a ranking is for lists alone. */
#define TEST_LIST_USERS 3000

/* A rating to score. */
typedef struct Scored
{
	int32 user;
	int32 item;
	const int32 *context; /* or NULL */
	double value;
	double weight;
} Scored;

/*
 * Score one rating, and add the result to the errors or, in a classification, to the labels. Return
 * the loss.
 */
static double
score_rating(const FmScored *scored, const Scored *rating, FmErrorSums *errors, FmLabelSums *labels)
{
	const FmParameters *parameters = scored->parameters;
	double score = rating->context == NULL
					   ? fm_score(parameters, rating->user, rating->item)
					   : fm_score_in_context(parameters, &scored->ratings->contexts,
											 *rating->context, rating->user, rating->item);

	if (!isfinite((float) score))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("the training did not end in finite scores: %g is out of range for "
							   "type real",
							   score),
						errhint("Train on ratings of a smaller scale.")));
	if (labels != NULL)
		return fm_add_label(labels, score, parameters->score_variance, rating->value > 0,
							rating->weight);
	return fm_add_error(errors, score, rating->value, rating->weight);
}

/* Return what values of some mean and variance get if all are predicted alike. */
static double
baseline_of_training(double mean, double variance, bool is_label)
{
	if (!is_label)
		return sqrt(Max(variance, 0));
	if (mean <= 0 || mean >= 1)
		return 0;
	return -mean * log(mean) - (1 - mean) * log(1 - mean);
}

/* Score the ratings trained on. Returns their mean. */
static double
score_trained(const FmScored *scored, FmRun *run)
{
	const FmRatings *ratings = scored->ratings;
	double first = ratings->num_ratings > 0 ? ratings->user_value[0] : 0;
	double sum = 0, square = 0, total = 0, mean;

	for (int32 user = 0; user < ratings->num_users; user++)
		for (int64 r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
		{
			Scored rating = {user, ratings->user_item[r],
							 ratings->user_context != NULL ? &ratings->user_context[r] : NULL,
							 ratings->user_value[r],
							 ratings->user_weight != NULL ? ratings->user_weight[r] : 1};

			(void) score_rating(scored, &rating, &run->train, run->train_labels);
			sum += rating.weight * (rating.value - first);
			square += rating.weight * (rating.value - first) * (rating.value - first);
			total += rating.weight;
			if (r % 65536 == 0)
				CHECK_FOR_INTERRUPTS();
		}
	mean = sum / total;
	run->train_baseline = baseline_of_training(first + mean, square / total - mean * mean,
											   run->train_labels != NULL);
	return first + mean;
}

/* Score the held-out ratings, and have the baseline predict them, too. */
static void
score_held_out(const FmScored *scored, const FmBaseline *baseline, double mean, FmRun *run)
{
	const FmTriples *held_out = scored->held_out;

	for (int64 r = 0; r < held_out->count; r++)
	{
		Scored rating = {held_out->user[r], held_out->item[r],
						 held_out->context != NULL ? &held_out->context[r] : NULL,
						 held_out->value[r], held_out->weight != NULL ? held_out->weight[r] : 1};
		double loss = score_rating(scored, &rating, &run->test, run->test_labels);
		double simple = fm_baseline_rating(baseline, rating.user, rating.item, NAN);

		if (run->test_labels != NULL)
			loss -= fm_add_base_rate(run->baseline_labels, mean, simple, rating.value > 0,
									 rating.weight);
		else
			loss -= fm_add_error(&run->baseline, simple, rating.value, rating.weight);
		fm_add_difference(&run->worse, loss);
	}
}

/* What makes the vectors that order lists. */
typedef struct Lists
{
	const FmResult *result;
	FmListShape shape;
} Lists;

/* Return an entity's vector of the interest head, or NULL. */
static const float *
interest_vector(const FmResult *result, int side, int32 entity)
{
	const FmParameters *interest = result->interest;

	if (interest == NULL)
		return NULL;
	return (side == FM_USERS ? interest->user_v : interest->item_v) +
		   (Size) entity * interest->num_factors;
}

/* FmQueryMaker */
static void
make_query(const void *state, int32_t user, float *query)
{
	const Lists *lists = state;
	const FmParameters *parameters = lists->result->parameters;
	const FmVersion *version = &lists->result->version;

	fm_list_query(&lists->shape, parameters->user_v + (Size) user * parameters->num_factors,
				  interest_vector(lists->result, FM_USERS, user),
				  version->has_popularity ? version->novelty : 0, query);
}

/* Make the vectors of all items. */
static float *
make_rows(const Lists *lists, int dim, const FmHost *host)
{
	const FmResult *result = lists->result;
	const FmParameters *parameters = result->parameters;
	int32 num_items = result->version.num_items;
	float *rows = host->alloc(host->ctx, (Size) num_items * dim, sizeof(float));

	for (int32 item = 0; item < num_items; item++)
		fm_list_item(&lists->shape, parameters->item_v + (Size) item * parameters->num_factors,
					 parameters->item_w[item], interest_vector(result, FM_ITEMS, item),
					 result->interest != NULL ? result->interest->item_w[item] : 0,
					 result->popularity != NULL ? result->popularity[item] : 0,
					 rows + (Size) item * dim);
	return rows;
}

void
fm_score_lists(const FmScored *scored, const FmResult *result, const FmHost *host, FmRun *run)
{
	const FmVersion *version = &result->version;
	bool is_ranking = fm_is_ranking(version->task);
	Lists lists = {result, fm_version_list_shape(version)};
	int dim = fm_list_factors(&lists.shape) + 1;
	float *rows;
	FmListTest test = {.dim = dim,
					   .make_query = make_query,
					   .state = &lists,
					   .trained = scored->ratings,
					   .held_out = scored->held_out,
					   .baseline = scored->baseline,
					   .x = TEST_LIST_LENGTH,
					   .max_users = is_ranking ? PG_INT32_MAX : TEST_LIST_USERS};

	if (scored->held_out->count == 0)
		return;
	/* what is relevant, as fm_evaluate has it */
	test.least_relevant = is_ranking ? -INFINITY
						  : fm_is_classification(version->task)
							  ? 1
							  : version->rating_mean - result->data->ratings->center;
	test.rows = rows = make_rows(&lists, dim, host);
	fm_rank_held_out(&test, host, &run->test_lists);
	host->release(host->ctx, rows);
	fm_baseline_release(scored->baseline, host);
}

double
fm_score_run(const FmDefinition *definition, const FmRatingReading *reading, FmScored *scored,
			 const FmHost *host, FmRun *run)
{
	bool is_label = fm_is_classification(definition->task);
	bool is_ranking = fm_is_ranking(definition->task);
	double mean = 1;

	if (is_label)
	{
		run->train_labels = fm_label_sums_create(host);
		run->test_labels = fm_label_sums_create(host);
		run->baseline_labels = fm_label_sums_create(host);
	}
	if (!is_ranking)
		mean = score_trained(scored, run);
	if (scored->held_out->count > 0)
		scored->baseline = fm_baseline_of(scored->ratings, host);
	if (is_ranking)
		run->test.count = scored->held_out->count;
	else
		score_held_out(scored, scored->baseline, mean, run);
	return is_label ? reading->min + mean * ((double) reading->max - reading->min) : mean;
}
