/*
 * What all solvers do before and around their half-steps: the first rows, the common part of a
 * half-step, sums in a fixed order, what repeats tell. Rows belong to the caller.
 */
#include "core/train/problem.h"

#include <math.h>
#include <string.h>

#include "core/data/repeats.h"
#include "core/team.h"

#define HELD_OUT_SHARE 0.1

bool
fm_problem_holds_out(const FmProblem *problem, int32_t user, int32_t item)
{
	const FmRandomKey key = {problem->seed, FM_STREAM_HOLD_OUT, (uint32_t) item};
	uint32_t word[4];

	fm_random_block(&key, (uint32_t) user, 0, word);
	return word[0] < HELD_OUT_SHARE * 0x1p32;
}

float *
fm_problem_rows(const FmProblem *problem, int side, int rank)
{
	return fm_team_alloc(problem->host,
						 (size_t) problem->side[side].count *
							 fm_block_stride(problem->kernel, rank),
						 sizeof(float));
}

float *
fm_problem_init_rows(const FmProblem *problem, int side, int rank)
{
	const FmHost *host = problem->host;
	const FmSide *ratings = &problem->side[side];
	int stride = fm_block_stride(problem->kernel, rank);
	float *rows = fm_problem_rows(problem, side, rank);
	float *normals;
	FmRandomKey key = {problem->seed, FM_STREAM_INIT + side, 0};

	if (!fm_team_leads(host))
		return rows;
	normals = host->alloc(host->ctx, (size_t) (rank + 3) * FM_RANDOM_LANES, sizeof(float));
	for (int32_t e = 0; e < ratings->count; e++)
	{
		int lane = e % FM_RANDOM_LANES;
		float *row = rows + (size_t) e * stride;

		fm_problem_check(problem, e);
		if (lane == 0)
		{
			uint32_t entity[FM_RANDOM_LANES];

			for (int l = 0; l < FM_RANDOM_LANES; l++)
				entity[l] = (uint32_t) e + l;
			fm_random_normals(&key, entity, rank, normals);
		}
		if (!fm_side_is_rated(ratings, e))
			continue;
		for (int f = 0; f < rank; f++)
			row[f] = problem->init_stdev * normals[(size_t) f * FM_RANDOM_LANES + lane];
		row[rank] = 1;
	}
	host->release(host->ctx, normals);
	return rows;
}

FmHalfStep
fm_problem_half_step(const FmProblem *problem, int side, int rank, const float *other_rows,
					 double *error)
{
	FmHalfStep step = {0};

	step.host = problem->host;
	step.kernel = problem->kernel;
	step.rank = rank;
	step.side = &problem->side[side];
	step.value_mean = problem->mean;
	step.value_scale = 1 / problem->deviation;
	step.other_rows = other_rows;
	step.noise_precision = 1;
	step.error = error;
	return step;
}

void
fm_problem_report(const FmProblem *problem, const FmIteration *iteration)
{
	const FmHost *host = problem->host;
	FmWatchRows rows = {{iteration->rows[FM_USERS], iteration->rows[FM_ITEMS]},
						iteration->levels,
						iteration->rank,
						fm_block_stride(problem->kernel, iteration->rank),
						problem->mean,
						problem->deviation};

	if (host->progress == NULL)
		return;
	host->progress(host->progress_ctx, iteration->solver, iteration->number, iteration->count,
				   iteration->error,
				   problem->watch == NULL
					   ? NAN
					   : fm_watch_score(problem->watch, &rows, iteration->averages));
}

double
fm_problem_sum_error(const FmProblem *problem, int side, const double *error)
{
	double sum = 0;

	for (int32_t e = 0; e < problem->side[side].count; e++)
		sum += error[e];
	return sum;
}

double
fm_problem_observations(const FmProblem *problem, int side, int32_t e)
{
	const FmSide *ratings = &problem->side[side];

	return fm_problem_weighs_repeats(problem) ? (double) fm_side_count(ratings, e)
											  : fm_side_weight(ratings, e);
}

double
fm_problem_all_observations(const FmProblem *problem)
{
	return fm_problem_weighs_repeats(problem) ? (double) problem->num_ratings
											  : problem->total_weight;
}

bool
fm_problem_fits_correlation(const FmProblem *problem)
{
	return fm_problem_weighs_repeats(problem) && problem->repeats.correlation < 1 &&
		   problem->task == FM_TASK_REGRESSION && problem->contexts.num_columns == 0;
}

double
fm_problem_correlation(const FmProblem *problem, double noise_precision)
{
	double scale = problem->deviation * problem->deviation;
	double within = (1 - problem->repeats.correlation) * problem->repeats.row_variance / scale;

	return fm_round_correlation(1 - within * noise_precision);
}

FmReweighing
fm_problem_reweighing(const FmProblem *problem, double correlation)
{
	double before = problem->repeats.correlation;

	return (FmReweighing){(float) (1 - before), (float) (1 - correlation),
						  (float) (correlation - before)};
}

double
fm_problem_centre_counts(const FmProblem *problem, int side, float *covariate)
{
	const FmSide *ratings = &problem->side[side];
	double centre = 0, sum = 0;

	for (int pass = 0; pass < 2; pass++)
	{
		sum = 0;
		for (int32_t e = 0; e < ratings->count; e++)
		{
			double n = fm_side_weight(ratings, e);
			double g = n > 0 ? log(n) - centre : 0;

			covariate[e] = (float) g;
			sum += pass == 0 ? g : g * g;
		}
		centre = sum / problem->num_rated[side];
	}
	return sum;
}
