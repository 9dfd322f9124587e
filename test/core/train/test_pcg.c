/*
 * Half-steps by conjugate gradients: they lower what they minimise, step by step, to the result of
 * the exact half-step, and so does a training with them. Kernels agree. Prints TAP.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/train/ials.h"
#include "core/train/pcg.h"
#include "support/data.h"
#include "support/tap.h"

static float *
random_floats(size_t count, double centre, double spread)
{
	float *values = host.alloc(host.ctx, count, sizeof(float));

	for (size_t i = 0; i < count; i++)
		values[i] = (float) (centre + spread * (2 * uniform() - 1));
	return values;
}

/* ---- One half-step ---- */

#define ENTITIES 40
#define OTHERS 300
#define LONG_ENTITY 3 /* has more ratings than a panel has rows */
#define UNOBSERVED 0.1

typedef struct Step
{
	FmProblem problem;
	FmHalfStep half;
	int rank;
	int dim;
	int stride;
	int columns;
	float *base; /* all columns, for the exact half-step */
	float *rated;
	size_t cells; /* of mean_rows */
} Step;

/* Return a side on which some entities have many ratings and some none. */
static FmSide
new_side(void)
{
	int64_t *start = host.alloc(host.ctx, ENTITIES + 1, sizeof(int64_t));
	int32_t *other;
	float *value;

	for (int e = 0; e < ENTITIES; e++)
		start[e + 1] = start[e] + (e == LONG_ENTITY ? 5000 : e * 7 % 150);
	other = host.alloc(host.ctx, start[ENTITIES], sizeof(int32_t));
	value = host.alloc(host.ctx, start[ENTITIES], sizeof(float));
	for (int64_t r = 0; r < start[ENTITIES]; r++)
	{
		other[r] = (int32_t) (uniform() * OTHERS);
		value[r] = 1;
	}
	return (FmSide){ENTITIES, start, other, value, random_floats(start[ENTITIES], 1.5, 1)};
}

/*
 * Return factor × Σ z zᵀ over the other side's rows, or over them as often as they are rated, in
 * `columns` columns.
 */
static float *
sum_rows(const Step *step, bool is_rated, double factor, int columns)
{
	const FmSide *side = &step->problem.side[0];
	double *sums = calloc((size_t) columns * columns, sizeof(double));
	double *weight = calloc(OTHERS, sizeof(double));
	float *matrix = host.alloc(host.ctx, (size_t) columns * columns, sizeof(float));

	for (int64_t r = 0; r < side->start[ENTITIES]; r++)
		weight[side->other[r]] += side->weight[r];
	for (int o = 0; o < OTHERS; o++)
		for (int i = 0; i < columns; i++)
			for (int j = 0; j < columns; j++)
				sums[i * columns + j] += (is_rated ? weight[o] : 1) *
										 step->half.other_rows[o * step->stride + i] *
										 step->half.other_rows[o * step->stride + j];
	for (int i = 0; i < columns * columns; i++)
		matrix[i] = (float) (factor * sums[i]);
	free(sums);
	free(weight);
	return matrix;
}

static float *
new_rows(const Step *step, int count, bool has_biases)
{
	float *rows = host.alloc(host.ctx, (size_t) count * step->stride, sizeof(float));

	for (int e = 0; e < count; e++)
	{
		float *row = rows + (size_t) e * step->stride;

		for (int f = 0; f < step->rank; f++)
			row[f] = (float) (0.6 * uniform() - 0.25);
		row[step->rank] = 1;
		row[step->rank + 1] = has_biases ? (float) (0.2 * uniform() - 0.1) : 0;
	}
	return rows;
}

/* Hold biases at 0 in the exact half-step, which always has some. */
static void
pin_biases(Step *step)
{
	float *precision = (float *) step->half.prior_precision;
	float *mean = (float *) step->half.prior_mean, *offset = (float *) step->half.prior_offset;

	precision[step->rank] = 1e7f;
	mean[step->rank] = 0;
	for (int e = 0; e < ENTITIES; e++)
		offset[(size_t) e * step->stride + step->rank] = 0;
}

