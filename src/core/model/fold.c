/*
 * Folding in: one small ridge regression.
 *
 * Given the other side, a rating is linear in θ: score = offset + <θ, z>, z = (v, 1). With the
 * prior θ = mean + L a, a ~ N(0, I), and ratings of precision p (weight / noise variance), the
 * posterior of a has the precision
 *
 *   A = I + Lᵀ (Σ p z zᵀ) L
 *
 * This is well conditioned even if L is singular, as it is with fewer users than factors; so only A
 * is ever inverted. From a = 0, one step a += A⁻¹ (Lᵀ Σ p (value - score) z - a) is the solution.
 *
 * In a classification the log-likelihood ln Φ(±score) is concave, with a curvature between 0 and 1.
 * So the same A with p = weight bounds the curvature of the whole, and the same step, with the
 * derivative in place of p (value - score), never makes the posterior worse. This is the EM
 * algorithm for Albert and Chib's latent values (1993): A is factored once, and each step only
 * reads the ratings once.
 *
 * Fewer ratings than numbers in θ are solved by their own number. With Z the rows √p Lᵀ z, A is
 * I + Zᵀ Z, and a stays of the form Zᵀ c. The step of a is Zᵀ times c += (I + Z Zᵀ)⁻¹ (s - c),
 * where s is the derivative of each rating divided by √p. Only Z has a number for each of θ's.
 *
 * The prior is the mean and the covariance of the trained θ (empirical Bayes), so it does not
 * depend on the solver, nor on the basis that V was distilled to. Measured on MovieLens 100k, with
 * 100 users left out of the training, the RMSE on the rest of their ratings after 5, 10 and 20 of
 * them was 0.951, 0.939 and 0.918; a training that included these ratings gave 0.968, 0.945 and
 * 0.916. Adding the mean posterior covariance of the users to that of the prior gave 0.951, 0.939
 * and 0.917; letting EM find prior and noise gave 0.955, 0.950 and 0.930, because it takes the
 * noise of the trained V for a fact.
 *
 * A ranking (core/train/ials.c) is a regression in which, besides the ratings, all pairs count as 0
 * with a small weight. Their sums are the same for all entities of a side, so they come from a Gram
 * matrix. A covariance of shrunken θ needs less noise than the residuals of the ones and zeros
 * suggest. On MovieLens 100k (rating ≥ 4; four times a fifth of the users left out, half of the
 * items that each liked revealed) NDCG@10 on the other half was 0.471, 0.475, 0.475, 0.474, 0.471
 * and 0.468 at 32 factors with 0.1, 0.2, 0.3, 0.4, 0.7 and all of that noise; a training with what
 * was revealed gave 0.478. At 64 factors it was 0.471, 0.477, 0.477, 0.475, 0.472, 0.468 and 0.482,
 * at 16 0.461, 0.466, 0.467, 0.468, 0.466, 0.463 and 0.471. With a hundred users left out, after 5,
 * 10 and 20 of their films it was 0.558, 0.608 and 0.585 with 0.3, and a training gave 0.582, 0.619
 * and 0.585; ordering the films by their bias gave 0.487, 0.461 and 0.398.
 *
 * Where many are folded in with the same covariance, all pairs are taken into the prior beforehand
 * (core/model/all_pairs.c): then a ranking is a regression.
 *
 * All numbers are double. Matrices are small, so plain loops are enough, and no question has to
 * wait until OpenBLAS is loaded. Scratch memory comes from the host and is released.
 */
#include "core/model/fold.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/math/cholesky.h"
#include "core/math/normal.h"

/* A classification has converged if no element of a moves by more. */
#define STEP_TOLERANCE 1e-9
#define MAX_STEPS 1000

/* Ratings, and numbers of each, that are whitened together. */
#define AT_ONCE 4

/* The state of folding in one entity. */
typedef struct Fold
{
	const double *root; /* L, by rows of the lower triangle */
	double *mean;		/* dim numbers */
	int dim;
	bool classification;
	double noise_precision;
	const FmAllPairs *all_pairs;
	const FmFoldRow *rows;
	int64_t num_rows;
	const FmHost *host;
	double *matrix;	  /* dim × dim, lower triangle: A, then its Cholesky factor */
	double *theta;	  /* dim numbers, as the others */
	double *gradient; /* of the log-likelihood with respect to θ; then the step of a */
	double *a;
	double *z;
	double *whitened; /* room for Lᵀ z */
} Fold;

