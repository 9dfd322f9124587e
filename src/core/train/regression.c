/*
 * The regression of a side's θ on what is known of its entities.
 *
 * With features and history, an entity's vector is the sum of its own part and the effects of its
 * levels:
 *
 *   θ_e ~ N(μ + β g_e + Σ_j x_ej B_j, 1/λ)
 *   B_jf ~ N(0, 1/(λ_f m κ ρ_gf)),   ρ, κ ~ Gamma(1/2, 1/2)
 *
 * for the levels j of group g, with one ρ for v and one for w in each group, one κ for v and one
 * for w in all groups, and m in proportion to the mean of Σ_j x_ej², so that what is supposed of an
 * entity before the data speak does not grow with the number of columns. That is the
 * factorization machine with the entity's features in its row, reparametrised (compare Macau: Simm
 * et al. 2017; the regression-based latent factor models of Agarwal and Chen 2009), except for the
 * products of features of the same side, which do not depend on the item and which w_e learns
 * anyway. Only the prior mean of θ in block.c changes, so ratings and features do not meet: given
 * all θ, the effects B are a linear regression whose rows are the entities, and its coordinates f
 * are independent. Each coordinate is swept level by level, as in Rendle (2013): a sweep costs two
 * multiply-adds for each non-zero x and each coordinate.
 *
 * History is the same with x = 1/√(n_e + c) for all that e has rated (SVD++ with c = 0; Koren
 * 2008). Its matrix is the ratings of the other side, which are ordered by columns already. Every
 * rating is part of the history that explains it, which distill.c takes into account.
 *
 * Measured on MovieLens 100k (five folds, default options), test RMSE: ids 0.8868; with age band,
 * sex, occupation and genres 0.8792; with history 0.8718; with both 0.8700.
 *
 * A team (team.h) shares out the coordinates, sixteen at a time, whose residuals are adjacent: a
 * cache line for each entity. Random numbers are keyed by level and coordinates. Memory: offsets,
 * residuals and effects, shared by the team.
 */
#include "core/train/regression.h"

#include <math.h>
#include <string.h>

#include "core/layout.h"
#include "core/team.h"

/* Of the hyper-prior of the ratios; halved where they are used. */
#define RATIO_SHAPE 1.0
#define RATIO_RATE 1.0

/*
 * m in units of the mean of Σ x², where effects are drawn. Without m and κ, 384 numbers of 150
 * items of planted data, 30 of them without ratings, gave scores from -8.8 to 14.7 for ratings of 1
 * to 5, an RMSE of the 30 of 4.17, and only them on top of lists. With both, and 1, 2 and 4 of
 * these units, the RMSE was 1.023, 1.027 and 1.026, without features 1.091; and with 384 numbers
 * that tell nothing 1.072, 1.069 and 1.068, without 1.059. With κ alone it was 1.043 and 1.183,
 * with m alone 1.026 and 1.110. MovieLens 100k with features (five folds): 0.8792 before, 0.8791
 * with any. Least squares have no κ, and m makes 1.091 and 1.058 without features 1.086 and 1.057,
 * with 0.907 in place of 0.992 for items with ratings; on MovieLens 0.8974 becomes 0.8965.
 */
#define DRAWN_NORM 2.0

/*
 * c of history: so that what the first few ratings say does not count in full. With 0, 3, 10 and
 * 30 mcmc gave an RMSE of 0.8724, 0.8722, 0.8722 and 0.8724 on MovieLens 100k (five folds), of
 * 0.8329, 0.8294, 0.8279 and 0.8275 and of 0.8075, 0.8048, 0.8038 and 0.8037 on two sets of planted
 * data (700 users, 9,000 items, 90,000 ratings), and als 0.8818, 0.8820, 0.8824 and 0.8833 on
 * MovieLens.
 */
#define HISTORY_COUNT 3.0

/* Coordinates swept together. */
#define WIDTH 16

/* Sums run in single precision over this many entities. */
#define SINGLE_ENTITIES 1024

/* Entries between checks for interrupts. */
#define CHECK_EVERY 100000

typedef float Lanes __attribute__((vector_size(WIDTH * sizeof(float))));

/* Sums of λ m B² over a group, of v and of w. */
typedef struct GroupSums
{
	double square[2];
} GroupSums;

