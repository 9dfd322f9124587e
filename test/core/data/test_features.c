/*
 * Features: how entries become columns, and what solvers make of them on planted data: entities
 * without ratings, planted effects, history. Prints TAP.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "support/data.h"
#include "support/tap.h"

/* ---- Building ---- */

static void
test_columns(void)
{
	FmFeatureEntries entries = new_entries(20, 6, 4);
	static const int32_t group[] = {0, 0, 0, 1, 2, 3};
	FmFeatures f;

	memcpy(entries.group, group, sizeof(group));
	entries.is_numeric[3] = entries.is_numeric[4] = true;
	add_entry(&entries, 2, 5, 1); /* twice */
	add_entry(&entries, 0, 3, 0.5);
	add_entry(&entries, 2, 1, 1);
	add_entry(&entries, 2, 5, 1);
	add_entry(&entries, 0, 2, 1);
	add_entry(&entries, 1, 4, 1);  /* the only one */
	add_entry(&entries, 3, 0, 10); /* 10, 20, 30 */
	add_entry(&entries, 3, 2, 30);
	add_entry(&entries, 3, 1, 15);
	add_entry(&entries, 3, 1, 5);
	add_entry(&entries, 4, 0, 7); /* all the same */
	add_entry(&entries, 4, 1, 7);
	add_entry(&entries, 5, 6, 1); /* the only one, twice */
	add_entry(&entries, 5, 6, 1);
	f = build_features(&entries);

	ok(f.num_levels == 3 && f.num_groups == 4, "%d levels remain", f.num_levels);
	ok(entries.place[0] == 0 && entries.place[1] == -1 && entries.place[2] == 1 &&
		   entries.place[3] == 2 && entries.place[4] == -1 && entries.place[5] == -1,
	   "those of one entity and those that are the same everywhere are left out");
	ok(f.group[0] == 0 && f.group[1] == 0 && f.group[2] == 1, "the others keep their groups");
	ok(f.start[0] == 0 && f.start[1] == 2 && f.start[2] == 4 && f.start[3] == 7, "and entries");
	ok(f.entity[0] == 2 && f.entity[1] == 3 && f.value[0] == 1 && f.value[1] == 0.5,
	   "entities ascend");
	ok(f.entity[2] == 1 && f.entity[3] == 5 && f.value[3] == 2, "what is said twice adds up");
	ok(fabs(entries.mean[3] - 20) < 1e-12 && fabs(entries.deviation[3] - sqrt(200 / 3.0)) < 1e-12 &&
		   fabs(f.value[5]) < 1e-6 && fabs(f.value[4] + f.value[6]) < 1e-6 &&
		   fabs(f.value[6] - 10 / sqrt(200 / 3.0)) < 1e-6,
	   "numbers are standardised");
	free_levels(&entries);
	free_features(&f);
}

/* Test numbers far from 0, from which a center was subtracted. */
static void
test_center(void)
{
	const double center = 1e9;
	FmFeatureEntries near = new_entries(100, 1, 1), far = new_entries(100, 1, 1);
	FmFeatures a, b;
	bool same = true;

	near.is_numeric[0] = far.is_numeric[0] = true;
	far.center = host.alloc(host.ctx, 1, sizeof(double));
	far.center[0] = center;
	for (int i = 0; i < 20; i++)
	{
		add_entry(&near, 0, i, 2 * i);
		add_entry(&far, 0, i, i);
		add_entry(&far, 0, i, i);
	}
	a = build_features(&near);
	b = build_features(&far);
	for (int i = 0; i < 20; i++)
		same = same && a.entity[i] == b.entity[i] && a.value[i] == b.value[i];
	ok(same && far.deviation[0] == near.deviation[0],
	   "a center does not alter standardised numbers");
	ok(far.mean[0] == near.mean[0] + 2 * center, "the mean is that of the numbers themselves");
	free_levels(&near);
	free_levels(&far);
	free_features(&a);
	free_features(&b);

	far = new_entries(3, 1, 1);
	add_entry(&far, 0, 0, 1);
	far.is_numeric[0] = true;
	far.center = host.alloc(host.ctx, 1, sizeof(double));
	far.center[0] = center;
	add_entry(&far, 0, 1, 2);
	add_entry(&far, 0, 1, 3);
	b = build_features(&far);
	ok(fabs(far.mean[0] - (center + 3 + center / 2)) < 100,
	   "an entity with one entry more has a larger sum");
	free_levels(&far);
	free_features(&b);
}