static Step
new_step(const FmBlockKernel *kernel, int rank, bool has_biases)
{
	Step step = {.rank = rank,
				 .dim = fm_pcg_dim(rank, has_biases),
				 .stride = fm_block_stride(kernel, rank),
				 .columns = fm_pcg_columns(kernel, rank, has_biases)};

	random_state = 3;
	step.problem = (FmProblem){.host = &host, .kernel = kernel, .num_rated = {ENTITIES, OTHERS}};
	step.problem.side[0] = step.problem.side[1] = new_side();
	for (int e = 0; e < ENTITIES; e++)
		step.problem.total_weight += fm_side_weight(&step.problem.side[0], e);
	step.cells = (size_t) ENTITIES * step.stride;
	step.half = (FmHalfStep){.host = &host,
							 .kernel = kernel,
							 .rank = rank,
							 .value_scale = 1,
							 .other_rows = new_rows(&step, OTHERS, has_biases),
							 .noise_precision = 1,
							 .prior_precision = random_floats(rank + 1, 0.1, 0.04),
							 .prior_mean = random_floats(rank + 1, 0, 0.1),
							 .prior_offset = random_floats(step.cells, 0, 0.1),
							 .prior_growth = FM_PRIOR_BY_COUNT,
							 .base_by_count = true,
							 .prior_count_base = 20,
							 .mean_rows = new_rows(&step, ENTITIES, has_biases),
							 .error = host.alloc(host.ctx, ENTITIES, sizeof(double))};
	if (!has_biases)
		pin_biases(&step);
	step.half.base = sum_rows(&step, false, UNOBSERVED, step.columns);
	step.base = sum_rows(&step, false, UNOBSERVED, step.stride);
	step.rated = sum_rows(&step, true, 1 / step.problem.total_weight, step.columns);
	return step;
}

static void
free_step(Step *step)
{
	const void *blocks[] = {step->problem.side[0].start,
							step->problem.side[0].other,
							step->problem.side[0].value,
							step->problem.side[0].weight,
							step->half.other_rows,
							step->half.prior_precision,
							step->half.prior_mean,
							step->half.prior_offset,
							step->half.mean_rows,
							step->half.error,
							step->half.base,
							step->base,
							step->rated};

	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
		host.release(host.ctx, (void *) blocks[i]);
}

/* Run `times` half-steps, each in two pieces. */
static void
run_pcg(Step *step, int times, int cut)
{
	bool has_biases = step->dim > step->rank;
	FmPcgWork *work = fm_pcg_work(&host, step->half.kernel, step->rank, has_biases);
	FmPreconditioner *preconditioner = fm_precondition_create(&step->problem, step->dim,
															  step->columns);

	step->half.side = &step->problem.side[0];
	fm_precondition_set_problem(preconditioner, &step->problem);
	fm_precondition_update(preconditioner, &step->half, 0, step->rated);
	for (int i = 0; i < times; i++)
	{
		fm_pcg_half_step(&step->half, preconditioner, work, cut, ENTITIES);
		fm_pcg_half_step(&step->half, preconditioner, work, 0, cut);
	}
	fm_precondition_release(preconditioner);
	fm_pcg_work_release(&host, work);
}

static void
run_exact(Step *step)
{
	FmBlockWork *work = fm_block_work(&host, step->half.kernel, step->rank);
	FmHalfStep half = step->half;

	half.side = &step->problem.side[0];
	half.base = step->base;
	fm_block_half_step(&half, work, 0, ENTITIES);
	fm_block_work_release(&host, work);
}

static double
theta_of(const Step *step, int entity, int j)
{
	const float *row = step->half.mean_rows + (size_t) entity * step->stride;

	return j < step->rank ? row[j] : -row[step->rank + 1];
}

/* Return (ŷ - y)² of an entity with one of the others. */
static double
squared_error(const Step *step, int entity, int other, double y)
{
	const float *z = step->half.other_rows + (size_t) other * step->stride;
	double error = theta_of(step, entity, step->rank) - z[step->rank + 1] - y;

	for (int f = 0; f < step->rank; f++)
		error += theta_of(step, entity, f) * z[f];
	return error * error;
}

/*
 * Compute by the definition the squared errors of an entity, and return them with the prior's part:
 * what is minimised.
 */
static double
loss_of(const Step *step, int entity, double *errors)
{
	const FmHalfStep *half = &step->half;
	const FmSide *side = &step->problem.side[0];
	double factor = fm_side_weight(side, entity) + half->prior_count_base, loss;
	double share = fm_all_pairs_share((double) fm_side_count(side, entity));

	*errors = 0;
	for (int o = 0; o < OTHERS; o++)
		*errors += share * UNOBSERVED * squared_error(step, entity, o, 0);
	for (int64_t r = side->start[entity]; r < side->start[entity + 1]; r++)
		*errors += side->weight[r] * squared_error(step, entity, side->other[r], 1);
	loss = *errors;
	for (int j = 0; j < step->dim; j++)
	{
		double pull = theta_of(step, entity, j) - half->prior_mean[j] -
					  half->prior_offset[(size_t) entity * step->stride + j];

		loss += factor * half->prior_precision[j] * pull * pull;
	}
	return loss;
}