/* A matrix x and the effects of its levels. */
typedef struct Design
{
	uint32_t stream; /* of its random numbers */
	int32_t num_levels;
	int32_t num_groups;
	const int64_t *start; /* by level, as in FmFeatures */
	const int32_t *entity;
	const float *value;	  /* NULL: the entity's scale is the value */
	const int32_t *group; /* by level; NULL: one group for all */
	float *scale;		  /* by entity, or NULL */
	float *square;		  /* by level: Σ weight x² */
	float *strength;	  /* by level: m, or whatever multiplies κ ρ */
	double *ratio[2];	  /* ρ by group, of v and of w */
	double common[2];	  /* κ, of v and of w */
	float *effect;		  /* num_levels × stride, shared */
	GroupSums *sums;	  /* num_chunks × num_groups, shared */
} Design;

struct FmRegression
{
	const FmProblem *problem;
	int side;
	int rank;
	int stride;
	int num_chunks;	 /* of coordinates */
	float *weight;	 /* by entity: its weight in all sums, 0 without ratings */
	float *offset;	 /* count × stride, shared */
	Lanes *residual; /* num_chunks × count, shared */
	bool draws;
	bool has_features;
	int num_designs;
	Design design[2];
};

/* For team loops over chunks of coordinates. */
typedef struct ChunkLoop
{
	FmRegression *regression;
	const FmRegressionStep *step;
} ChunkLoop;

bool
fm_regression_is_needed(const FmProblem *problem, int side)
{
	return problem->history || problem->features[side].num_levels > 0;
}

static int
count_chunks(int rank)
{
	return (rank + WIDTH) / WIDTH;
}

double
fm_regression_shared_size(const FmProblem *problem, int side, int rank)
{
	const int arrays = 6;
	const FmFeatures *features = &problem->features[side];
	double row = fm_block_stride(problem->kernel, rank) * sizeof(float);
	double levels = features->num_levels, groups = features->num_groups;

	if (!fm_regression_is_needed(problem, side))
		return 0;
	if (problem->history)
	{
		levels += problem->side[1 - side].count;
		groups += 1;
	}
	return arrays * FM_ALIGNMENT +
		   problem->side[side].count * (row + count_chunks(rank) * sizeof(Lanes)) + levels * row +
		   groups * count_chunks(rank) * sizeof(GroupSums);
}

static inline float
level_value(const Design *design, int64_t at)
{
	return design->value ? design->value[at] : design->scale[design->entity[at]];
}

/* Add a matrix to the regression. */
static void
add_design(FmRegression *r, Design design)
{
	const FmHost *host = r->problem->host;
	Design *added = &r->design[r->num_designs];

	design.stream = FM_STREAM_EFFECT + 4 * r->side + 2 * r->num_designs++;
	design.square = host->alloc(host->ctx, design.num_levels, sizeof(float));
	design.strength = host->alloc(host->ctx, design.num_levels, sizeof(float));
	for (int i = 0; i < 2; i++)
	{
		design.common[i] = 1;
		design.ratio[i] = host->alloc(host->ctx, design.num_groups, sizeof(double));
		for (int32_t g = 0; g < design.num_groups; g++)
			design.ratio[i][g] = 1;
	}
	design.effect = fm_team_alloc(host, (size_t) design.num_levels * r->stride, sizeof(float));
	design.sums = fm_team_alloc(host, (size_t) r->num_chunks * design.num_groups,
								sizeof(GroupSums));
	*added = design;
}

/* Return history: what every entity has rated, with x = 1/√(n + c). */
static Design
history_design(const FmRegression *r)
{
	const FmHost *host = r->problem->host;
	const FmSide *ratings = &r->problem->side[r->side], *other = &r->problem->side[1 - r->side];
	Design design = {.num_levels = other->count,
					 .num_groups = 1,
					 .start = other->start,
					 .entity = other->other,
					 .scale = host->alloc(host->ctx, ratings->count, sizeof(float))};

	for (int32_t e = 0; e < ratings->count; e++)
	{
		double n = (double) (ratings->start[e + 1] - ratings->start[e]);

		design.scale[e] = n > 0 ? (float) (1 / sqrt(n + HISTORY_COUNT)) : 0;
	}
	return design;
}