/* Return row i of L. */
static const double *
root_row(const Fold *fold, int i)
{
	return fold->root + (size_t) i * (i + 1) / 2;
}

/* Load z of a rating, in double. */
static void
load_z(const Fold *fold, const FmFoldRow *row)
{
	for (int f = 0; f < fold->dim - 1; f++)
		fold->z[f] = row->v[f];
	fold->z[fold->dim - 1] = 1;
}

static void
check(const Fold *fold, int64_t at)
{
	if (at % 64 == 0)
		fold->host->check_interrupts(fold->host->ctx);
}

/* Return row i of the other side's Gram matrix (of dim + 1 rows), up to the diagonal. */
static const float *
gram_row(const Fold *fold, int i)
{
	return fold->all_pairs->gram + (size_t) i * (i + 1) / 2;
}

/* Add the precision of all pairs. */
static void
add_all_pairs_precision(Fold *fold)
{
	double precision = fold->noise_precision * fold->all_pairs->weight;

	for (int i = 0; i < fold->dim; i++)
		for (int j = 0; j <= i; j++)
			fold->matrix[(size_t) i * fold->dim + j] += precision * gram_row(fold, i)[j];
}

/* Replace x by Lᵀ x. */
static void
whiten_vector(const Fold *fold, const double *x, double *whitened)
{
	memset(whitened, 0, fold->dim * sizeof(double));
	for (int i = 0; i < fold->dim; i++)
	{
		const double *l = root_row(fold, i);

		for (int j = 0; j <= i; j++)
			whitened[j] += l[j] * x[i];
	}
}

/* Add p z zᵀ for each rating or, whitened, p Lᵀ z zᵀ L. */
static void
add_ratings_precision(Fold *fold, bool whitened)
{
	const double *vector = whitened ? fold->whitened : fold->z;

	for (int64_t r = 0; r < fold->num_rows; r++)
	{
		double precision = fold->noise_precision * fold->rows[r].weight;

		check(fold, r);
		load_z(fold, &fold->rows[r]);
		if (whitened)
			whiten_vector(fold, fold->z, fold->whitened);
		for (int i = 0; i < fold->dim; i++)
		{
			double *row = fold->matrix + (size_t) i * fold->dim;
			double scaled = precision * vector[i];

			for (int j = 0; j <= i; j++)
				row[j] += scaled * vector[j];
		}
	}
}

/* Return the derivative of a rating's log-likelihood with respect to its score. */
static double
slope(const Fold *fold, const FmFoldRow *row, double score)
{
	double side;

	if (!fold->classification)
		return fold->noise_precision * (row->value - score);
	side = row->value > 0 ? 1 : -1;
	return side * exp(-0.5 * score * score - 0.5 * log(2 * M_PI) - fm_normal_log_cdf(side * score));
}

/* Compute θ = mean + L a. */
static void
set_theta(Fold *fold)
{
	for (int i = 0; i < fold->dim; i++)
	{
		const double *l = root_row(fold, i);

		fold->theta[i] = fold->mean[i];
		for (int j = 0; j <= i; j++)
			fold->theta[i] += l[j] * fold->a[j];
	}
}

/* What is solved of few ratings, by rating. */
typedef struct FewRatings
{
	double *z;		/* × dim */
	double *rows;	/* × dim: √p Lᵀ z */
	double *roots;	/* √p */
	double *scores; /* with a = 0 */
	double *kernel; /* × num_rows, all of it: Z Zᵀ */
	double *factor; /* × num_rows: the Cholesky factor of I + Z Zᵀ */
	double *c;
	double *step;
} FewRatings;

