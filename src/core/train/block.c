/*
 * The half-step of every solver (block.h says what it promises).
 *
 * Given the other side, the targets of entity e are linear in θ = (v_e, w_e):
 *
 *   y_r - w_other(r) = <θ, z_r> + noise,   z_r = (v_other(r), 1)
 *
 * With the prior precision Λ (diagonal), the prior mean μ and the noise precision α, the
 * conditional distribution of θ is normal, with the precision M = Λ + α Σ z zᵀ and the mean M⁻¹ (Λ
 * μ + α Σ z (y - w)) (Salakhutdinov and Mnih 2008, eq. 11-13, with the bias in the block). With M =
 * L Lᵀ and h = L⁻¹ (Λ μ + α Σ z (y - w)), the mean is L⁻ᵀ h, and a draw is L⁻ᵀ (h + n) with n
 * standard normal.
 *
 * How. The rows (z, y - w) of an entity's ratings are gathered into a panel that stays in cache.
 * Adding panelᵀ panel to the entity's Gram matrix yields Σ z zᵀ, Σ z (y - w) and Σ (y - w)² at
 * once. Then sixteen entities are factored side by side, one in each SIMD lane, which is several
 * times faster than one LAPACK call for each. Blocks of more than LANE_DIM_MAX numbers no longer
 * fit the cache that way and go to LAPACK one by one.
 *
 * Precision. Sums run in single precision over at most SINGLE_ROWS ratings; longer ones are added
 * up in double. If a pivot cancels in single precision, its entity is solved by LAPACK in double.
 *
 * Residuals. They come from the same sums, without another pass over the ratings. As |Lᵀ θ|² = |h +
 * n|²,
 *
 *   Σ (y - ŷ)² = Σ (y - w)² - 2 θᵀ Σ z (y - w) + (|h + n|² - θᵀ Λ θ) / α
 *
 * Further terms of a rating, such as its context, are added while rows are packed. With probit,
 * targets are drawn at that point as well (probit.c), given the θ that the entity had before.
 *
 * Memory: one FmBlockWork for each worker, allocated before the first step.
 */
#include "core/train/block.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/layout.h"
#include "core/math/lapack.h"

#define PANEL_ROWS FM_PROBIT_ROWS
#define SINGLE_ROWS 1024

/* The rows of the other side are prefetched this many ratings ahead. */
#define PREFETCH_ROWS 16

/* The largest block that is solved in lanes: 1 MB for all of them. */
#define LANE_DIM_MAX 160

/* Multiply-adds between checks for interrupts: one or two milliseconds. */
#define WORK_BETWEEN_CHECKS 2e7

/* The diagonal is raised by at most this share of its largest element. */
#define RIDGE_MAX 1e-2

struct FmBlockWork
{
	int dim;		  /* rank + 1: a block is (v, w) */
	int stride;		  /* of rows and of Gram matrices */
	int batch_size;	  /* entities solved together */
	size_t gram_size; /* floats from one Gram matrix to the next */

	float *panel;
	float *weight; /* of the panel's rows, reweighed */
	float *theta;  /* of the entity at hand, before its update (probit.h) */
	float *gram;   /* batch_size Gram matrices */
	double *total; /* a Gram matrix of more than SINGLE_ROWS ratings */
	float *matrix; /* the batch in lanes: packed lower triangles */
	double *wide;  /* one matrix for LAPACK, and its vectors */
	float *noise;  /* dim × FM_BLOCK_LANES, as the next three */
	float *mean;
	float *draw;
	float *prior_linear; /* precision × mean of the prior */

	int count; /* entities in the batch; the arrays below have one element for each */
	int32_t entity[FM_BLOCK_LANES];
	float noise_precision[FM_BLOCK_LANES];
	float prior_factor[FM_BLOCK_LANES];
	double log_loss[FM_BLOCK_LANES]; /* probit */
	double work_done;				 /* since the last check for interrupts */
};

int
fm_block_stride(const FmBlockKernel *kernel, int rank)
{
	return (rank + 2 + kernel->tile - 1) / kernel->tile * kernel->tile;
}