static Design
features_design(const FmFeatures *features)
{
	return (Design){.num_levels = features->num_levels,
					.num_groups = features->num_groups,
					.start = features->start,
					.entity = features->entity,
					.value = features->value,
					.group = features->group};
}

/* Return the mean of Σ x² over the entities that have levels, or 1 if it is less. */
static double
mean_norm(const FmRegression *r, const Design *design)
{
	const FmHost *host = r->problem->host;
	int32_t count = r->problem->side[r->side].count, known = 0;
	bool *is_known = host->alloc(host->ctx, count, sizeof(bool));
	double sum = 0;

	for (int32_t level = 0; level < design->num_levels; level++)
	{
		fm_problem_check(r->problem, level);
		for (int64_t at = design->start[level]; at < design->start[level + 1]; at++)
		{
			double x = level_value(design, at);

			sum += x * x;
			known += !is_known[design->entity[at]];
			is_known[design->entity[at]] = true;
		}
	}
	host->release(host->ctx, is_known);
	return known > 0 ? fmax(1, sum / known) : 1;
}

/*
 * Compute how much each level counts, given its entities' weights, and how strongly it is drawn to
 * 0.
 */
static void
init_level(const FmRegression *r, Design *design, int32_t level, double strength, double norm)
{
	const FmSide *ratings = &r->problem->side[r->side];
	double square = 0, count = 0;

	for (int64_t at = design->start[level]; at < design->start[level + 1]; at++)
	{
		int32_t e = design->entity[at];
		double x = level_value(design, at);

		square += x * x * r->weight[e];
		count += x * x * fm_side_weight(ratings, e);
	}
	design->square[level] = (float) square;
	design->strength[level] = (float) (norm * (r->draws ? DRAWN_NORM : strength * sqrt(1 + count)));
}

static void
init_weights(FmRegression *r, double strength)
{
	const FmSide *ratings = &r->problem->side[r->side];
	bool is_ranking = r->problem->task == FM_TASK_RANKING;
	double mean = r->problem->total_weight / r->problem->num_rated[r->side];

	for (int32_t e = 0; e < ratings->count; e++)
	{
		fm_problem_check(r->problem, e);
		if (fm_side_is_rated(ratings, e))
			r->weight[e] =
				(float) (r->draws ? 1 : sqrt(is_ranking ? mean : fm_side_weight(ratings, e)));
	}
	for (int d = 0; d < r->num_designs; d++)
	{
		double norm = mean_norm(r, &r->design[d]);

		for (int32_t level = 0; level < r->design[d].num_levels; level++)
		{
			fm_problem_check(r->problem, level);
			init_level(r, &r->design[d], level, strength, norm);
		}
	}
}

FmRegression *
fm_regression_create(const FmProblem *problem, int side, int rank, double strength)
{
	const FmHost *host = problem->host;
	int32_t count = problem->side[side].count;
	FmRegression *r = host->alloc(host->ctx, 1, sizeof(FmRegression));

	r->problem = problem;
	r->side = side;
	r->rank = rank;
	r->draws = strength == 0;
	r->stride = fm_block_stride(problem->kernel, rank);
	r->num_chunks = count_chunks(rank);
	r->weight = host->alloc(host->ctx, count, sizeof(float));
	r->offset = fm_problem_rows(problem, side, rank);
	r->residual = fm_team_alloc(host, (size_t) r->num_chunks * count, sizeof(Lanes));
	r->has_features = problem->features[side].num_levels > 0;
	if (r->has_features)
		add_design(r, features_design(&problem->features[side]));
	if (problem->history)
		add_design(r, history_design(r));
	init_weights(r, strength);
	return r;
}

void
fm_regression_release(FmRegression *r)
{
	const FmHost *host;

	if (r == NULL)
		return;
	host = r->problem->host;
	for (int d = 0; d < r->num_designs; d++)
	{
		Design *design = &r->design[d];

		if (design->scale)
			host->release(host->ctx, design->scale);
		host->release(host->ctx, design->square);
		host->release(host->ctx, design->strength);
		host->release(host->ctx, design->ratio[0]);
		host->release(host->ctx, design->ratio[1]);
		fm_team_release(host, design->effect);
		fm_team_release(host, design->sums);
	}
	host->release(host->ctx, r->weight);
	fm_team_release(host, r->offset);
	fm_team_release(host, r->residual);
	host->release(host->ctx, r);
}