/* Set z, the root and the score of each rating. */
static void
load_few(Fold *fold, const FewRatings *few)
{
	for (int64_t r = 0; r < fold->num_rows; r++)
	{
		load_z(fold, &fold->rows[r]);
		few->roots[r] = sqrt(fold->noise_precision * fold->rows[r].weight);
		few->scores[r] = fold->rows[r].offset;
		for (int f = 0; f < fold->dim; f++)
			few->scores[r] += fold->mean[f] * fold->z[f];
		memcpy(few->z + r * fold->dim, fold->z, fold->dim * sizeof(double));
	}
}

/*
 * Set AT_ONCE elements, from `first` on, of the rows of AT_ONCE ratings. The sums stay in
 * registers.
 */
static void
whiten_tile(const Fold *fold, const FewRatings *few, int64_t rating, int first)
{
	const double *z = few->z + rating * fold->dim;
	double *rows = few->rows + rating * fold->dim + first;
	double sums[AT_ONCE][AT_ONCE] = {{0}};

	for (int i = first; i < first + AT_ONCE; i++) /* the diagonal: row i of L ends at i */
		for (int j = 0; j <= i - first; j++)
			for (int r = 0; r < AT_ONCE; r++)
				sums[r][j] += root_row(fold, i)[first + j] * z[r * fold->dim + i];
	for (int i = first + AT_ONCE; i < fold->dim; i++)
	{
		const double *l = root_row(fold, i) + first;

		for (int r = 0; r < AT_ONCE; r++)
			for (int j = 0; j < AT_ONCE; j++)
				sums[r][j] += l[j] * z[r * fold->dim + i];
	}
	for (int r = 0; r < AT_ONCE; r++)
		memcpy(rows + r * fold->dim, sums[r], sizeof(sums[r]));
}

/* Whiten AT_ONCE rows: tile by tile, and what does not fill a tile. */
static void
whiten_rows(const Fold *fold, const FewRatings *few, int64_t rating)
{
	int full = fold->dim / AT_ONCE * AT_ONCE;

	for (int first = 0; first < full; first += AT_ONCE)
		whiten_tile(fold, few, rating, first);
	for (int64_t r = rating; r < rating + AT_ONCE; r++)
		for (int j = full; j < fold->dim; j++)
			for (int i = j; i < fold->dim; i++)
				few->rows[r * fold->dim + j] += root_row(fold, i)[j] * few->z[r * fold->dim + i];
}

/* Return whether the next AT_ONCE rows are to be whitened. */
static bool
is_tile(const Fold *fold, int64_t rating)
{
	if (rating + AT_ONCE > fold->num_rows)
		return false;
	for (int64_t r = rating; r < rating + AT_ONCE; r++)
		if (fold->rows[r].whitened != NULL)
			return false;
	return true;
}

/* Set the rows. */
static void
whiten_few(const Fold *fold, const FewRatings *few)
{
	int dim = fold->dim;

	for (int64_t r = 0; r < fold->num_rows;)
	{
		check(fold, r);
		if (is_tile(fold, r))
		{
			whiten_rows(fold, few, r);
			r += AT_ONCE;
			continue;
		}
		if (fold->rows[r].whitened != NULL)
			memcpy(few->rows + r * dim, fold->rows[r].whitened, dim * sizeof(double));
		else
			whiten_vector(fold, few->z + r * dim, few->rows + r * dim);
		r++;
	}
	for (int64_t r = 0; r < fold->num_rows; r++)
		for (int f = 0; f < dim; f++)
			few->rows[r * dim + f] *= few->roots[r];
}

/* Return the inner product of two rows. Four sums, because one would wait for every addition. */
static double
inner_product(const double *x, const double *y, int dim)
{
	double sums[4] = {0};
	int f = 0;

	for (; f + 4 <= dim; f += 4)
		for (int i = 0; i < 4; i++)
			sums[i] += x[f + i] * y[f + i];
	for (; f < dim; f++)
		sums[0] += x[f] * y[f];
	return sums[0] + sums[1] + sums[2] + sums[3];
}

static void
set_kernel(const Fold *fold, const FewRatings *few)
{
	int n = (int) fold->num_rows;

	for (int r = 0; r < n; r++)
	{
		check(fold, r);
		for (int s = 0; s <= r; s++)
		{
			double product = inner_product(few->rows + (size_t) r * fold->dim,
										   few->rows + (size_t) s * fold->dim, fold->dim);

			few->kernel[(size_t) r * n + s] = few->kernel[(size_t) s * n + r] = product;
			few->factor[(size_t) r * n + s] = product + (r == s ? 1 : 0);
		}
	}
	fm_cholesky(few->factor, n, fold->host);
}