FmBlockWork *
fm_block_work(const FmHost *host, const FmBlockKernel *kernel, int rank)
{
	FmBlockWork *work = host->alloc(host->ctx, 1, sizeof(FmBlockWork));
	size_t dim = rank + 1;
	size_t stride = fm_block_stride(kernel, rank);
	bool lanes = dim <= LANE_DIM_MAX;

	work->dim = dim;
	work->stride = stride;
	work->batch_size = lanes ? FM_BLOCK_LANES : 1;
	/* One cache line more than the matrix, so that the lanes do not map to the same cache sets. */
	work->gram_size = stride * stride + 16;
	work->panel = host->alloc(host->ctx, PANEL_ROWS * stride, sizeof(float));
	work->weight = host->alloc(host->ctx, PANEL_ROWS, sizeof(float));
	work->theta = host->alloc(host->ctx, stride, sizeof(float));
	work->gram = host->alloc(host->ctx, work->gram_size * FM_BLOCK_LANES, sizeof(float));
	work->total = host->alloc(host->ctx, stride * stride, sizeof(double));
	work->wide = host->alloc(host->ctx, dim * (dim + 2), sizeof(double));
	if (lanes)
		work->matrix = host->alloc(host->ctx, (dim + 1) * (dim + 2) / 2, FM_BLOCK_LANES * 4);
	work->noise = host->alloc(host->ctx, (dim + 3) * FM_BLOCK_LANES, sizeof(float));
	work->mean = host->alloc(host->ctx, dim * FM_BLOCK_LANES, sizeof(float));
	work->draw = host->alloc(host->ctx, dim * FM_BLOCK_LANES, sizeof(float));
	work->prior_linear = host->alloc(host->ctx, dim * FM_BLOCK_LANES, sizeof(float));
	return work;
}

void
fm_block_work_release(const FmHost *host, FmBlockWork *work)
{
	host->release(host->ctx, work->panel);
	host->release(host->ctx, work->weight);
	host->release(host->ctx, work->theta);
	host->release(host->ctx, work->gram);
	host->release(host->ctx, work->total);
	host->release(host->ctx, work->wide);
	if (work->matrix)
		host->release(host->ctx, work->matrix);
	host->release(host->ctx, work->noise);
	host->release(host->ctx, work->mean);
	host->release(host->ctx, work->draw);
	host->release(host->ctx, work->prior_linear);
	host->release(host->ctx, work);
}

static void
count_work(const FmHalfStep *step, FmBlockWork *work, double amount)
{
	work->work_done += amount;
	if (work->work_done < WORK_BETWEEN_CHECKS)
		return;
	work->work_done = 0;
	step->host->check_interrupts(step->host->ctx);
}

/* Move a part of a long sum into the total in double. narrow_gram() brings the total back. */
static void
widen_gram(const FmBlockWork *work, float *gram)
{
	for (size_t i = 0; i < (size_t) work->stride * work->stride; i++)
	{
		work->total[i] += gram[i];
		gram[i] = 0;
	}
}

static void
narrow_gram(const FmBlockWork *work, float *gram)
{
	for (size_t i = 0; i < (size_t) work->stride * work->stride; i++)
		gram[i] = (float) (work->total[i] + gram[i]);
}

void
fm_block_weigh_rows(const float *weight, int count, int stride, float *panel)
{
	for (int r = 0; r < count; r++)
	{
		float root = sqrtf(weight[r]);

		for (int j = 0; j < stride; j++)
			panel[(size_t) r * stride + j] *= root;
	}
}

/* Load the entity's last draw as (v, w, -1), to be multiplied with packed rows (probit.h). */
static void
load_theta(const FmHalfStep *step, FmBlockWork *work, int32_t entity)
{
	const float *row = step->draw_rows + (size_t) entity * work->stride;
	int rank = work->dim - 1;

	for (int j = 0; j < rank; j++)
		work->theta[j] = row[j];
	work->theta[rank] = -row[rank + 1];
	work->theta[rank + 1] = -1;
}