static bool
has_ratings(const Step *step, int entity)
{
	const int64_t *start = step->problem.side[0].start;

	return start[entity] < start[entity + 1];
}

/*
 * Run half-step after half-step of the same side, and find the largest rise of an entity's loss and
 * the largest difference of its error.
 */
static void
check_descent(Step *step, int times, double *rise, double *off)
{
	double loss[ENTITIES], errors;

	*rise = *off = 0;
	for (int e = 0; e < ENTITIES; e++)
		loss[e] = loss_of(step, e, &errors);
	for (int i = 0; i < times; i++)
	{
		run_pcg(step, 1, 0);
		for (int e = 0; e < ENTITIES; e++)
		{
			double now = loss_of(step, e, &errors);

			*rise = fmax(*rise, (now - loss[e]) / loss[e]);
			loss[e] = now;
			if (has_ratings(step, e))
				*off = fmax(*off, fabs(step->half.error[e] - errors) / errors);
		}
	}
}

static double
total_loss(const Step *step)
{
	double sum = 0, errors;

	for (int e = 0; e < ENTITIES; e++)
		if (has_ratings(step, e))
			sum += loss_of(step, e, &errors);
	return sum;
}

/* Return the largest difference between the θ of two steps. */
static double
apart(const Step *a, const Step *b)
{
	double largest = 0;

	for (int e = 0; e < ENTITIES; e++)
		for (int j = 0; j < a->dim; j++)
			largest = fmax(largest, fabs(theta_of(a, e, j) - theta_of(b, e, j)));
	return largest;
}

static void
test_half_step(const FmBlockKernel *kernel, int rank, bool has_biases)
{
	const char *what = has_biases ? "biases" : "no biases";
	Step step = new_step(kernel, rank, has_biases), exact = new_step(kernel, rank, has_biases);
	Step best = new_step(fm_block_kernels()[0], rank, has_biases);
	Step cut = new_step(kernel, rank, has_biases);
	double begin = total_loss(&step), least, rise, off;

	run_exact(&exact);
	least = total_loss(&exact);
	check_descent(&step, 1, &rise, &off);
	ok(total_loss(&step) - least < 0.02 * (begin - least),
	   "%s, rank %d, %s: from a loss of %.1f to %.1f, of which %.1f is the least", kernel->name,
	   rank, what, begin, total_loss(&step), least);
	run_pcg(&best, 1, 0);
	ok(apart(&step, &best) < 1e-3, "and as near as with %s (%.1e)", best.half.kernel->name,
	   apart(&step, &best));
	run_pcg(&cut, 1, 17);
	ok(memcmp(step.half.mean_rows, cut.half.mean_rows, step.cells * sizeof(float)) == 0 &&
		   memcmp(step.half.error, cut.half.error, ENTITIES * sizeof(double)) == 0,
	   "the same bits wherever the range is cut");
	check_descent(&step, 8, &rise, &off);
	ok(apart(&step, &exact) < 1e-4, "in the end the exact half-step's (%.1e)",
	   apart(&step, &exact));
	ok(rise < 1e-5, "no entity's loss has risen (%.1e)", rise);
	ok(off < 1e-3, "and errors are right (%.1e)", off);
	free_step(&step);
	free_step(&exact);
	free_step(&best);
	free_step(&cut);
}

/* ---- A training ---- */

#define USERS 90
#define ITEMS 70
#define TASTES 3
#define L2_REG_V 1.0

static FmRatings
plant(void)
{
	FmTriples triples = new_triples(USERS * ITEMS, false);

	random_state = 4;
	for (int u = 0; u < USERS; u++)
		for (int i = 0; i < ITEMS; i++)
			if (uniform() < (u % TASTES == i % TASTES ? 0.5 : 0.1))
				add_rating(&triples, u, i, 1, 1);
	return new_ratings(&triples, USERS, ITEMS);
}

/* The objective of ials.c, for any rank; biases are left out of the training. */
typedef struct Loss
{
	const FmRatings *ratings;
	int rank;
	int stride;
	double value;
} Loss;

static double
product_of(const float *a, const float *b, int rank)
{
	double sum = 0;

	for (int f = 0; f < rank; f++)
		sum += (double) a[f] * b[f];
	return sum;
}

