/*
 * Half-steps over blocks: every kernel's means solve the normal equations, and its draws are those
 * of the best kernel, however the range is cut. Prints TAP.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/train/block.h"
#include "core/train/problem.h"
#include "support/data.h"
#include "support/tap.h"

#define SIDE_COUNT 40
#define LONG_ENTITY 3 /* has many ratings, so that sums are widened */
#define OTHERS 500

/* The inputs of one half-step, for entities on one side against OTHERS rows on the other. */
typedef struct Step
{
	FmHalfStep half;
	FmSide side;
	FmRandomKey key;
	FmBlockWork *work;
	size_t cells; /* in each table of output rows */
	int rank;
} Step;

static float *
random_floats(size_t count, double scale, double offset)
{
	float *values = host.alloc(host.ctx, count, sizeof(float));

	for (size_t i = 0; i < count; i++)
		values[i] = (float) (offset + scale * normal());
	return values;
}

static Step
new_step(const FmBlockKernel *kernel, int rank)
{
	Step step = {.key = {7, FM_STREAM_BLOCK, 1}, .rank = rank};
	int64_t *start = host.alloc(host.ctx, SIDE_COUNT + 1, sizeof(int64_t));
	int stride = fm_block_stride(kernel, rank);
	int32_t *other;
	float *rows;

	random_state = 2;
	for (int e = 0; e < SIDE_COUNT; e++)
		start[e + 1] = start[e] + (e == LONG_ENTITY ? 3000 : e * 5 % 97);
	other = host.alloc(host.ctx, start[SIDE_COUNT], sizeof(int32_t));
	for (int64_t r = 0; r < start[SIDE_COUNT]; r++)
		other[r] = (int32_t) (uniform() * OTHERS);
	step.side = (FmSide){SIDE_COUNT, start, other, random_floats(start[SIDE_COUNT], 2, 3),
						 random_floats(start[SIDE_COUNT], 0.1, 1)};

	rows = host.alloc(host.ctx, (size_t) OTHERS * stride, sizeof(float));
	for (int o = 0; o < OTHERS; o++)
	{
		float *row = rows + (size_t) o * stride, scale = (float) (0.5 + uniform());

		for (int f = 0; f < rank; f++)
			row[f] = scale * (float) normal();
		row[rank] = scale;
		row[rank + 1] = scale * (float) normal();
	}
	step.cells = (size_t) SIDE_COUNT * stride;
	step.half = (FmHalfStep){.host = &host,
							 .kernel = kernel,
							 .rank = rank,
							 .value_mean = 3,
							 .value_scale = 0.5,
							 .other_rows = rows,
							 .noise_precision = 2,
							 .noise_share = random_floats(SIDE_COUNT, 0.1, 1),
							 .prior_precision = random_floats(rank + 1, 0.3, 4),
							 .prior_mean = random_floats(rank + 1, 0.2, 0),
							 .prior_slope = random_floats(rank + 1, 0.2, 0),
							 .covariate = random_floats(SIDE_COUNT, 1, 0),
							 .draw_rows = host.alloc(host.ctx, step.cells, sizeof(float)),
							 .mean_rows = host.alloc(host.ctx, step.cells, sizeof(float)),
							 .error = host.alloc(host.ctx, SIDE_COUNT, sizeof(double))};
	step.work = fm_block_work(&host, kernel, rank);
	return step;
}

static void
run_step(Step *step, int cut)
{
	step->half.side = &step->side;
	step->half.noise = &step->key;
	fm_block_half_step(&step->half, step->work, cut, SIDE_COUNT);
	fm_block_half_step(&step->half, step->work, 0, cut);
}

static void
free_step(Step *step)
{
	const void *blocks[] = {step->side.start,
							step->side.other,
							step->side.value,
							step->side.weight,
							step->half.other_rows,
							step->half.noise_share,
							step->half.prior_precision,
							step->half.prior_mean,
							step->half.prior_slope,
							step->half.covariate,
							step->half.draw_rows,
							step->half.mean_rows,
							step->half.error};

	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
		host.release(host.ctx, (void *) blocks[i]);
	fm_block_work_release(&host, step->work);
}

/* Return an element of θ from a row with scale 1. */
static double
theta_of(const Step *step, const float *rows, int entity, int j)
{
	int stride = fm_block_stride(step->half.kernel, step->rank);
	const float *row = rows + (size_t) entity * stride;

	return j < step->rank ? row[j] : -row[step->rank + 1];
}