/*
 * Add a term to packed rows s · (z, 1, -w). A term that joins the other side is added to z and to
 * -w; any other is multiplied with z, and the product is added to -w. A term that weighs multiplies
 * the row by its s.
 */
static void
add_term(const FmBlockTerm *term, int32_t entity, int64_t at, int rows, int stride, int rank,
		 float *panel)
{
	for (int r = 0; r < rows; r++)
	{
		int32_t index = term->index ? term->index[at + r] : entity;
		const float *from = term->rows + (size_t) index * stride;
		float *row = panel + (size_t) r * stride;
		float share = term->weighs ? 1 / from[rank] : 1, sum = row[rank] * from[rank + 1];

		for (int f = 0; f < rank; f++)
		{
			if (term->joins)
				row[f] += row[rank] * from[f];
			else
				sum -= row[f] * from[f];
		}
		row[rank + 1] += term->sign * share * sum;
		for (int f = 0; term->weighs && f < rank + 2; f++)
			row[f] *= from[rank];
	}
}

static const float *
reweigh(const FmReweighing *reweighing, const float *weight, int count, float *changed)
{
	for (int r = 0; r < count; r++)
		changed[r] = reweighing->factor * weight[r] /
					 (reweighing->base + reweighing->slope * weight[r]);
	return changed;
}

/*
 * Gather some of an entity's ratings into the panel. Return the log loss of their values, with
 * probit.
 */
static double
pack_rows(const FmHalfStep *step, FmBlockWork *work, int32_t entity, int64_t at, int rows)
{
	const FmSide *side = step->side;
	const float *weight = side->weight ? side->weight + at : NULL;
	int64_t ahead = side->start[side->count] - at - rows;
	double log_loss = 0;

	/* It does not matter which entity has the next ratings: they follow this one's. */
	step->kernel->pack(step->other_rows, side->other + at,
					   ahead < PREFETCH_ROWS ? (int) ahead : PREFETCH_ROWS, side->value + at, rows,
					   work->stride, work->dim, step->value_mean,
					   step->probit ? 0 : step->value_scale, work->panel);
	for (int t = 0; t < step->num_terms; t++)
		add_term(&step->terms[t], entity, at, rows, work->stride, work->dim - 1, work->panel);
	if (step->probit)
		log_loss = fm_probit_draw(step->probit, step->kernel->draw_latent, entity,
								  at - side->start[entity], work->theta, side->value + at, weight,
								  rows, work->stride, work->dim, work->panel);
	if (weight && step->reweighing)
		weight = reweigh(step->reweighing, weight, rows, work->weight);
	if (weight)
		fm_block_weigh_rows(weight, rows, work->stride, work->panel);
	return log_loss;
}

/* Load what an entity's Gram matrix starts from. */
static void
load_base(const FmHalfStep *step, const FmBlockWork *work, int32_t entity, float *gram)
{
	size_t size = (size_t) work->stride * work->stride;
	float factor;

	if (step->base == NULL)
	{
		memset(gram, 0, size * sizeof(float));
		return;
	}
	factor = (float) fm_half_step_base_factor(step, (double) fm_side_count(step->side, entity));
	for (size_t i = 0; i < size; i++)
		gram[i] = factor * step->base[i];
}

/* Sum over all ratings of one entity. Return its log loss, with probit. */
static double
sum_entity(const FmHalfStep *step, FmBlockWork *work, int32_t entity, float *gram)
{
	const FmSide *side = step->side;
	int64_t begin = side->start[entity], end = side->start[entity + 1];
	bool is_long = end - begin > SINGLE_ROWS;
	double row_work = (double) work->stride * work->stride, log_loss = 0;

	if (step->probit)
		load_theta(step, work, entity);
	load_base(step, work, entity, gram);
	if (is_long)
		memset(work->total, 0, (size_t) work->stride * work->stride * sizeof(double));

	for (int64_t at = begin; at < end; at += PANEL_ROWS)
	{
		int rows = end - at < PANEL_ROWS ? (int) (end - at) : PANEL_ROWS;

		if (is_long && at > begin && (at - begin) % SINGLE_ROWS == 0)
			widen_gram(work, gram);
		log_loss += pack_rows(step, work, entity, at, rows);
		step->kernel->accumulate(work->panel, rows, work->stride, gram);
		count_work(step, work, rows * row_work);
	}
	if (is_long)
		narrow_gram(work, gram);
	return log_loss;
}