/* Test many entries, in two orders. */
static void
test_order(void)
{
	const int64_t count = 300000;
	FmFeatureEntries one = new_entries(count, 50, 1), two = new_entries(count, 50, 1);
	FmFeatures a, b;
	int64_t left;

	for (int64_t i = 0; i < count; i++)
		add_entry(&one, (int32_t) (uniform() * 50), (int32_t) (uniform() * 3000), normal());
	for (int64_t i = 0; i < count; i++)
	{
		int64_t from = (i * 7919 + 13) % count;

		add_entry(&two, one.level[from], one.entity[from], one.value[from]);
	}
	a = build_features(&one);
	b = build_features(&two);
	left = a.start[a.num_levels];
	ok(a.num_levels == 50 && left > 100000 && left < count, "%lld of %lld entries are distinct",
	   (long long) left, (long long) count);
	ok(memcmp(a.start, b.start, 51 * sizeof(int64_t)) == 0 &&
		   memcmp(a.entity, b.entity, left * sizeof(int32_t)) == 0 &&
		   memcmp(a.value, b.value, left * sizeof(float)) == 0,
	   "their order does not matter, to the bit");
	free_levels(&one);
	free_levels(&two);
	free_features(&a);
	free_features(&b);
}

/* ---- Solving ---- */

#define USERS 400
#define ITEMS 240
#define LEVELS 6 /* of a category; there is also a number */
#define RANK 2
#define NOISE 0.5
#define COLD(entity, count) ((entity) >= (count) *9 / 10) /* without training ratings */

typedef struct Planted
{
	FmRatings train;
	FmTriples test; /* the ratings of cold items */
} Planted;

/*
 * Draw v and w of a side: the sum of a level's, a number's, and a small part of the entity's own.
 * Return the features.
 */
static FmFeatures
plant_side(int count, double (*theta)[RANK + 1])
{
	FmFeatureEntries entries = new_entries(2 * count, LEVELS + 1, 2);
	double effect[LEVELS + 1][RANK + 1];
	FmFeatures features;

	entries.is_numeric[LEVELS] = true;
	entries.group[LEVELS] = 1;
	for (int j = 0; j <= LEVELS; j++)
		for (int f = 0; f <= RANK; f++)
			effect[j][f] = normal() * 0.7;
	for (int e = 0; e < count; e++)
	{
		int level = (int) (uniform() * LEVELS);
		double number = normal();

		add_entry(&entries, level, e, 1);
		add_entry(&entries, LEVELS, e, 1000 + 50 * number);
		for (int f = 0; f <= RANK; f++)
			theta[e][f] = effect[level][f] + number * effect[LEVELS][f] + 0.1 * normal();
	}
	features = build_features(&entries);
	free_levels(&entries);
	return features;
}

static Planted
plant(void)
{
	static double user[USERS][RANK + 1], item[ITEMS][RANK + 1];
	FmTriples seen = new_triples(USERS * ITEMS, false);
	Planted planted = {.test = new_triples(USERS * ITEMS, false)};
	FmFeatures features[2];

	random_state = 5;
	features[FM_USERS] = plant_side(USERS, user);
	features[FM_ITEMS] = plant_side(ITEMS, item);
	for (int u = 0; u < USERS; u++)
		for (int i = 0; i < ITEMS; i++)
		{
			double value = 3 + user[u][RANK] + item[i][RANK] + NOISE * normal();

			for (int f = 0; f < RANK; f++)
				value += user[u][f] * item[i][f];
			if (uniform() > 0.2)
				continue;
			if (COLD(i, ITEMS) && COLD(u, USERS))
				add_rating(&planted.test, u, i, value, 1);
			else if (!COLD(i, ITEMS) && !COLD(u, USERS))
				add_rating(&seen, u, i, value, 1);
		}
	planted.train = new_ratings(&seen, USERS, ITEMS);
	memcpy(planted.train.features, features, sizeof(features));
	return planted;
}

