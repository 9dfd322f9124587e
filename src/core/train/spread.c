/*
 * How far the samples of a posterior are spread around their mean.
 *
 * A classification predicts the mean of Φ(η) over the samples, which is Φ(m / √(1 + s²)) if scores
 * are normal with mean m and variance s². The distilled model is m. s² is one number, the mean over
 * all pairs, with each user and item as often as it has ratings; so the order of a user's items is
 * still that of m. Measured on MovieLens 100k (rating ≥ 4; ua.test with four seeds, and four random
 * tenths), the log loss is 0.5500 and 0.5325. One s² for each user gives 0.5499 and 0.5324, one for
 * each pair 0.5500 and 0.5323, none at all 0.5547 and 0.5371, and one that counts all users and
 * items alike 0.5506 and 0.5333.
 *
 * η is the inner product of (v_u, 1, w_u + b) and (v_i, w_i, 1), so the mean of η² over all pairs
 * is the sum of the products of the elements of two Gram matrices. s² is the mean of that over the
 * samples, less the same of the model. The samples are draws of both sides.
 *
 * Memory: two Gram matrices and a panel, from the host.
 */
#include "core/train/spread.h"

#include <math.h>
#include <string.h>

#include "core/math/lapack.h"

#define PANEL_ROWS 256

struct FmSpread
{
	const FmProblem *problem;
	int rank; /* of the samples */
	int64_t samples;
	double sum;		 /* of the samples' mean η² */
	double *gram[2]; /* dim × dim for the larger of the ranks */
	double *panel;	 /* PANEL_ROWS × dim */
};

/* One side of a model: v of entity e is at v + e × v_stride, its w at w + e × w_stride. */
typedef struct Vectors
{
	const float *v;
	size_t v_stride;
	const float *w;
	size_t w_stride;
	float w_sign;
} Vectors;

static size_t
dimension(int sample_rank, int num_factors)
{
	return (sample_rank > num_factors ? sample_rank : num_factors) + 2;
}

double
fm_spread_size(int sample_rank, int num_factors)
{
	double dim = (double) dimension(sample_rank, num_factors);

	return (2 * dim + PANEL_ROWS) * dim * sizeof(double);
}

FmSpread *
fm_spread_create(const FmProblem *problem, int sample_rank, int num_factors)
{
	const FmHost *host = problem->host;
	FmSpread *spread = host->alloc(host->ctx, 1, sizeof(FmSpread));
	size_t dim = dimension(sample_rank, num_factors);

	spread->problem = problem;
	spread->rank = sample_rank;
	for (int side = 0; side < 2; side++)
		spread->gram[side] = host->alloc(host->ctx, dim * dim, sizeof(double));
	spread->panel = host->alloc(host->ctx, PANEL_ROWS * dim, sizeof(double));
	return spread;
}

/* Load (v_u, 1, w_u + b) or (v_i, w_i, 1), times the square root of the weight of its ratings. */
static void
load_row(int side, const Vectors *vectors, int32_t e, double weight, int rank, double b,
		 double *row)
{
	const float *v = vectors->v + e * vectors->v_stride;
	double w = vectors->w_sign * vectors->w[e * vectors->w_stride];
	double root = sqrt(weight);

	for (int f = 0; f < rank; f++)
		row[f] = root * v[f];
	row[rank] = root * (side == FM_USERS ? 1 : w);
	row[rank + 1] = root * (side == FM_USERS ? w + b : 1);
}

/* Compute the weighted Gram matrix of a side, lower triangle; return the total weight. */
static double
sum_gram(FmSpread *spread, int side, const Vectors *vectors, int rank, double b)
{
	const FmSide *ratings = &spread->problem->side[side];
	int dim = rank + 2, rows = 0;
	double one = 1, total = 0;

	memset(spread->gram[side], 0, (size_t) dim * dim * sizeof(double));
	for (int32_t e = 0; e < ratings->count; e++)
	{
		double weight = fm_side_weight(ratings, e);

		fm_problem_check(spread->problem, e);
		if (weight > 0)
			load_row(side, vectors, e, weight, rank, b, spread->panel + (size_t) rows++ * dim);
		total += weight;
		if (rows < PANEL_ROWS && e + 1 < ratings->count)
			continue;
		dsyrk_("L", "N", &dim, &rows, &one, spread->panel, &dim, &one, spread->gram[side], &dim, 1,
			   1);
		rows = 0;
	}
	return total;
}

/* Return the mean of η² over all pairs. */
static double
mean_square(FmSpread *spread, const Vectors vectors[2], int rank, double b)
{
	int dim = rank + 2;
	double sum = 0, total = 1;

	for (int side = 0; side < 2; side++)
		total *= sum_gram(spread, side, &vectors[side], rank, b);
	for (int j = 0; j < dim; j++)
		for (int i = j; i < dim; i++)
			sum += (i > j ? 2 : 1) * spread->gram[FM_USERS][(size_t) j * dim + i] *
				   spread->gram[FM_ITEMS][(size_t) j * dim + i];
	return sum / total;
}

void
fm_spread_add(FmSpread *spread, const float *user_rows, const float *item_rows)
{
	size_t stride = fm_block_stride(spread->problem->kernel, spread->rank);
	int w = spread->rank + 1;
	Vectors vectors[2] = {{user_rows, stride, user_rows + w, stride, -1},
						  {item_rows, stride, item_rows + w, stride, -1}};

	spread->sum += mean_square(spread, vectors, spread->rank, spread->problem->mean);
	spread->samples++;
}

double
fm_spread_finish(FmSpread *spread, const FmParameters *model)
{
	const FmHost *host = spread->problem->host;
	size_t k = model->num_factors;
	Vectors vectors[2] = {{model->user_v, k, model->user_w, 1, 1},
						  {model->item_v, k, model->item_w, 1, 1}};
	double variance = 0;

	if (spread->samples > 0)
		variance = spread->sum / spread->samples -
				   mean_square(spread, vectors, model->num_factors, model->b);
	for (int side = 0; side < 2; side++)
		host->release(host->ctx, spread->gram[side]);
	host->release(host->ctx, spread->panel);
	host->release(host->ctx, spread);
	return fmax(variance, 0);
}