/*
 * Factor one lane's matrix in double. Its sums carry the rounding error of single precision, which
 * can outweigh the prior if an entity has very many ratings or almost no noise. In that case the
 * diagonal is raised by as much as that error, and by more until the factorization succeeds.
 */
static void
factor_wide(const FmHalfStep *step, const FmBlockWork *work, int lane, double *a)
{
	const float *gram = work->gram + work->gram_size * lane;
	int dim = work->dim, info = 1;
	double alpha = work->noise_precision[lane], largest = 0;

	for (int j = 0; j < dim; j++)
		largest = fmax(largest, alpha * gram[(size_t) j * (work->stride + 1)]);
	for (double ridge = 0; info != 0; ridge = fmax(ridge * 16, FLT_EPSILON))
	{
		if (ridge > RIDGE_MAX)
			step->host->fail(step->host->ctx,
							 "the normal equations of a block of %d parameters are "
							 "not positive definite",
							 dim);
		for (int j = 0; j < dim; j++)
		{
			for (int i = j; i < dim; i++)
				a[(size_t) j * dim + i] = alpha * gram[(size_t) i * work->stride + j];
			a[(size_t) j * dim + j] += step->prior_precision[j] * work->prior_factor[lane] +
									   ridge * largest;
		}
		dpotrf_("L", &dim, a, &dim, &info, 1);
	}
}

/* Solve one lane in double, from its Gram matrix and its noise. Return |h + n|². */
static double
solve_wide(const FmHalfStep *step, FmBlockWork *work, int lane)
{
	const float *gram = work->gram + work->gram_size * lane;
	int dim = work->dim, one = 1;
	double *a = work->wide;
	double *mean = a + (size_t) dim * dim, *draw = mean + dim;
	double alpha = work->noise_precision[lane], norm2 = 0;

	factor_wide(step, work, lane, a);
	for (int j = 0; j < dim; j++)
		mean[j] = alpha * gram[(size_t) dim * work->stride + j] +
				  work->prior_linear[(size_t) j * FM_BLOCK_LANES + lane];
	dtrsv_("L", "N", "N", &dim, a, &dim, mean, &one, 1, 1, 1);
	for (int j = 0; j < dim; j++)
	{
		draw[j] = mean[j] + work->noise[(size_t) j * FM_BLOCK_LANES + lane];
		norm2 += draw[j] * draw[j];
	}
	dtrsv_("L", "T", "N", &dim, a, &dim, mean, &one, 1, 1, 1);
	dtrsv_("L", "T", "N", &dim, a, &dim, draw, &one, 1, 1, 1);
	for (int j = 0; j < dim; j++)
	{
		work->mean[(size_t) j * FM_BLOCK_LANES + lane] = (float) mean[j];
		work->draw[(size_t) j * FM_BLOCK_LANES + lane] = (float) draw[j];
	}
	count_work(step, work, (double) dim * dim * dim / 3);
	return norm2;
}

/* Return the sum of squared residuals of a solved lane; see the top of the file. */
static double
lane_error(const FmHalfStep *step, const FmBlockWork *work, int lane, double norm2)
{
	const float *rhs = work->gram + work->gram_size * lane + (size_t) work->dim * work->stride;
	double linear = 0, prior = 0;

	for (int j = 0; j < work->dim; j++)
	{
		double theta = work->draw[(size_t) j * FM_BLOCK_LANES + lane];

		linear += theta * rhs[j];
		prior += theta * theta * step->prior_precision[j];
	}
	prior *= work->prior_factor[lane];
	return fmax(rhs[work->dim] - 2 * linear + (norm2 - prior) / work->noise_precision[lane], 0);
}