const float *
fm_regression_offset(const FmRegression *r)
{
	return r->offset;
}

const float *
fm_regression_effects(const FmRegression *r)
{
	return r->has_features ? r->design[0].effect : NULL;
}

const float *
fm_regression_history(const FmRegression *r, const float **scale)
{
	const Design *last = &r->design[r->num_designs - 1];

	*scale = last->scale;
	return last->scale ? last->effect : NULL;
}

/* Return Σ weight x residual over the entities of a level. */
static void
sum_level(const FmRegression *r, const Design *design, int32_t level, const Lanes *residual,
		  double *sum)
{
	int64_t begin = design->start[level], end = design->start[level + 1];

	memset(sum, 0, WIDTH * sizeof(double));
	for (int64_t at = begin; at < end;)
	{
		int64_t stop = end - at < SINGLE_ENTITIES ? end : at + SINGLE_ENTITIES;
		Lanes part = {0};

		for (; at < stop; at++)
		{
			int32_t e = design->entity[at];

			part += level_value(design, at) * r->weight[e] * residual[e];
		}
		for (int f = 0; f < WIDTH; f++)
			sum[f] += part[f];
	}
}

/* A sweep: one chunk of coordinates of all levels of a matrix, in their order. */
typedef struct Sweep
{
	const FmRegressionStep *step;
	Design *design;
	int first; /* coordinate */
	int width;
	int chunk;
	Lanes *residual;
	GroupSums *sums; /* by group */
	float noise[WIDTH * FM_RANDOM_LANES] __attribute__((aligned(FM_ALIGNMENT)));
} Sweep;

/*
 * Draw the effects of a level, given the sums of its residuals; *change is what is added to them.
 */
static void
draw_effects(const FmRegression *r, Sweep *sweep, int32_t level, const double *sum, Lanes *change)
{
	const FmRegressionStep *step = sweep->step;
	const Design *design = sweep->design;
	int32_t group = design->group ? design->group[level] : 0;
	float *effect = design->effect + (size_t) level * r->stride + sweep->first;
	double square = design->square[level];

	*change = (Lanes){0};
	for (int f = 0; f < sweep->width; f++)
	{
		bool is_w = sweep->first + f == r->rank;
		double lambda = step->precision[sweep->first + f];
		double pull = design->common[is_w] * design->strength[level];
		double precision = square + design->ratio[is_w][group] * pull;
		double value = (sum[f] + square * effect[f]) / precision;

		if (r->draws)
			value += sweep->noise[f * FM_RANDOM_LANES + level % FM_RANDOM_LANES] /
					 sqrt(precision * lambda);
		(*change)[f] = (float) value - effect[f];
		effect[f] = (float) value;
		sweep->sums[group].square[is_w] += lambda * design->strength[level] * value * value;
	}
}

/* Draw the noise of the next levels. */
static void
draw_noise(const FmRegression *r, Sweep *sweep, int32_t level)
{
	FmRandomKey key = {r->problem->seed, sweep->design->stream, (uint32_t) sweep->step->iteration};
	uint32_t entity[FM_RANDOM_LANES];

	for (int lane = 0; lane < FM_RANDOM_LANES; lane++)
		entity[lane] = (uint32_t) (level + lane) * r->num_chunks + sweep->chunk;
	r->problem->kernel->normals(&key, entity, WIDTH, sweep->noise);
}

static void
run_sweep(const FmRegression *r, Sweep *sweep)
{
	const FmHost *host = r->problem->host;
	const Design *design = sweep->design;
	int64_t checked = 0;

	memset(sweep->sums, 0, design->num_groups * sizeof(GroupSums));
	for (int32_t level = 0; level < design->num_levels; level++)
	{
		double sum[WIDTH];
		Lanes change;

		if (level % FM_RANDOM_LANES == 0 && r->draws)
			draw_noise(r, sweep, level);
		sum_level(r, design, level, sweep->residual, sum);
		draw_effects(r, sweep, level, sum, &change);
		for (int64_t at = design->start[level]; at < design->start[level + 1]; at++)
			sweep->residual[design->entity[at]] -= level_value(design, at) * change;
		if (design->start[level + 1] - checked > CHECK_EVERY || level % CHECK_EVERY == 0)
		{
			checked = design->start[level + 1];
			host->check_interrupts(host->ctx);
		}
	}
}

