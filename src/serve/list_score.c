/*
 * What a list shows of an item: its score, which orders the list, and its rating.
 *
 * Memory: the current context. Nothing is locked.
 */
#include "serve/list_score.h"

#include <math.h>

#include "core/model/parameters.h"
#include "core/scan/scan.h"

bool
fm_novelty_argument(FunctionCallInfo fcinfo, int argument, double *novelty)
{
	if (PG_ARGISNULL(argument))
		return false;
	*novelty = PG_GETARG_FLOAT8(argument);
	if (!(fabs(*novelty) <= FM_MAX_NOVELTY))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("novelty must be between %g and %g, but is %g", -FM_MAX_NOVELTY,
							   FM_MAX_NOVELTY, *novelty)));
	return true;
}

double
fm_serve_novelty(const FmServing *serving, const double *asked)
{
	const FmVersion *version = &serving->loaded->version;

	if (asked == NULL)
		return version->has_popularity ? version->novelty : 0;
	if (*asked != 0 && !version->has_popularity)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\" does not know how popular its items are",
							   serving->model.name),
						errdetail("Its version %d has been trained without that.", version->number),
						errhint("Train it again, or omit novelty.")));
	return *asked;
}

void
fm_set_query(const FmLoaded *loaded, const FmUserVector *user, double novelty, float *query)
{
	fm_list_query(&loaded->shape, user->v, user->interest_v, novelty, query);
	/* the version may say anything that is finite; what orders must be so, too */
	for (int f = 0; f < fm_query_length(loaded); f++)
		if (!isfinite(query[f]))
			fm_check_score(query[f]);
}

float *
fm_make_query(const FmLoaded *loaded, const FmUserVector *user, double novelty)
{
	float *query = palloc(fm_query_length(loaded) * sizeof(float));

	fm_set_query(loaded, user, novelty, query);
	return query;
}

double
fm_list_sum(const FmLoaded *loaded, const FmUserVector *user, double product)
{
	const FmVersion *version = &loaded->version;
	double mean = fm_is_classification(version->task) ? 0 : version->rating_mean;

	if (version->interest_factors == 0)
		return user->base + product;
	return user->interest_base + version->rating_share * (user->base - mean) + product;
}

double
fm_listed_score(const FmLoaded *loaded, double sum)
{
	const FmVersion *version = &loaded->version;

	fm_check_score(sum);
	return fm_is_classification(version->task) && version->interest_factors == 0
			   ? fm_probability(sum, version->score_variance)
			   : sum;
}

/* Clip a rating to the range of those in the training. */
static double
clip(double value, const FmVersion *version)
{
	float min = version->rating_min;
	float max = version->rating_max;

	if (fm_version_center(version) != 0) /* the range has been rounded */
	{
		min = nextafterf(min, -INFINITY);
		max = nextafterf(max, INFINITY);
	}
	return Max(min, Min(max, value));
}

double
fm_prediction(const FmLoaded *loaded, const FmUserVector *user, int32 item)
{
	const FmVersion *version = &loaded->version;
	double score = user->base;

	if (item >= 0)
		score += fm_list_rating(&loaded->shape, user->v, fm_scan_vector(loaded->matrix, item));
	fm_check_score(score);
	if (fm_is_classification(version->task))
		return fm_probability(score, version->score_variance);
	return fm_is_ranking(version->task) ? score : clip(score, version);
}

float
fm_listed_rating(const FmLoaded *loaded, const FmUserVector *user, int32 item)
{
	return fm_is_ranking(loaded->version.task) ? NAN : (float) fm_prediction(loaded, user, item);
}