static FmParameters
train(const FmRatings *ratings, FmSolverKind solver, bool history)
{
	FmSolverOptions options = default_options(solver, 8, 0, 1);
	FmParameters parameters;

	options.history = history;
	fm_solve(ratings, &options, &host, &parameters);
	return parameters;
}

/* Return the largest difference between a cold item and the sum of its levels. */
static double
worst_sum(const Planted *planted, const FmParameters *p)
{
	const FmFeatures *f = &planted->train.features[FM_ITEMS];
	double worst = 0;

	for (int e = 0; e < ITEMS; e++)
		for (int c = 0; c <= p->num_factors; c++)
		{
			bool is_w = c == p->num_factors;
			const float *level = is_w ? p->level_w[FM_ITEMS] : p->level_v[FM_ITEMS] + c;
			int step = is_w ? 1 : p->num_factors;
			double sum = level[(size_t) f->num_levels * step];
			double value = is_w ? p->item_w[e] : p->item_v[(size_t) e * p->num_factors + c];

			for (int j = 0; j < f->num_levels; j++)
				for (int64_t at = f->start[j]; at < f->start[j + 1]; at++)
					if (f->entity[at] == e)
						sum += f->value[at] * level[(size_t) j * step];
			if (COLD(e, ITEMS))
				worst = fmax(worst, fabs(sum - value));
		}
	return worst;
}

static void
test_planted(FmSolverKind solver, bool history)
{
	const char *name = solver_names[solver];
	const char *with = history ? " with history" : "";
	Planted planted = plant();
	FmParameters p = train(&planted.train, solver, history);
	FmFeatures none[2] = {0};
	double rmse = test_rmse(&p, &planted.test), without, worst = worst_sum(&planted, &p);

	/* least squares draws effects to 0 as strongly as suits data with more noise */
	ok(rmse < (solver == FM_SOLVER_MCMC ? 1.35 : 4.5) * NOISE,
	   "%s%s: entities without ratings: RMSE is %.3f times the noise", name, with, rmse / NOISE);
	ok(worst < 1e-5, "what is unrated is the sum of its levels, but for %g", worst);
	free_parameters(&p);

	memcpy(none, planted.train.features, sizeof(none));
	memset(planted.train.features, 0, sizeof(none));
	p = train(&planted.train, solver, history);
	without = test_rmse(&p, &planted.test);
	ok(without > 5 * NOISE && p.level_w[0] == NULL && p.level_v[1] == NULL,
	   "without features it is %.3f times the noise", without / NOISE);
	free_parameters(&p);
	for (int side = 0; side < 2; side++)
		free_features(&none[side]);
	free_ratings(&planted.train);
	free_triples(&planted.test);
}

/* ---- Contexts ---- */

#define COLUMNS 2
#define COLUMN_LEVELS 4 /* in each column */

/*
 * Return ratings in contexts: levels of two columns have their own v and w, and depend on users and
 * items. A tenth of the ratings goes to *test.
 */