/* Write one lane into a table of rows, unless that is NULL. */
static void
store_lane(const FmBlockWork *work, int lane, const float *theta, float *rows)
{
	float *row;

	if (rows == NULL)
		return;
	row = rows + (size_t) work->entity[lane] * work->stride;
	for (int j = 0; j < work->dim - 1; j++)
		row[j] = theta[(size_t) j * FM_BLOCK_LANES + lane];
	row[work->dim - 1] = 1;
	row[work->dim] = -theta[(size_t) (work->dim - 1) * FM_BLOCK_LANES + lane];
}

/* Compute the prior's part of the right-hand side. */
static void
load_prior(const FmHalfStep *step, FmBlockWork *work)
{
	for (int lane = 0; lane < work->count; lane++)
	{
		int32_t entity = work->entity[lane];
		float covariate = step->covariate ? step->covariate[entity] : 0;
		const float *offset = step->prior_offset
								  ? step->prior_offset + (size_t) entity * work->stride
								  : NULL;

		for (int j = 0; j < work->dim; j++)
		{
			float mean = step->prior_mean[j];

			if (step->covariate)
				mean += step->prior_slope[j] * covariate;
			if (offset)
				mean += offset[j];
			work->prior_linear[(size_t) j * FM_BLOCK_LANES + lane] = step->prior_precision[j] *
																	 work->prior_factor[lane] *
																	 mean;
		}
	}
}

/* Solve the entities of the batch, and empty it. */
static void
finish_batch(const FmHalfStep *step, FmBlockWork *work)
{
	int32_t sound[FM_BLOCK_LANES] __attribute__((aligned(FM_ALIGNMENT))) = {0};
	float norm2[FM_BLOCK_LANES] __attribute__((aligned(FM_ALIGNMENT)));

	if (work->count == 0)
		return;
	load_prior(step, work);
	if (step->noise)
		step->kernel->normals(step->noise, (const uint32_t *) work->entity, work->dim, work->noise);
	else
		memset(work->noise, 0, (size_t) work->dim * FM_BLOCK_LANES * sizeof(float));
	if (work->batch_size > 1)
	{
		step->kernel->load(work->gram, work->gram_size, work->stride, work->dim,
						   work->noise_precision, step->prior_precision, work->prior_factor,
						   work->prior_linear, work->matrix);
		step->kernel->solve(work->dim, work->matrix, work->noise, work->mean, work->draw, norm2,
							sound);
		count_work(step, work, (double) work->dim * work->dim * work->dim);
	}
	for (int lane = 0; lane < work->count; lane++)
	{
		double square = sound[lane] ? norm2[lane] : solve_wide(step, work, lane);

		step->error[work->entity[lane]] = step->probit ? work->log_loss[lane]
													   : lane_error(step, work, lane, square);
		store_lane(work, lane, work->draw, step->draw_rows);
		store_lane(work, lane, work->mean, step->mean_rows);
	}
	work->count = 0;
}

/* Sum up one entity and add it to the batch. */
static void
add_to_batch(const FmHalfStep *step, FmBlockWork *work, int32_t entity)
{
	int lane = work->count++;
	double share = step->noise_share ? step->noise_share[entity] : 1;

	work->log_loss[lane] = sum_entity(step, work, entity, work->gram + work->gram_size * lane);
	work->entity[lane] = entity;
	work->noise_precision[lane] = (float) (step->noise_precision * share);
	work->prior_factor[lane] =
		step->prior_growth == FM_PRIOR_FIXED
			? 1
			: (float) fm_half_step_prior_factor(step, fm_side_weight(step->side, entity));
}

void
fm_block_half_step(const FmHalfStep *step, FmBlockWork *work, int32_t begin, int32_t end)
{
	for (int32_t entity = begin; entity < end; entity++)
	{
		if (step->side->start[entity] == step->side->start[entity + 1])
			continue;
		add_to_batch(step, work, entity);
		if (work->count == work->batch_size)
			finish_batch(step, work);
	}
	finish_batch(step, work);
}