/* Compute residuals from θ and offsets; or, after the sweeps, offsets from θ and residuals. */
static void
exchange(FmRegression *r, const FmRegressionStep *step, int first, int width, Lanes *residual,
		 bool to_offset)
{
	const FmSide *side = &r->problem->side[r->side];

	for (int32_t e = 0; e < side->count; e++)
	{
		const float *row = step->rows + (size_t) e * r->stride;
		float *offset = r->offset + (size_t) e * r->stride;
		float g = step->covariate ? step->covariate[e] : 0;

		fm_problem_check(r->problem, e);
		if (!fm_side_is_rated(side, e))
			continue;
		for (int f = 0; f < width; f++)
		{
			int at = first + f;
			float theta = (at < r->rank ? row[at] : -row[r->rank + 1]) / row[r->rank];

			theta -= step->mean[at] + (step->covariate ? step->slope[at] * g : 0);
			if (to_offset)
				offset[at] = theta - residual[e][f];
			else
				residual[e][f] = theta - offset[at];
		}
	}
}

/* FmTeamBody */
static void
update_chunks(void *state, int32_t begin, int32_t end)
{
	const ChunkLoop *loop = state;
	FmRegression *r = loop->regression;

	for (int32_t chunk = begin; chunk < end; chunk++)
	{
		int first = chunk * WIDTH;
		int width = r->rank + 1 - first < WIDTH ? r->rank + 1 - first : WIDTH;
		Lanes *residual = r->residual + (size_t) chunk * r->problem->side[r->side].count;

		exchange(r, loop->step, first, width, residual, false);
		for (int d = 0; d < r->num_designs; d++)
		{
			Design *design = &r->design[d];
			Sweep sweep = {.step = loop->step,
						   .design = design,
						   .first = first,
						   .width = width,
						   .chunk = chunk,
						   .residual = residual,
						   .sums = design->sums + (size_t) chunk * design->num_groups};

			run_sweep(r, &sweep);
		}
		exchange(r, loop->step, first, width, residual, true);
	}
}

/*
 * Draw κ, given Σ λ m ρ B² over all effects of v (0) or w (1), and their number. With one group, ρ
 * says as much.
 */
static void
draw_common(Design *design, FmRandomKey key, int which, double count, double sum)
{
	FmRandomSequence random = {key, (uint32_t) (design->num_groups + which), 0};

	if (design->num_groups > 1)
		design->common[which] = fm_random_gamma(&random, (RATIO_SHAPE + count) / 2) * 2 /
								(RATIO_RATE + sum);
}

/* Draw the ρ and κ of a matrix, given its effects. Every member does this. */
static void
draw_ratios(const FmRegression *r, Design *design, int iteration)
{
	FmRandomKey key = {r->problem->seed, design->stream + 1, (uint32_t) iteration};
	double all[2] = {0};
	int32_t level = 0;

	for (int32_t g = 0; g < design->num_groups; g++)
	{
		FmRandomSequence random = {key, (uint32_t) g, 0};
		int32_t first = level;

		if (design->group == NULL)
			level = design->num_levels;
		while (level < design->num_levels && design->group[level] == g)
			level++;
		for (int i = 0; i < 2; i++)
		{
			double count = (double) (level - first) * (i == 0 ? r->rank : 1), sum = 0;

			for (int chunk = 0; chunk < r->num_chunks; chunk++)
				sum += design->sums[(size_t) chunk * design->num_groups + g].square[i];
			design->ratio[i][g] = fm_random_gamma(&random, (RATIO_SHAPE + count) / 2) * 2 /
								  (RATIO_RATE + design->common[i] * sum);
			all[i] += design->ratio[i][g] * sum;
		}
	}
	for (int i = 0; i < 2; i++)
		draw_common(design, key, i, (double) level * (i == 0 ? r->rank : 1), all[i]);
}

void
fm_regression_update(FmRegression *r, const FmRegressionStep *step)
{
	ChunkLoop loop = {r, step};

	fm_team_for(r->problem->host, r->num_chunks, 1, update_chunks, &loop);
	for (int d = 0; d < r->num_designs && r->draws; d++)
		draw_ratios(r, &r->design[d], step->iteration);
}