static FmRatings
plant_contexts(FmTriples *test)
{
	static double user[USERS][RANK + 1], item[ITEMS][RANK + 1];
	double level[COLUMNS * COLUMN_LEVELS][RANK + 1];
	FmTriples seen = new_triples(USERS * ITEMS, false);
	FmRatings ratings;
	FmContexts contexts = {COLUMNS, COLUMNS * COLUMN_LEVELS, COLUMN_LEVELS * COLUMN_LEVELS,
						   host.alloc(host.ctx, COLUMNS + 1, sizeof(int32_t)),
						   host.alloc(host.ctx, COLUMN_LEVELS * COLUMN_LEVELS * COLUMNS,
									  sizeof(int32_t))};

	random_state = 11;
	*test = new_triples(USERS * ITEMS, false);
	seen.context = host.alloc(host.ctx, USERS * ITEMS, sizeof(int32_t));
	test->context = host.alloc(host.ctx, USERS * ITEMS, sizeof(int32_t));
	for (int c = 0; c <= COLUMNS; c++)
		contexts.first_level[c] = c * COLUMN_LEVELS;
	for (int i = 0; i < contexts.num_combinations; i++)
	{
		contexts.level[i * COLUMNS] = i / COLUMN_LEVELS;
		contexts.level[i * COLUMNS + 1] = COLUMN_LEVELS + i % COLUMN_LEVELS;
	}
	for (int f = 0; f <= RANK; f++)
	{
		for (int u = 0; u < USERS; u++)
			user[u][f] = 0.7 * normal();
		for (int i = 0; i < ITEMS; i++)
			item[i][f] = 0.7 * normal() + 0.5;
		for (int l = 0; l < COLUMNS * COLUMN_LEVELS; l++)
			level[l][f] = 0.7 * normal() + 0.3;
	}
	for (int u = 0; u < USERS; u++)
		for (int i = 0; i < ITEMS; i++)
		{
			int32_t one = (int32_t) (uniform() * uniform() * COLUMN_LEVELS);
			int32_t two = (u + i + (int32_t) (uniform() * 2)) % COLUMN_LEVELS;
			int32_t context = one * COLUMN_LEVELS + two;
			double value = 3 + NOISE * normal() + user[u][RANK] + item[i][RANK] + level[one][RANK] +
						   level[COLUMN_LEVELS + two][RANK];
			FmTriples *to = uniform() < 0.1 ? test : &seen;

			for (int f = 0; f < RANK; f++)
				value += (user[u][f] + level[one][f] + level[COLUMN_LEVELS + two][f]) * item[i][f];
			if (uniform() > 0.2)
				continue;
			to->context[to->count] = context;
			add_rating(to, u, i, value, 1);
		}
	ratings = new_ratings(&seen, USERS, ITEMS);
	ratings.contexts = contexts;
	return ratings;
}

static double
context_rmse(const FmParameters *p, const FmContexts *contexts, const FmTriples *test)
{
	double sum = 0;

	for (int64_t r = 0; r < test->count; r++)
		sum += pow(fm_score_in_context(p, contexts, test->context[r], test->user[r],
									   test->item[r]) -
					   test->value[r],
				   2);
	return sqrt(sum / test->count);
}

static void
test_contexts(FmSolverKind solver)
{
	const char *name = solver_names[solver];
	FmTriples test;
	FmRatings ratings = plant_contexts(&test);
	FmParameters p = train(&ratings, solver, false);
	double rmse = context_rmse(&p, &ratings.contexts, &test), without = test_rmse(&p, &test);
	double mean[COLUMNS] = {0};

	ok(rmse < (solver == FM_SOLVER_MCMC ? 1.1 : 1.4) * NOISE,
	   "%s, contexts: RMSE is %.3f times the noise", name, rmse / NOISE);
	ok(without > 1.7 * NOISE, "in none it is %.3f times the noise", without / NOISE);
	for (int64_t r = 0; r < ratings.num_ratings; r++)
		for (int c = 0; c < COLUMNS; c++)
			mean[c] += p.context_w[ratings.contexts.level[ratings.user_context[r] * COLUMNS + c]] /
					   ratings.num_ratings;
	ok(fabs(mean[0]) < 1e-5 && fabs(mean[1]) < 1e-5, "their mean over the ratings is 0");
	free_parameters(&p);
	free_triples(&test);
	free_ratings(&ratings);
}

int
main(void)
{
	test_columns();
	test_center();
	test_order();
	for (int history = 0; history <= 1; history++)
		for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_ALS; solver++)
			test_planted(solver, history);
	test_contexts(FM_SOLVER_MCMC);
	test_contexts(FM_SOLVER_ALS);
	return done_testing();
}
