/*
 * Contexts: what the context of a rating adds to its user.
 *
 * With levels l of the columns of a rating's context,
 *
 *   y = w_u + w_i + Σ_l w_l + <v_u + Σ_l v_l, v_i> + noise
 *   v_l, w_l ~ N(0, 1/(λ ρ)),   ρ ~ Gamma(1/2, 1/2)
 *
 * with the users' λ, and two ρ for each column, one for v and one for w. No rating has two levels
 * of one column, just as none has two users. So a column is one more half-step of block.c: over the
 * ratings by level, against the items, with the users and the other columns as terms. The
 * combinations of levels that occur are few compared to the ratings. Each has a row with the sum of
 * its levels, which the half-steps of users, items and columns read.
 *
 * Memory: rows of levels and of combinations, and for every column the ratings in its order, shared
 * by the team.
 */
#include "core/train/context.h"

#include <math.h>
#include <string.h>

#include "core/layout.h"
#include "core/team.h"

/* Of the hyper-prior of the ratios; halved where they are used. */
#define RATIO_SHAPE 1.0
#define RATIO_RATE 1.0

#define COMBINATIONS_CHUNK 256

/* The ratings ordered by the levels of one column. */
typedef struct Column
{
	FmSide side; /* the levels as a side, against the items */
	int64_t *start;
	int32_t *item;
	float *value;
	float *weight; /* or NULL */
	int32_t *user;
	int32_t *combination;
	double ratio[2]; /* ρ of v and of w */
} Column;

struct FmContextEffects
{
	const FmProblem *problem;
	int rank;
	int stride;
	bool draws;
	float *levels;		 /* rows, shared */
	float *combinations; /* rows, shared */
	double *error;		 /* by level, shared */
	float *precision;	 /* rank + 1 numbers, as the next one */
	float *mean;
	Column *column;
};

double
fm_context_shared_size(const FmProblem *problem, int rank)
{
	const FmContexts *contexts = &problem->contexts;
	const int arrays = 3, arrays_a_column = 6;
	double row = fm_block_stride(problem->kernel, rank) * sizeof(float);
	double rating = 4 * sizeof(float) + (problem->side[FM_USERS].weight ? sizeof(float) : 0);

	if (contexts->num_columns == 0)
		return 0;
	return (arrays + (double) arrays_a_column * contexts->num_columns) * FM_ALIGNMENT +
		   contexts->num_levels * (row + sizeof(double)) + contexts->num_combinations * row +
		   (double) contexts->num_columns * problem->num_ratings * rating +
		   (contexts->num_levels + (double) contexts->num_columns) * sizeof(int64_t);
}

static int32_t
count_levels(const FmContexts *contexts, int column)
{
	return contexts->first_level[column + 1] - contexts->first_level[column];
}

/* Return the level that a combination has in a column, counted from the column's first level. */
static int32_t
level_of(const FmContexts *contexts, int32_t combination, int column)
{
	return contexts->level[(size_t) combination * contexts->num_columns + column] -
		   contexts->first_level[column];
}

/* Copy the ratings into a column's order: by level, then in the order of users and items. */
static void
sort_column(const FmContextEffects *context, int number, Column *column)
{
	const FmProblem *problem = context->problem;
	const FmHost *host = problem->host;
	const FmSide *users = &problem->side[FM_USERS];
	const int32_t *of = problem->context[FM_USERS];
	int32_t num_levels = count_levels(&problem->contexts, number);
	int64_t *next = host->alloc(host->ctx, (size_t) num_levels + 1, sizeof(int64_t));

	for (int64_t r = 0; r < problem->num_ratings; r++)
	{
		fm_problem_check(problem, r);
		column->start[level_of(&problem->contexts, of[r], number) + 1]++;
	}
	for (int32_t level = 0; level < num_levels; level++)
		column->start[level + 1] += column->start[level];
	memcpy(next, column->start, ((size_t) num_levels + 1) * sizeof(int64_t));
	for (int32_t u = 0; u < users->count; u++)
		for (int64_t r = users->start[u]; r < users->start[u + 1]; r++)
		{
			int64_t to = next[level_of(&problem->contexts, of[r], number)]++;

			fm_problem_check(problem, r);
			column->user[to] = u;
			column->item[to] = users->other[r];
			column->value[to] = users->value[r];
			column->combination[to] = of[r];
			if (users->weight)
				column->weight[to] = users->weight[r];
		}
	host->release(host->ctx, next);
}

