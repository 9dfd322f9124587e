/*
 * The computing phase of a training: from the data that was read to V, w and b, their metrics, and
 * what folding in needs besides.
 *
 * It reads nothing from the database and writes nothing, so it needs a snapshot only while workers
 * start (train_workers.c). Memory: the current context; what workers share is released before the
 * end.
 */
#include "train/fit.h"

#include <math.h>

#include "core/data/repeats.h"
#include "core/train/solver.h"
#include "pg/host_pg.h"
#include "registry/definition.h"
#include "source/budget.h"
#include "train/describe.h"
#include "train/interest.h"
#include "train/score.h"
#include "train/train_workers.h"

/* A worker for fewer ratings costs more than it saves. */
#define RATINGS_PER_WORKER 10000

/* What the core makes of the data. */
typedef struct Fit
{
	FmSharedRatings *shared;
	FmRatings *ratings; /* those trained on */
	FmTriples held_out;
	FmRepeats repeats;
	double weight_unit;
	FmRecency recency; /* with a time column */
	int32_t *user_canonical;
	int32_t *item_canonical;
	FmFeatures features[2];
	FmParameters parameters;
	FmParameters interest;
	FmStrength strength; /* of the ratings of a ranking */
} Fit;

/* Merge the rows of equal pairs. The events of a ranking add up. */
static FmRepeats
merge_repeats(const FmDefinition *definition, FmRatingReading *reading, const FmHost *host)
{
	FmTriples *triples = &reading->triples;
	float *spare = NULL;
	FmRepeats repeats;

	if (triples->weight == NULL)
		spare = MemoryContextAllocHuge(CurrentMemoryContext, triples->count * sizeof(float));
	repeats = fm_merge_repeats(triples, reading->is_late, fm_is_classification(definition->task),
							   fm_is_ranking(definition->task) ? 0 : NAN, spare,
							   fm_idmap_count(reading->users), fm_idmap_count(reading->items),
							   host);
	if (spare != NULL && triples->weight == NULL)
		pfree(spare);
	return repeats;
}

static void
canonicalise(FmTriples *triples, const int32_t *user_canonical, const int32_t *item_canonical)
{
	for (int64 r = 0; r < triples->count; r++)
	{
		triples->user[r] = user_canonical[triples->user[r]];
		triples->item[r] = item_canonical[triples->item[r]];
	}
}

/* Move the late rows from the triples of the reading into arrays of their own. */
static void
take_late(FmRatingReading *reading, FmTriples *late)
{
	FmTriples *triples = &reading->triples;
	MemoryContext context = CurrentMemoryContext;
	Size size = triples->count * sizeof(int32);
	int64 kept = 0;

	late->user = MemoryContextAllocHuge(context, size);
	late->item = MemoryContextAllocHuge(context, size);
	late->value = MemoryContextAllocHuge(context, size);
	late->weight = triples->weight == NULL ? NULL : MemoryContextAllocHuge(context, size);
	late->context = triples->context == NULL ? NULL : MemoryContextAllocHuge(context, size);
	for (int64 r = 0; r < triples->count; r++)
	{
		FmTriples *to = reading->is_late[r] ? late : triples;
		int64 at = reading->is_late[r] ? late->count++ : kept++;

		to->user[at] = triples->user[r];
		to->item[at] = triples->item[r];
		to->value[at] = triples->value[r];
		if (to->weight != NULL)
			to->weight[at] = triples->weight[r];
		if (to->context != NULL)
			to->context[at] = triples->context[r];
	}
	triples->count = kept;
}

static void
hold_out(const FmDefinition *definition, const FmHost *host, Fit *fit)
{
	if (definition->test_size <= 0)
		return;
	if (definition->split_column == NULL)
		fm_ratings_hold_out(fit->ratings, definition->test_size, (uint64_t) definition->seed, host,
							&fit->held_out);
	if (fit->ratings->num_ratings == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("test_size => %g leaves none of the %lld ratings to train on",
							   definition->test_size, (long long) fit->held_out.count),
						errhint("Lower test_size.")));
}

/*
 * Return how many workers to ask for: as many as the definition says, or as the server allows for a
 * maintenance command, but fewer for few ratings.
 */
static int
choose_workers(const FmDefinition *definition, int64 num_ratings)
{
	int allowed = definition->workers >= 0 ? definition->workers : max_parallel_maintenance_workers;

	return (int) Min(allowed, num_ratings / RATINGS_PER_WORKER);
}

/* Build the features of one side, by canonical entity. Releases the entries that were read. */
static FmFeatures
build_features(FmFeatureReading *reading, const int32_t *canonical, const FmHost *host)
{
	FmFeatures features = {0};
	FmFeatureEntries *entries;

	if (reading == NULL)
		return features;
	entries = &reading->entries;
	for (int64 i = 0; i < entries->count; i++)
		entries->entity[i] = canonical[entries->entity[i]];
	fm_features_build(entries, host, &features);
	fm_report_idle_columns(reading);
	return features;
}