static double
regularisation(const Loss *loss, const float *rows, const int64_t *start, int count, int others,
			   double unit)
{
	double mean = (double) loss->ratings->num_ratings / count, all = UNOBSERVED * others, sum = 0;

	for (int e = 0; e < count; e++)
	{
		const float *row = rows + (size_t) e * loss->stride;
		double n = (double) (start[e + 1] - start[e]);

		sum += (n + all) / (mean + all) * product_of(row, row, loss->rank);
	}
	return L2_REG_V * unit * sum;
}

/* FmSampleSink */
static void
compute_loss(void *ctx, const FmSample *sample)
{
	Loss *loss = ctx;
	const FmRatings *r = loss->ratings;
	double unit = sqrt((double) r->num_ratings / USERS) + sqrt((double) r->num_ratings / ITEMS);
	double shares = 0;

	for (int i = 0; i < ITEMS; i++)
		shares += fm_all_pairs_share((double) (r->item_start[i + 1] - r->item_start[i])) / ITEMS;
	loss->value = regularisation(loss, sample->rows[0], r->user_start, USERS, ITEMS, unit) +
				  regularisation(loss, sample->rows[1], r->item_start, ITEMS, USERS, unit);
	for (int u = 0; u < USERS; u++)
	{
		const float *row = sample->rows[0] + (size_t) u * loss->stride;

		for (int i = 0; i < ITEMS; i++)
		{
			double score = product_of(row, sample->rows[1] + (size_t) i * loss->stride, loss->rank);

			loss->value += UNOBSERVED / shares * score * score *
						   fm_all_pairs_share((double) (r->item_start[i + 1] - r->item_start[i]));
		}
		for (int64_t at = r->user_start[u]; at < r->user_start[u + 1]; at++)
		{
			const float *item = sample->rows[1] + (size_t) r->user_item[at] * loss->stride;
			double error = 1 - product_of(row, item, loss->rank);

			loss->value += error * error;
		}
	}
}

static double
loss_after(const FmRatings *r, int rank, int iterations)
{
	const FmBlockKernel *kernel = fm_block_kernels()[0];
	FmProblem problem = {
		.host = &host,
		.kernel = kernel,
		.task = FM_TASK_RANKING,
		.side = {{USERS, r->user_start, r->user_item, r->user_value, NULL},
				 {ITEMS, r->item_start, r->item_user, r->item_value, NULL}},
		.num_ratings = r->num_ratings,
		.total_weight = (double) r->num_ratings,
		.num_rated = {USERS, ITEMS},
		.deviation = 1,
		.iterations = iterations,
		.init_stdev = 0.1f,
		.l2_reg_w = 1e6f,
		.l2_reg_v = L2_REG_V,
		.unobserved_weight = UNOBSERVED,
		.seed = 5,
	};
	Loss loss = {r, rank, fm_block_stride(kernel, rank), 0};

	fm_ials(&problem, rank, compute_loss, &loss);
	return loss.value;
}

/*
 * With so few tastes, factors beyond some are shrunken to zero. So the minimum is the same for the
 * largest rank that is solved exactly and for the next rank, which is not.
 */
static void
test_training(void)
{
	FmRatings ratings = plant();
	double exact, last, loss = 0, rise = 0;
	int rank = 1;

	while (!fm_pcg_pays(rank))
		rank++;
	exact = loss_after(&ratings, rank - 1, 200);
	last = loss_after(&ratings, rank, 1);
	for (int iterations = 2; iterations <= 40; iterations++, last = loss)
	{
		loss = loss_after(&ratings, rank, iterations);
		rise = fmax(rise, (loss - last) / last);
	}
	loss = loss_after(&ratings, rank, 200);
	ok(rise < 1e-6, "no iteration raises the loss (%.1e)", rise);
	ok(fabs(loss / exact - 1) < 1e-5, "to the minimum of exact solutions, %.6f: %.6f", exact, loss);
	ok(loss_after(&ratings, rank, 1) > 1.02 * exact, "which is not there from the first");
	free_ratings(&ratings);
}

int
main(void)
{
	const FmBlockKernel *const *kernels = fm_block_kernels();

	for (int k = 0; kernels[k] != NULL; k++)
	{
		test_half_step(kernels[k], 32, false);
		test_half_step(kernels[k], 50, false);
		test_half_step(kernels[k], 64, true);
		test_half_step(kernels[k], 100, true);
	}
	ok(interrupt_checks > 0, "interrupts are heeded");
	test_training();
	return done_testing();
}