static void
init_column(const FmContextEffects *context, int number, Column *column)
{
	const FmProblem *problem = context->problem;
	const FmHost *host = problem->host;
	int32_t num_levels = count_levels(&problem->contexts, number);
	size_t count = problem->num_ratings;

	column->start = fm_team_alloc(host, (size_t) num_levels + 1, sizeof(int64_t));
	column->item = fm_team_alloc(host, count, sizeof(int32_t));
	column->value = fm_team_alloc(host, count, sizeof(float));
	column->user = fm_team_alloc(host, count, sizeof(int32_t));
	column->combination = fm_team_alloc(host, count, sizeof(int32_t));
	if (problem->side[FM_USERS].weight)
		column->weight = fm_team_alloc(host, count, sizeof(float));
	column->ratio[0] = column->ratio[1] = 1;
	column->side = (FmSide){num_levels, column->start, column->item, column->value, column->weight};
	if (fm_team_leads(host))
		sort_column(context, number, column);
}

FmContextEffects *
fm_context_create(const FmProblem *problem, int rank, bool draws)
{
	const FmHost *host = problem->host;
	const FmContexts *contexts = &problem->contexts;
	FmContextEffects *context;

	if (contexts->num_columns == 0)
		return NULL;
	context = host->alloc(host->ctx, 1, sizeof(FmContextEffects));
	context->problem = problem;
	context->rank = rank;
	context->stride = fm_block_stride(problem->kernel, rank);
	context->draws = draws;
	context->levels = fm_team_alloc(host, (size_t) contexts->num_levels * context->stride,
									sizeof(float));
	context->combinations =
		fm_team_alloc(host, (size_t) contexts->num_combinations * context->stride, sizeof(float));
	context->error = fm_team_alloc(host, contexts->num_levels, sizeof(double));
	context->precision = host->alloc(host->ctx, rank + 1, sizeof(float));
	context->mean = host->alloc(host->ctx, rank + 1, sizeof(float));
	context->column = host->alloc(host->ctx, contexts->num_columns, sizeof(Column));
	for (int c = 0; c < contexts->num_columns; c++)
		init_column(context, c, &context->column[c]);
	return context;
}

void
fm_context_release(FmContextEffects *context)
{
	const FmHost *host;

	if (context == NULL)
		return;
	host = context->problem->host;
	for (int c = 0; c < context->problem->contexts.num_columns; c++)
	{
		Column *column = &context->column[c];

		fm_team_release(host, column->start);
		fm_team_release(host, column->item);
		fm_team_release(host, column->value);
		fm_team_release(host, column->user);
		fm_team_release(host, column->combination);
		if (column->weight)
			fm_team_release(host, column->weight);
	}
	fm_team_release(host, context->levels);
	fm_team_release(host, context->combinations);
	fm_team_release(host, context->error);
	host->release(host->ctx, context->precision);
	host->release(host->ctx, context->mean);
	host->release(host->ctx, context->column);
	host->release(host->ctx, context);
}

const float *
fm_context_rows(const FmContextEffects *context)
{
	return context->levels;
}

void
fm_context_add_term(const FmContextEffects *context, int side, FmHalfStep *step)
{
	if (context == NULL)
		return;
	/* seen from an item, a context is part of the user */
	step->terms[step->num_terms++] = (FmBlockTerm){.rows = context->combinations,
												   .index = context->problem->context[side],
												   .sign = 1,
												   .joins = side == FM_ITEMS};
}

/* For team loops. */
typedef struct Loop
{
	FmContextEffects *context;
	const FmContextStep *step;
	const FmHalfStep *half_step;
} Loop;

/* FmTeamBody */
static void
update_levels(void *state, int32_t begin, int32_t end)
{
	const Loop *loop = state;

	fm_block_half_step(loop->half_step, loop->step->work, begin, end);
}

