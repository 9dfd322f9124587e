/*
 * The metrics of a training: how well the parameters score the ratings that were trained on, and
 * those held out, and what the held-out ones would get without a model (core/model/baseline.h).
 *
 * Reads and writes nothing of the database. Memory: that of the host.
 */
#include "train/score.h"

#include <math.h>

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

/* Look up the held-out ratings from least_relevant on in the lists of their users. */
static void
score_lists(const FmScored *scored, const FmBaseline *baseline, double least_relevant,
			int32 max_users, const FmHost *host, FmRun *run)
{
	FmListTest test = {.parameters = scored->parameters,
					   .trained = scored->ratings,
					   .held_out = scored->held_out,
					   .baseline = baseline,
					   .least_relevant = least_relevant,
					   .x = TEST_LIST_LENGTH,
					   .max_users = max_users};

	fm_rank_held_out(&test, host, &run->test_lists);
}

/* Score all held-out ratings. `mean` is that of the values trained on. */
static void
score_test(const FmDefinition *definition, const FmRatingReading *reading, const FmScored *scored,
		   double mean, const FmHost *host, FmRun *run)
{
	bool is_ranking = fm_is_ranking(definition->task);
	double least_relevant = is_ranking ? -INFINITY
							: fm_is_classification(definition->task)
								? 1
								: (reading->center != 0 ? 0 : mean); /* as fm_evaluate has it */
	FmBaseline *baseline;

	if (scored->held_out->count == 0)
		return;
	baseline = fm_baseline_of(scored->ratings, host);
	if (is_ranking)
		run->test.count = scored->held_out->count;
	else
		score_held_out(scored, baseline, mean, run);
	score_lists(scored, baseline, least_relevant, is_ranking ? PG_INT32_MAX : TEST_LIST_USERS, host,
				run);
	fm_baseline_release(baseline, host);
}

double
fm_score_run(const FmDefinition *definition, const FmRatingReading *reading, const FmScored *scored,
			 const FmHost *host, FmRun *run)
{
	bool is_label = fm_is_classification(definition->task);
	double mean = 1;

	if (is_label)
	{
		run->train_labels = fm_label_sums_create(host);
		run->test_labels = fm_label_sums_create(host);
		run->baseline_labels = fm_label_sums_create(host);
	}
	if (!fm_is_ranking(definition->task))
		mean = score_trained(scored, run);
	score_test(definition, reading, scored, mean, host, run);
	return is_label ? reading->min + mean * ((double) reading->max - reading->min) : mean;
}