/*
 * Return how far an entity's mean is from solving its normal equations, as a share of the
 * right-hand side: by the definition, in double, rating by rating.
 */
static double
mean_residual(const Step *step, int entity)
{
	const FmHalfStep *half = &step->half;
	int dim = step->rank + 1, stride = fm_block_stride(half->kernel, step->rank);
	double precision = half->noise_precision * half->noise_share[entity];
	double *left = calloc(2 * dim, sizeof(double)), *size = left + dim, worst = 0;

	for (int64_t r = step->side.start[entity]; r < step->side.start[entity + 1]; r++)
	{
		const float *z = half->other_rows + (size_t) step->side.other[r] * stride;
		double error = z[dim] +
					   z[dim - 1] * (step->side.value[r] - half->value_mean) * half->value_scale;

		for (int j = 0; j < dim; j++)
			error -= theta_of(step, half->mean_rows, entity, j) * z[j];
		error *= step->side.weight[r];
		for (int j = 0; j < dim; j++)
		{
			left[j] += precision * error * z[j];
			size[j] += precision * fabs(error * z[j]);
		}
	}
	for (int j = 0; j < dim; j++)
	{
		double mean = half->prior_mean[j] + half->prior_slope[j] * half->covariate[entity];
		double pull = half->prior_precision[j] *
					  (mean - theta_of(step, half->mean_rows, entity, j));

		worst = fmax(worst, fabs(left[j] + pull) / (size[j] + fabs(pull) + 1));
	}
	free(left);
	return worst;
}

/* Return Σ s² (y - ŷ)² of an entity's draw. */
static double
draw_error(const Step *step, int entity)
{
	const FmHalfStep *half = &step->half;
	int dim = step->rank + 1, stride = fm_block_stride(half->kernel, step->rank);
	double sum = 0;

	for (int64_t r = step->side.start[entity]; r < step->side.start[entity + 1]; r++)
	{
		const float *z = half->other_rows + (size_t) step->side.other[r] * stride;
		double error = z[dim] +
					   z[dim - 1] * (step->side.value[r] - half->value_mean) * half->value_scale;

		for (int j = 0; j < dim; j++)
			error -= theta_of(step, half->draw_rows, entity, j) * z[j];
		sum += step->side.weight[r] * error * error;
	}
	return sum;
}

static void
test_kernel(const FmBlockKernel *kernel, int rank)
{
	Step step = new_step(kernel, rank), best = new_step(fm_block_kernels()[0], rank);
	Step cut = new_step(kernel, rank);
	double solved = 0, error = 0, apart = 0;

	run_step(&step, 0);
	run_step(&best, 0);
	run_step(&cut, 17);
	for (int e = 0; e < SIDE_COUNT; e++)
	{
		if (step.side.start[e] == step.side.start[e + 1])
			continue;
		solved = fmax(solved, mean_residual(&step, e));
		error = fmax(error, fabs(step.half.error[e] / draw_error(&step, e) - 1));
		for (int j = 0; j <= rank; j++)
			apart = fmax(apart, fabs(theta_of(&step, step.half.draw_rows, e, j) -
									 theta_of(&best, best.half.draw_rows, e, j)));
	}
	ok(solved < 1e-4, "%s, rank %d: means solve the normal equations (%.1e)", kernel->name, rank,
	   solved);
	ok(error < 1e-2, "%s, rank %d: residuals are those of the draws (%.1e)", kernel->name, rank,
	   error);
	ok(apart < 1e-3, "%s, rank %d: the same draws as %s (%.1e)", kernel->name, rank,
	   fm_block_kernels()[0]->name, apart);
	ok(memcmp(step.half.draw_rows, cut.half.draw_rows, step.cells * sizeof(float)) == 0 &&
		   memcmp(step.half.error, cut.half.error, SIDE_COUNT * sizeof(double)) == 0,
	   "%s, rank %d: the same bits however the range is cut", kernel->name, rank);
	free_step(&step);
	free_step(&best);
	free_step(&cut);
}

static void
test_kernels(void)
{
	static const int ranks[] = {1, 6, 14, 33, 64, 200};

	for (const FmBlockKernel *const *kernel = fm_block_kernels(); *kernel; kernel++)
		for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++)
			test_kernel(*kernel, ranks[i]);
}

int
main(void)
{
	test_kernels();
	ok(interrupt_checks > 100, "interrupts are checked for");
	return done_testing();
}
