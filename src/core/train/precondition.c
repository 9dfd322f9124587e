/*
 * Preconditioners of the normal equations that pcg.c solves.
 *
 * The matrix of entity e is  f(n_e) base + Σ_r c_r z_r z_rᵀ + g(n_e) Λ  with n_e = Σ_r c_r and
 * factors that depend on n_e alone (block.h). Each entity has other ratings, but on average z zᵀ is
 * R, its mean over all ratings. So  f(n) base + n R + g(n) Λ  is near the matrix of all entities
 * with an n_e about n, and its inverse, made once, serves them all. n is a power of two times the
 * mean over the side. Entities beyond the last power use the last. The matrix of an entity differs
 * from that in few directions, which conjugate gradients find.
 *
 * What this is worth is in pcg.c. The inverse of the diagonal was no better than no preconditioner,
 * on MovieLens 100k and on made-up events.
 *
 * Memory: the inverses of one side at a time, shared; one matrix in double precision for each
 * member.
 */
#include "core/train/precondition.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/layout.h"
#include "core/math/lapack.h"
#include "core/team.h"

/* The number of powers of two of n, and the one that stands for the mean. */
#define NUM_POWERS 24
#define MEAN_POWER 12

struct FmPreconditioner
{
	const FmProblem *problem;
	int dim;
	int stride;
	double mean_weight[2];
	bool is_used[2][NUM_POWERS];
	double *work;	/* dim × dim */
	float *inverse; /* NUM_POWERS × stride × stride, shared */
	int side;		/* the side that the inverses are for */
};

typedef struct PowerLoop
{
	FmPreconditioner *preconditioner;
	const FmHalfStep *step;
	const float *rated;
} PowerLoop;

static int
power_of(const FmPreconditioner *p, int side, double weight)
{
	int power;

	frexp(weight / p->mean_weight[side] * M_SQRT2,
		  &power); /* the nearest power of two is 2^(power - 1) */
	power += MEAN_POWER - 1;
	return power < 0 ? 0 : power < NUM_POWERS ? power : NUM_POWERS - 1;
}

static void
find_used(FmPreconditioner *p, int side)
{
	const FmSide *ratings = &p->problem->side[side];

	for (int32_t e = 0; e < ratings->count; e++)
	{
		fm_problem_check(p->problem, e);
		if (ratings->start[e] < ratings->start[e + 1])
			p->is_used[side][power_of(p, side, fm_side_weight(ratings, e))] = true;
	}
}

FmPreconditioner *
fm_precondition_create(const FmProblem *problem, int dim, int stride)
{
	const FmHost *host = problem->host;
	FmPreconditioner *p = host->alloc(host->ctx, 1, sizeof(FmPreconditioner));

	p->problem = problem;
	p->dim = dim;
	p->stride = stride;
	p->work = host->alloc(host->ctx, (size_t) dim * dim, sizeof(double));
	p->inverse = fm_team_alloc(host, (size_t) NUM_POWERS * stride * stride, sizeof(float));
	return p;
}

void
fm_precondition_set_problem(FmPreconditioner *p, const FmProblem *problem)
{
	p->problem = problem;
	for (int side = 0; side < 2; side++)
	{
		p->mean_weight[side] = problem->total_weight / problem->num_rated[side];
		memset(p->is_used[side], 0, sizeof(p->is_used[side]));
		find_used(p, side);
	}
}

void
fm_precondition_release(FmPreconditioner *p)
{
	const FmHost *host;

	if (p == NULL)
		return;
	host = p->problem->host;
	host->release(host->ctx, p->work);
	fm_team_release(host, p->inverse);
	host->release(host->ctx, p);
}

size_t
fm_precondition_shared_size(int stride)
{
	return (size_t) NUM_POWERS * stride * stride * sizeof(float) + FM_ALIGNMENT;
}

/*
 * Load the matrix of one power as LAPACK's lower triangle, with the diagonal raised by `ridge`
 * times its largest element.
 */
static void
load_matrix(const PowerLoop *loop, double weight, double ridge, double *a)
{
	const FmHalfStep *step = loop->step;
	int dim = loop->preconditioner->dim, stride = loop->preconditioner->stride;
	double factor = fm_half_step_prior_factor(step, weight), largest = 0;
	double base_factor = fm_half_step_base_factor(step, weight);

	for (int j = 0; j < dim; j++)
	{
		for (int i = j; i < dim; i++)
		{
			size_t at = (size_t) j * stride + i;

			a[(size_t) j * dim + i] = base_factor * step->base[at] + weight * loop->rated[at];
		}
		a[(size_t) j * (dim + 1)] += factor * step->prior_precision[j];
		largest = fmax(largest, a[(size_t) j * (dim + 1)]);
	}
	for (int j = 0; j < dim; j++)
		a[(size_t) j * (dim + 1)] += ridge * largest;
}

static void
invert(const PowerLoop *loop, int power)
{
	FmPreconditioner *p = loop->preconditioner;
	double weight = ldexp(p->mean_weight[p->side], power - MEAN_POWER), *a = p->work;
	float *inverse = p->inverse + (size_t) power * p->stride * p->stride;
	int dim = p->dim, info = 1;

	/*
	 * The sums carry the rounding error of single precision; any matrix nearby that has an inverse
	 * will do.
	 */
	for (double ridge = 0; info != 0; ridge = fmax(ridge * 16, FLT_EPSILON))
	{
		if (ridge > dim)
			p->problem->host->fail(p->problem->host->ctx,
								   "the normal equations of a block of %d parameters are not "
								   "positive definite",
								   dim);
		load_matrix(loop, weight, ridge, a);
		dpotrf_("L", &dim, a, &dim, &info, 1);
	}
	dpotri_("L", &dim, a, &dim, &info, 1);
	for (int j = 0; j < dim; j++)
		for (int i = j; i < dim; i++)
			inverse[(size_t) j * p->stride + i] = inverse[(size_t) i * p->stride + j] =
				(float) a[(size_t) j * dim + i];
}

/* FmTeamBody */
static void
invert_range(void *state, int32_t begin, int32_t end)
{
	const PowerLoop *loop = state;
	const FmPreconditioner *p = loop->preconditioner;

	for (int32_t power = begin; power < end; power++)
	{
		p->problem->host->check_interrupts(p->problem->host->ctx);
		if (p->is_used[p->side][power])
			invert(loop, power);
	}
}

void
fm_precondition_update(FmPreconditioner *preconditioner, const FmHalfStep *step, int side,
					   const float *rated)
{
	PowerLoop loop = {preconditioner, step, rated};

	preconditioner->side = side;
	fm_team_for(step->host, NUM_POWERS, 1, invert_range, &loop);
}

const float *
fm_precondition_for(const FmPreconditioner *p, double weight)
{
	return p->inverse + (size_t) power_of(p, p->side, weight) * p->stride * p->stride;
}