/* FmTeamBody: compute the rows of combinations from those of their levels. */
static void
sum_combinations(void *state, int32_t begin, int32_t end)
{
	const Loop *loop = state;
	const FmContextEffects *context = loop->context;
	const FmContexts *contexts = &context->problem->contexts;
	size_t stride = context->stride;

	for (int32_t i = begin; i < end; i++)
	{
		float *row = context->combinations + i * stride;

		fm_problem_check(context->problem, i);
		memset(row, 0, stride * sizeof(float));
		for (int c = 0; c < contexts->num_columns; c++)
		{
			int32_t level = contexts->level[(size_t) i * contexts->num_columns + c];
			const float *from = context->levels + (size_t) level * stride;

			for (int f = 0; f < context->rank + 2; f++)
				row[f] += from[f];
		}
		row[context->rank] = 1;
	}
}

/* Update the levels of a column, and then the combinations. */
static void
update_column(FmContextEffects *context, const FmContextStep *step, int number)
{
	const FmProblem *problem = context->problem;
	Column *column = &context->column[number];
	int32_t first = problem->contexts.first_level[number];
	float *rows = context->levels + (size_t) first * context->stride;
	uint32_t stream = FM_STREAM_CONTEXT_LEVEL + 2 * (uint32_t) number;
	FmRandomKey key = {problem->seed, stream, (uint32_t) step->iteration};
	FmProbit probit = {{problem->seed, stream + 1, (uint32_t) step->iteration},
					   (float) problem->mean};
	FmHalfStep half = fm_problem_half_step(problem, FM_USERS, context->rank, step->rows[FM_ITEMS],
										   context->error + first);
	Loop loop = {context, step, &half};

	for (int f = 0; f <= context->rank; f++)
		context->precision[f] = (float) (step->precision[f] * column->ratio[f == context->rank]);
	half.side = &column->side;
	half.terms[half.num_terms++] = (FmBlockTerm){.rows = step->rows[FM_USERS],
												 .index = column->user,
												 .sign = 1,
												 .weighs = true};
	half.terms[half.num_terms++] =
		(FmBlockTerm){.rows = context->combinations, .index = column->combination, .sign = 1};
	half.terms[half.num_terms++] = (FmBlockTerm){.rows = rows, .sign = -1};
	half.noise_precision = step->noise_precision;
	half.prior_precision = context->precision;
	half.prior_mean = context->mean;
	half.prior_growth = context->draws ? FM_PRIOR_FIXED : FM_PRIOR_BY_ROOT;
	half.noise = context->draws ? &key : NULL;
	half.draw_rows = rows;
	if (problem->task == FM_TASK_CLASSIFICATION)
		half.probit = &probit;
	fm_team_for(problem->host, column->side.count, FM_BLOCK_CHUNK, update_levels, &loop);
	fm_team_for(problem->host, problem->contexts.num_combinations, COMBINATIONS_CHUNK,
				sum_combinations, &loop);
}

/* Draw the ρ of a column, given its levels. Every member does this. */
static void
draw_ratios(FmContextEffects *context, const FmContextStep *step, int number)
{
	const FmContexts *contexts = &context->problem->contexts;
	FmRandomSequence random = {{context->problem->seed, FM_STREAM_CONTEXT,
								(uint32_t) step->iteration},
							   (uint32_t) number,
							   0};
	double count = count_levels(contexts, number), sum[2] = {0};

	for (int32_t level = contexts->first_level[number]; level < contexts->first_level[number + 1];
		 level++)
	{
		const float *row = context->levels + (size_t) level * context->stride;

		for (int f = 0; f < context->rank; f++)
			sum[0] += (double) step->precision[f] * row[f] * row[f];
		sum[1] += (double) step->precision[context->rank] * row[context->rank + 1] *
				  row[context->rank + 1];
	}
	for (int i = 0; i < 2; i++)
		context->column[number].ratio[i] =
			fm_random_gamma(&random, (RATIO_SHAPE + count * (i == 0 ? context->rank : 1)) / 2) * 2 /
			(RATIO_RATE + sum[i]);
}

void
fm_context_update(FmContextEffects *context, const FmContextStep *step)
{
	if (context == NULL)
		return;
	for (int c = 0; c < context->problem->contexts.num_columns; c++)
	{
		update_column(context, step, c);
		if (context->draws)
			draw_ratios(context, step, c);
	}
}