/* Take a step; return the most that an element of a can have moved by. */
static double
step_few(const Fold *fold, const FewRatings *few)
{
	int n = (int) fold->num_rows;
	double square = 0;

	for (int r = 0; r < n; r++)
	{
		const FmFoldRow *row = &fold->rows[r];
		double score = few->scores[r] +
					   inner_product(few->kernel + (size_t) r * n, few->c, n) / few->roots[r];

		few->step[r] = row->weight * slope(fold, row, score) / few->roots[r] - few->c[r];
	}
	fm_cholesky_solve(few->factor, n, few->step);
	for (int r = 0; r < n; r++)
	{
		few->c[r] += few->step[r];
		square += few->step[r] * inner_product(few->kernel + (size_t) r * n, few->step, n);
	}
	return sqrt(fmax(square, 0));
}

/* Set θ and a from few ratings. */
static void
solve_few(Fold *fold)
{
	const FmHost *host = fold->host;
	size_t n = (size_t) fold->num_rows;
	size_t length = n * fold->dim;
	double *memory = host->alloc(host->ctx, 2 * length + n * (2 * n + 4), sizeof(double));
	FewRatings few = {.z = memory, .rows = memory + length, .kernel = memory + 2 * length};

	few.factor = few.kernel + n * n;
	few.roots = few.factor + n * n;
	few.scores = few.roots + n;
	few.c = few.scores + n;
	few.step = few.c + n;
	load_few(fold, &few);
	whiten_few(fold, &few);
	set_kernel(fold, &few);
	if (!fold->classification)
		(void) step_few(fold, &few);
	else
		for (int step = 0; step < MAX_STEPS && step_few(fold, &few) > STEP_TOLERANCE; step++)
			check(fold, step);
	for (size_t r = 0; r < n; r++)
		for (int f = 0; f < fold->dim; f++)
			fold->a[f] += few.c[r] * few.rows[r * fold->dim + f];
	set_theta(fold);
	host->release(host->ctx, memory);
}

/* Replace the matrix M, given as its lower triangle, by Lᵀ M L. */
static void
whiten(Fold *fold)
{
	int dim = fold->dim;
	double *matrix = fold->matrix;

	for (int i = 0; i < dim; i++)
		for (int j = 0; j < i; j++)
			matrix[(size_t) j * dim + i] = matrix[(size_t) i * dim + j];
	for (int i = 0; i < dim; i++) /* each row of M L, from left to right */
	{
		double *row = matrix + (size_t) i * dim;

		fold->host->check_interrupts(fold->host->ctx);
		for (int m = 0; m < dim; m++)
		{
			const double *l = root_row(fold, m);
			double value = row[m];

			row[m] = 0;
			for (int j = 0; j <= m; j++)
				row[j] += value * l[j];
		}
	}
	/* Lᵀ times that, from top to bottom: row m is not read after this */
	for (int m = 0; m < dim; m++)
	{
		const double *l = root_row(fold, m);
		double *source = matrix + (size_t) m * dim;

		fold->host->check_interrupts(fold->host->ctx);
		for (int i = 0; i < m; i++)
			for (int j = 0; j < dim; j++)
				matrix[(size_t) i * dim + j] += l[i] * source[j];
		for (int j = 0; j < dim; j++)
			source[j] *= l[m];
	}
}

/* Add what is known of all pairs whitened. */
static void
add_whitened(Fold *fold)
{
	double precision = fold->noise_precision * fold->all_pairs->weight;
	const double *element = fold->all_pairs->whitened;

	for (int i = 0; i < fold->dim; i++)
		for (int j = 0; j <= i; j++)
			fold->matrix[(size_t) i * fold->dim + j] += precision * *element++;
}

/*
 * Compute A = I + Lᵀ (Σ p z zᵀ) L. Few ratings are whitened one by one, because the time for the
 * matrix grows with the cube of its size.
 */
