/*
 * The metrics of a training: how well the parameters score the ratings that were trained on, and
 * those held out.
 *
 * Reads and writes nothing of the database. Memory: that of the host.
 */
#include "train/score.h"

#include <math.h>

#include "core/model/ranking.h"
#include "registry/definition.h"

/* Length of the lists in which held-out ratings are looked up. */
#define TEST_LIST_LENGTH 10

/* Score one rating, and add the result to the errors or, in a classification, to the labels. */
static void
score_rating(const FmScored *scored, int32 user, int32 item, const int32 *context, double value,
			 double weight, FmErrorSums *errors, FmLabelSums *labels)
{
	const FmParameters *parameters = scored->parameters;
	double score = context == NULL ? fm_score(parameters, user, item)
								   : fm_score_in_context(parameters, &scored->ratings->contexts,
														 *context, user, item);

	if (!isfinite((float) score))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("the training did not end in finite scores: %g is out of range for "
							   "type real",
							   score),
						errhint("Train on ratings of a smaller scale.")));
	if (labels != NULL)
		fm_add_label(labels, score, parameters->score_variance, value > 0, weight);
	else
		fm_add_error(errors, score, value, weight);
}

/* Score all ratings, trained on and held out. Returns the mean of those trained on. */
static double
score_ratings(const FmScored *scored, FmRun *run)
{
	const FmRatings *ratings = scored->ratings;
	const FmTriples *held_out = scored->held_out;
	double sum = 0;
	double total = 0;

	for (int32 user = 0; user < ratings->num_users; user++)
		for (int64 r = ratings->user_start[user]; r < ratings->user_start[user + 1]; r++)
		{
			double weight = ratings->user_weight != NULL ? ratings->user_weight[r] : 1;

			score_rating(scored, user, ratings->user_item[r],
						 ratings->user_context != NULL ? &ratings->user_context[r] : NULL,
						 ratings->user_value[r], weight, &run->train, run->train_labels);
			sum += weight * ratings->user_value[r];
			total += weight;
			if (r % 65536 == 0)
				CHECK_FOR_INTERRUPTS();
		}
	for (int64 r = 0; r < held_out->count; r++)
		score_rating(scored, held_out->user[r], held_out->item[r],
					 held_out->context != NULL ? &held_out->context[r] : NULL, held_out->value[r],
					 held_out->weight != NULL ? held_out->weight[r] : 1, &run->test,
					 run->test_labels);
	return sum / total;
}

double
fm_score_run(const FmDefinition *definition, const FmRatingReading *reading, const FmScored *scored,
			 const FmHost *host, FmRun *run)
{
	if (fm_is_ranking(definition->task))
	{
		run->test.count = scored->held_out->count;
		if (run->test.count > 0)
			fm_rank_held_out(scored->parameters, scored->ratings, scored->held_out,
							 TEST_LIST_LENGTH, host, &run->test_ranking);
		return 1;
	}
	if (!fm_is_classification(definition->task))
		return score_ratings(scored, run);
	run->train_labels = fm_label_sums_create(host);
	run->test_labels = fm_label_sums_create(host);
	return reading->min + score_ratings(scored, run) * ((double) reading->max - reading->min);
}