static double
features_reading_size(const FmTrainingData *data)
{
	double bytes = 0;

	for (int side = 0; side < 2; side++)
		if (data->features[side] != NULL)
			bytes += fm_features_reading_size(data->features[side]);
	return bytes;
}

/* Compute recency from the times that were read, which are freed. */
static void
read_recency(FmRatingReading *reading, int32 num_users, const FmHost *host, Fit *fit)
{
	fm_recency_create(&reading->triples, reading->time, num_users, host, &fit->recency);
	pfree(reading->time);
	reading->time = NULL;
}

/* Weigh the ratings of a ranking. Equal weights were left out; their arrays are still there. */
static void
weigh_ranking_by_recency(Fit *fit, float *by_user, float *by_item)
{
	FmRatings *ratings = fit->ratings;

	if (ratings->user_weight == NULL)
		for (int64 r = 0; r < ratings->num_ratings; r++)
			by_user[r] = by_item[r] = 1;
	ratings->user_weight = by_user;
	ratings->item_weight = by_item;
	fm_weigh_ratings_by_recency(&fit->recency, ratings);
}

/*
 * Make weights relative, unless repeats alone have made them. Those of a ranking are counts: they
 * are replaced by the strengths of their pairs (core/model/strength.h), times their recency.
 */
static void
weigh(const FmDefinition *definition, const FmHost *host, Fit *fit)
{
	FmRatings *ratings = fit->ratings;
	float *by_user = ratings->user_weight, *by_item = ratings->item_weight;

	fit->strength = (FmStrength){.deviation = 1, .scale = 1};
	fit->weight_unit = 1;
	if (ratings->repeats.row_variance > 0)
		return;
	fit->weight_unit = fm_ratings_relative_weights(ratings, fm_most_weight(definition->task),
												   &fit->held_out);
	if (!fm_is_ranking(definition->task))
		return;
	if (ratings->user_weight != NULL)
	{
		fm_strength_learn(FM_STRENGTH_COUNTS, ratings, host, &fit->strength);
		fm_strengths_of_ratings(&fit->strength, ratings, host, by_user, by_item);
	}
	if (fit->recency.entry != NULL)
		weigh_ranking_by_recency(fit, by_user, by_item);
}

/* Return what weights take that no column has but repeats have made necessary. */
static double
weights_size(const FmDefinition *definition, const FmTriples *triples)
{
	if (triples->weight == NULL || definition->weight_column != NULL)
		return 0;
	return 2.0 * (double) triples->count * sizeof(float);
}

/*
 * Solve, and record in a curve what each iteration reaches. The elapsed time is that of the run.
 */
static void
solve(FmSolverOptions *options, int workers, const FmHost *host, Fit *fit, const FmRun *run,
	  FmCurve *curve, FmParameters *parameters)
{
	FmHost recording = *host;

	if (fit->held_out.count > 0)
		options->watch = fm_watch_create(options->task, fit->ratings, &fit->held_out, options->seed,
										 host);
	fm_curve_record(curve, options->task, run->model, run->started_at, &recording);
	fm_solve_in_parallel(fit->shared, options, workers, &recording, parameters);
	fm_watch_release(options->watch, host);
}

static void
fit_model(const FmDefinition *definition, FmTrainingData *data, const FmHost *host, FmRun *run,
		  Fit *fit)
{
	FmSolverOptions options = fm_solver_options(definition);
	FmTriples *triples = &data->ratings->triples;
	int32 num_users = fm_idmap_count(data->ratings->users);
	int32 num_items = fm_idmap_count(data->ratings->items);
	int workers;
	const FmContexts none = {0};
	const FmContexts *contexts = data->ratings->contexts ? &data->ratings->contexts->contexts
														 : &none;

	if (data->ratings->time != NULL)
		read_recency(data->ratings, num_users, host, fit);
	fit->repeats = merge_repeats(definition, data->ratings, host);
	if (fit->recency.entry != NULL && fm_is_ranking(definition->task) && triples->weight == NULL)
		triples->weight = fm_equal_weights(triples->count); /* which recency multiplies */
	workers = choose_workers(definition, triples->count);
	fm_canonical_order(triples, num_users, num_items, host, &fit->user_canonical,
					   &fit->item_canonical);
	canonicalise(triples, fit->user_canonical, fit->item_canonical);
	if (fit->recency.entry != NULL)
		fm_recency_renumber(&fit->recency, fit->user_canonical, fit->item_canonical, host);
	if (definition->split_column != NULL)
		take_late(data->ratings, &fit->held_out);
	fit->features[FM_USERS] = build_features(data->features[FM_USERS], fit->user_canonical, host);
	fit->features[FM_ITEMS] = build_features(data->features[FM_ITEMS], fit->item_canonical, host);
	fm_check_budget_to_solve(definition, triples->count, num_users, num_items,
							 (int32[]){fit->features[0].num_levels, fit->features[1].num_levels},
							 features_reading_size(data) + weights_size(definition, triples) +
								 fm_context_reading_size(data->ratings->contexts),
							 contexts);
	fit->shared = fm_share_ratings(triples, num_users, num_items, fit->features, contexts, workers,
								   host);
	fit->ratings = fm_shared_ratings(fit->shared);
	if (definition->weight_column == NULL)
		fit->ratings->repeats = (FmRepeatWeights){fit->repeats.correlation,
												  fit->repeats.row_variance};
	hold_out(definition, host, fit);
	weigh(definition, host, fit);
	solve(&options, workers, host, fit, run, &run->curve, &fit->parameters);
	if (fit->ratings->repeats.row_variance > 0)
		fit->repeats.correlation = fit->parameters.repeat_correlation;
}