static void
sum_precision(Fold *fold)
{
	const FmAllPairs *all_pairs = fold->all_pairs;
	bool one_by_one = fold->num_rows < 2 * fold->dim;
	bool raw_pairs = all_pairs != NULL && all_pairs->whitened == NULL;

	if (raw_pairs)
		add_all_pairs_precision(fold);
	if (!one_by_one)
		add_ratings_precision(fold, false);
	if (raw_pairs || !one_by_one)
		whiten(fold);
	if (one_by_one)
		add_ratings_precision(fold, true);
	if (all_pairs != NULL && !raw_pairs)
		add_whitened(fold);
	for (int i = 0; i < fold->dim; i++)
		fold->matrix[(size_t) i * fold->dim + i] += 1;
}

/* Add the gradient of the pairs that count as 0: -p Σ (offset + <θ, z>) z. */
static void
add_all_pairs(Fold *fold)
{
	double precision = fold->noise_precision * fold->all_pairs->weight;
	const float *offsets = gram_row(fold, fold->dim);

	for (int i = 0; i < fold->dim; i++)
	{
		double sum = offsets[i];

		for (int j = 0; j < fold->dim; j++)
			sum += fold->theta[j] * (j <= i ? gram_row(fold, i)[j] : gram_row(fold, j)[i]);
		fold->gradient[i] -= precision * sum;
	}
}

static void
sum_gradient(Fold *fold)
{
	memset(fold->gradient, 0, fold->dim * sizeof(double));
	if (fold->all_pairs != NULL)
		add_all_pairs(fold);
	for (int64_t r = 0; r < fold->num_rows; r++)
	{
		const FmFoldRow *row = &fold->rows[r];
		double score = row->offset;
		double scale;

		check(fold, r);
		load_z(fold, row);
		for (int f = 0; f < fold->dim; f++)
			score += fold->theta[f] * fold->z[f];
		scale = row->weight * slope(fold, row, score);
		for (int f = 0; f < fold->dim; f++)
			fold->gradient[f] += scale * fold->z[f];
	}
}

/* Replace the gradient with respect to θ by the step A⁻¹ (Lᵀ gradient - a). */
static void
solve_step(Fold *fold)
{
	int dim = fold->dim;
	double *step = fold->gradient;

	memcpy(fold->z, step, dim * sizeof(double));
	whiten_vector(fold, fold->z, step);
	for (int i = 0; i < dim; i++)
		step[i] -= fold->a[i];
	fm_cholesky_solve(fold->matrix, dim, step);
}

/* Take a step; return the most that an element of a moved by. */
static double
take_step(Fold *fold)
{
	double most = 0;

	sum_gradient(fold);
	solve_step(fold);
	for (int i = 0; i < fold->dim; i++)
	{
		fold->a[i] += fold->gradient[i];
		most = fmax(most, fabs(fold->gradient[i]));
	}
	set_theta(fold);
	return most;
}

/* Set θ and a from as many ratings as there are. */
static void
solve_many(Fold *fold)
{
	fold->matrix = fold->host->alloc(fold->host->ctx, (size_t) fold->dim * fold->dim,
									 sizeof(double));
	sum_precision(fold);
	fm_cholesky(fold->matrix, fold->dim, fold->host);
	set_theta(fold);
	if (!fold->classification)
		(void) take_step(fold);
	else
		for (int step = 0; step < MAX_STEPS && take_step(fold) > STEP_TOLERANCE; step++)
			;
}

static void
release(Fold *fold)
{
	const FmHost *host = fold->host;

	host->release(host->ctx, fold->matrix);
	host->release(host->ctx, fold->mean);
	host->release(host->ctx, fold->theta);
	host->release(host->ctx, fold->gradient);
	host->release(host->ctx, fold->a);
	host->release(host->ctx, fold->z);
	host->release(host->ctx, fold->whitened);
}

/* Return the root of a prior in double. */
static double *
copy_root(const FmPrior *prior, int num_factors, const FmHost *host)
{
	size_t length = fm_prior_root_length(num_factors);
	double *root = host->alloc(host->ctx, length, sizeof(double));

	for (size_t i = 0; i < length; i++)
		root[i] = prior->root[i];
	return root;
}

