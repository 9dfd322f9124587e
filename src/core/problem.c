/*
 * What both solvers do before and around their half-steps: the first rows, the common part of a
 * half-step, sums in a fixed order.
 */
#include "core/problem.h"

#include <string.h>

float *
fm_problem_init_rows(const FmProblem *problem, int side, int rank)
{
	const FmSide *ratings = &problem->side[side];
	int stride = fm_block_stride(problem->kernel, rank);
	float *rows = problem->host->alloc(problem->host->ctx, (size_t) ratings->count * stride,
									   sizeof(float));
	FmRandomKey key = {problem->seed, FM_STREAM_INIT + side, 0};

	for (int32_t e = 0; e < ratings->count; e++)
	{
		FmRandomSequence random = {key, e, 0};
		float *row = rows + (size_t) e * stride;

		if (ratings->start[e] == ratings->start[e + 1])
			continue;
		for (int f = 0; f < rank; f++)
			row[f] = (float) (problem->init_stdev * fm_random_normal(&random));
		row[rank] = 1;
	}
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

double
fm_problem_sum_error(const FmProblem *problem, int side, const double *error)
{
	double sum = 0;

	for (int32_t e = 0; e < problem->side[side].count; e++)
		sum += error[e];
	return sum;
}