static void
fill_run(FmRun *run, const FmDefinition *definition, const FmTrainingData *data, const Fit *fit)
{
	run->num_factors = fit->parameters.num_factors;
	run->iterations = fit->parameters.iterations;
	run->users = fm_idmap_count(data->ratings->users);
	run->items = fm_idmap_count(data->ratings->items);
	run->features = run->users + run->items;
	if (definition->history)
		run->features *= 2;
	for (int side = 0; side < 2; side++)
		run->features += fit->features[side].num_levels;
	run->features += fit->ratings->contexts.num_levels;
	run->ratings = fit->ratings->num_ratings;
	run->repeats = fit->repeats.rows - fit->repeats.pairs;
	run->skipped = data->ratings->skipped;
	run->rows_read = fit->repeats.rows + run->skipped;
}

/*
 * Fit the interest head on the pairs of the ratings, in place of which they are kept from here on.
 */
static void
fit_interest(const FmDefinition *definition, const FmHost *host, Fit *fit, FmRun *run,
			 FmResult *result)
{
	FmSolverOptions options = fm_interest_options(definition);
	int32 num_users = fit->ratings->num_users, num_items = fit->ratings->num_items;
	FmTriples pairs = fm_interest_pairs(fit->ratings, true, host, &result->version.strength);
	int workers = choose_workers(definition, pairs.count);
	const FmContexts none = {0};

	if (fit->recency.entry != NULL)
		fm_weigh_by_recency(&fit->recency, &pairs);
	fm_release_ratings(fit->shared);
	fit->shared = fm_share_ratings(&pairs, num_users, num_items, fit->features, &none, workers,
								   host);
	fit->ratings = fm_shared_ratings(fit->shared);
	solve(&options, workers, host, fit, run, &run->interest_curve, &fit->interest);
	result->interest = &fit->interest;
	fm_describe_interest(fit->ratings, &fit->interest, host, result);
}

void
fm_fit(const FmDefinition *definition, FmTrainingData *data, FmRun *run, FmResult *result)
{
	const FmHost *host = fm_pg_host(CurrentMemoryContext);
	Fit *fit = palloc0(sizeof(Fit));
	FmScored scored;

	fit_model(definition, data, host, run, fit);
	fill_run(run, definition, data, fit);
	scored = (FmScored){fit->ratings, &fit->held_out, &fit->parameters, NULL};
	result->data = data;
	result->parameters = &fit->parameters;
	result->user_canonical = fit->user_canonical;
	result->item_canonical = fit->item_canonical;
	result->features = fit->features;
	result->version = (FmVersion){.number = run->version,
								  .task = definition->task,
								  .num_factors = fit->parameters.num_factors,
								  .b = fit->parameters.b + data->ratings->center,
								  .rating_min = data->ratings->min,
								  .rating_max = data->ratings->max,
								  .rating_mean = fm_score_run(definition, data->ratings, &scored,
															  host, run),
								  .score_variance = fit->parameters.score_variance,
								  .interest_noise_variance = 1,
								  .rating_share = 1,
								  .novelty_unit = 1,
								  .repeat_correlation = fit->repeats.correlation,
								  .weight_unit = fit->weight_unit,
								  .strength = fit->strength,
								  .num_users = fm_idmap_count(data->ratings->users),
								  .num_items = fm_idmap_count(data->ratings->items)};
	if (data->ratings->center != 0)
		result->version.rating_mean = data->ratings->center; /* see fm_version_center */
	fm_describe_sides(definition, fit->ratings, &fit->parameters, &run->train, host, result);
	if (fm_has_interest(definition))
		fit_interest(definition, host, fit, run, result);
	fm_describe_popularity(fit->ratings, host, result);
	scored.ratings = fit->ratings;
	fm_score_lists(&scored, result, host, run);
	fm_release_ratings(fit->shared);
}