/*
 * Take all pairs into the prior, whose root is that of fm_root_of_all_pairs: the mean is where all
 * pairs and the prior before them balance.
 */
static void
absorb_all_pairs(Fold *fold)
{
	memcpy(fold->theta, fold->mean, fold->dim * sizeof(double));
	memset(fold->gradient, 0, fold->dim * sizeof(double));
	add_all_pairs(fold);
	whiten_vector(fold, fold->gradient, fold->a);
	set_theta(fold);
	memcpy(fold->mean, fold->theta, fold->dim * sizeof(double));
	memset(fold->a, 0, fold->dim * sizeof(double));
	fold->all_pairs = NULL;
}

void
fm_fold(const FmPrior *prior, int num_factors, FmTask task, double noise_variance,
		const FmAllPairs *all_pairs, const FmFoldRow *rows, int64_t num_rows, const FmHost *host,
		float *theta)
{
	int dim = num_factors + 1;
	bool classification = task == FM_TASK_CLASSIFICATION;
	bool absorbs = all_pairs != NULL && all_pairs->root != NULL;
	double *root = absorbs ? NULL : copy_root(prior, num_factors, host);
	Fold fold = {.root = absorbs ? all_pairs->root : root,
				 .mean = host->alloc(host->ctx, dim, sizeof(double)),
				 .dim = dim,
				 .classification = classification,
				 .noise_precision = classification ? 1 : 1 / noise_variance,
				 .all_pairs = all_pairs,
				 .rows = rows,
				 .num_rows = num_rows,
				 .host = host,
				 .theta = host->alloc(host->ctx, dim, sizeof(double)),
				 .gradient = host->alloc(host->ctx, dim, sizeof(double)),
				 .a = host->alloc(host->ctx, dim, sizeof(double)),
				 .z = host->alloc(host->ctx, dim, sizeof(double)),
				 .whitened = host->alloc(host->ctx, dim, sizeof(double))};

	for (int f = 0; f < dim; f++)
		fold.mean[f] = prior->mean[f];
	if (absorbs)
		absorb_all_pairs(&fold);
	if (fold.all_pairs == NULL && num_rows < dim)
		solve_few(&fold);
	else
		solve_many(&fold);
	for (int f = 0; f < dim; f++)
	{
		theta[f] = (float) fold.theta[f];
		if (!isfinite(theta[f]))
			host->fail(host->ctx, "ratings are too extreme to be fitted: an element is %g",
					   fold.theta[f]);
	}
	release(&fold);
	host->release(host->ctx, root);
}

void
fm_whiten_row(const FmPrior *prior, int num_factors, const double *root, const float *v,
			  double *whitened)
{
	int dim = num_factors + 1;

	memset(whitened, 0, dim * sizeof(double));
	for (int i = 0; i < dim; i++)
	{
		size_t start = (size_t) i * (i + 1) / 2;
		double z = i < num_factors ? v[i] : 1;

		for (int j = 0; j <= i; j++)
			whitened[j] += (root != NULL ? root[start + j] : (double) prior->root[start + j]) * z;
	}
}

double *
fm_whiten_all_pairs(const FmPrior *prior, int num_factors, const FmAllPairs *all_pairs,
					const FmHost *host)
{
	int dim = num_factors + 1;
	FmAllPairs unit = {.weight = 1, .gram = all_pairs->gram};
	double *root = copy_root(prior, num_factors, host);
	Fold fold = {.root = root,
				 .dim = dim,
				 .noise_precision = 1,
				 .all_pairs = &unit,
				 .host = host,
				 .matrix = host->alloc(host->ctx, (size_t) dim * dim, sizeof(double))};
	double *whitened = host->alloc(host->ctx, fm_prior_root_length(num_factors), sizeof(double));
	double *element = whitened;

	add_all_pairs_precision(&fold);
	whiten(&fold);
	for (int i = 0; i < dim; i++)
		for (int j = 0; j <= i; j++)
			*element++ = fold.matrix[(size_t) i * dim + j];
	host->release(host->ctx, fold.matrix);
	host->release(host->ctx, root);
	return whitened;
}
