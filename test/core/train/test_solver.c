/*
 * The solvers on made-up data: they find the planted model in any unit, give the same bits for the
 * same seed, use weights and repeats, train alike with every kernel, and survive corner cases.
 * Prints TAP.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/data/repeats.h"
#include "core/train/block.h"
#include "support/planted.h"
#include "support/tap.h"

static void
test_recovery(void)
{
	Planted planted = plant(1, 0);

	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_ALS; solver++)
	{
		FmParameters parameters = train(&planted.train, solver, 8, 0, 1);
		double rmse = test_rmse(&parameters, &planted.test) / NOISE;
		double limit = solver == FM_SOLVER_MCMC ? 1.08 : 1.15;

		ok(rmse < limit, "%s finds the planted model: RMSE is %.3f times the noise",
		   solver_names[solver], rmse);
		free_parameters(&parameters);
	}
	free_planted(&planted);
}

/* Nothing may depend on the units of the ratings. */
static void
test_units(void)
{
	static const double units[][2] = {{1e6, 0}, {1e-6, 0}, {-1, 1000}, {1e30, 0}, {1e-30, 0}};

	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_ALS; solver++)
		for (int i = 0; i < 5; i++)
		{
			Planted planted = plant(units[i][0], units[i][1]);
			FmParameters parameters = train(&planted.train, solver, 4, 15, 1);
			double rmse = test_rmse(&parameters, &planted.test) / fabs(units[i][0]) / NOISE;

			ok(rmse < 1.2, "%s in units of %g, offset %g: %.3f times the noise",
			   solver_names[solver], units[i][0], units[i][1], rmse);
			free_parameters(&parameters);
			free_planted(&planted);
		}
}

static void
test_determinism(void)
{
	Planted planted = plant(1, 0);

	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_IALS; solver++)
	{
		const char *name = solver_names[solver];
		FmParameters first = train(&planted.train, solver, 8, 10, 1);
		FmParameters again = train(&planted.train, solver, 8, 10, 1);
		FmParameters other = train(&planted.train, solver, 8, 10, 2);

		ok(same_bits(&first, &again), "%s: the same seed gives the same bits", name);
		ok(!same_bits(&first, &other), "%s: another seed gives others", name);
		free_parameters(&first);
		free_parameters(&again);
		free_parameters(&other);
	}
	free_planted(&planted);
}

/*
 * Return ratings of which every third counts twice and every fifth three times: by weight, or by
 * repetition.
 */
static FmRatings
counted_ratings(bool by_weight)
{
	FmTriples triples = new_triples(USERS * 30 * 3, by_weight);

	random_state = 11;
	for (int r = 0; r < USERS * 30; r++)
	{
		int item = (r * 7 + r / 30) % ITEMS, count = r % 3 == 0 ? 2 : r % 5 == 0 ? 3 : 1;
		double value = sin(r / 30) * cos(item) + 0.3 * normal();

		for (int n = 0; n < (by_weight ? 1 : count); n++)
			add_rating(&triples, r / 30, item, value, count);
	}
	return new_ratings(&triples, USERS, ITEMS);
}

/* Return the largest difference between two models' scores. */
static double
apart(const FmParameters *a, const FmParameters *b)
{
	double largest = 0;

	for (int u = 0; u < USERS; u++)
		for (int i = 0; i < ITEMS; i++)
			largest = fmax(largest, fabs(fm_score(a, u, i) - fm_score(b, u, i)));
	return largest;
}

static void
test_weights(void)
{
	FmRatings weighted = counted_ratings(true), repeated = counted_ratings(false), plain;
	FmParameters by_weight = train(&weighted, FM_SOLVER_ALS, 4, 15, 1);
	FmParameters by_repetition = train(&repeated, FM_SOLVER_ALS, 4, 15, 1);
	FmParameters unweighted;

	plain = weighted;
	plain.user_weight = plain.item_weight = NULL;
	unweighted = train(&plain, FM_SOLVER_ALS, 4, 15, 1);
	ok(apart(&by_weight, &by_repetition) < 1e-3, "als: a weight is so many rows (%.1e apart)",
	   apart(&by_weight, &by_repetition));
	ok(apart(&by_weight, &unweighted) > 0.05, "als: and makes a difference (%.2f)",
	   apart(&by_weight, &unweighted));
	free_parameters(&by_weight);
	free_parameters(&by_repetition);
	free_parameters(&unweighted);
	by_weight = train(&weighted, FM_SOLVER_MCMC, 4, 200, 1);
	by_repetition = train(&repeated, FM_SOLVER_MCMC, 4, 200, 1);
	ok(apart(&by_weight, &by_repetition) < 0.05, "mcmc: the same up to sampling (%.2f apart)",
	   apart(&by_weight, &by_repetition));
	free_parameters(&by_weight);
	free_parameters(&by_repetition);
	free_ratings(&weighted);
	free_ratings(&repeated);
}

/* Return the largest difference between any two numbers of two models. */
static double
numbers_apart(const FmParameters *a, const FmParameters *b)
{
	double largest = fabs(a->b - b->b);

	for (int u = 0; u < USERS; u++)
		largest = fmax(largest, fabs(a->user_w[u] - b->user_w[u]));
	for (int i = 0; i < ITEMS; i++)
		largest = fmax(largest, fabs(a->item_w[i] - b->item_w[i]));
	for (int j = 0; j < USERS * a->num_factors; j++)
		largest = fmax(largest, fabs(a->user_v[j] - b->user_v[j]));
	for (int j = 0; j < ITEMS * a->num_factors; j++)
		largest = fmax(largest, fabs(a->item_v[j] - b->item_v[j]));
	return largest;
}

static void
test_kernels_train_alike(void)
{
	const double tolerance = 1e-4;
	Planted planted = plant(1, 0);

	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_IALS; solver++)
	{
		FmParameters best = train(&planted.train, solver, 8, 200, 1);

		for (const FmBlockKernel *const *kernel = fm_block_kernels() + 1; *kernel; kernel++)
		{
			FmParameters other;
			double largest;

			fm_block_use_kernel((*kernel)->name);
			other = train(&planted.train, solver, 8, 200, 1);
			largest = numbers_apart(&best, &other);
			ok(largest < tolerance, "%s, trained by %s: every number is that by %s (%.1e)",
			   solver_names[solver], (*kernel)->name, fm_block_kernels()[0]->name, largest);
			free_parameters(&other);
		}
		fm_block_use_kernel("auto");
		free_parameters(&best);
	}
	free_planted(&planted);
}

/* ---- Corners ---- */

static void
check_corner(const char *name, FmTriples *triples, int32_t users, int32_t items, int num_factors,
			 int iterations)
{
	FmRatings ratings = new_ratings(triples, users, items);

	for (int solver = FM_SOLVER_MCMC; solver <= FM_SOLVER_ALS; solver++)
	{
		FmParameters p = train(&ratings, solver, num_factors, iterations, 9);
		bool finite = isfinite(p.b);

		for (int u = 0; u < users; u++)
			for (int i = 0; i < items && i < 50; i++)
				finite = finite && isfinite(fm_score(&p, u, i));
		ok(finite, "%s, %d factors, %d iterations: %s is finite", name, num_factors, iterations,
		   solver_names[solver]);
		free_parameters(&p);
	}
	free_ratings(&ratings);
}

/* Return the rating of pair number r. */
typedef double (*Value)(int r);

static double
value_equal(int r)
{
	return 4;
}

static double
value_steps(int r)
{
	return r % 5;
}

static double
value_outlier(int r)
{
	return r == 7 ? 1e37 : r % 2;
}

static double
value_exact(int r)
{
	return (r / 20) * (r % 20) / 50.0;
}

static void
check_grid(const char *name, Value value, int users, int items, int num_factors, int iterations)
{
	FmTriples triples = new_triples((int64_t) users * items, false);

	for (int r = 0; r < users * items; r++)
		add_rating(&triples, r / items, r % items, value(r), 1);
	/* The last two of either side have no ratings. */
	check_corner(name, &triples, users + 2, items + 2, num_factors, iterations);
}

static void
test_corners(void)
{
	static const int factors[] = {1, 2, 32, 1024};
	FmTriples triples;

	for (int i = 0; i < 4; i++)
	{
		int iterations = factors[i] == 1024 ? 1 : 30;

		check_grid("one rating", value_steps, 1, 1, factors[i], iterations);
		check_grid("one user", value_steps, 1, 30, factors[i], iterations);
		check_grid("one item", value_steps, 30, 1, factors[i], iterations);
	}
	check_grid("equal ratings", value_equal, 20, 20, 32, 50);
	check_grid("an outlier", value_outlier, 20, 20, 8, 50);
	check_grid("ratings without noise", value_exact, 20, 20, 8, 200);
	check_grid("a single iteration", value_steps, 20, 20, 32, 1);
	check_grid("two iterations", value_steps, 20, 20, 32, 2);

	triples = new_triples(900, false);
	for (int r = 0; r < 900; r++)
		add_rating(&triples, r % 3, r % 2, r % 5, 1);
	check_corner("duplicates", &triples, 3, 2, 16, 30);

	triples = new_triples(1000020, false);
	for (int r = 0; r < 1000000; r++)
		add_rating(&triples, 0, r % 5000, r % 7, 1);
	for (int r = 0; r < 20; r++)
		add_rating(&triples, 1, r, 1, 1);
	check_corner("a user with a million ratings", &triples, 2, 5000, 4, 3);
}

static double
rank_three(int user, int item)
{
	return sin(user) * cos(item) + sin(2.3 * user) * sin(1.7 * item) +
		   cos(3.1 * user) * sin(0.9 * item) + 0.3 * cos(5 * user) + 0.3 * sin(4 * item);
}

/*
 * Return ratings of rank 3 with noise of deviation 0.5, every other pair with up to six rows whose
 * noise is their own; merged or as they are.
 */
static FmRatings
repeated_ratings(bool merged)
{
	FmTriples triples = new_triples(USERS * 25 * 4, false);
	float *spare = malloc(USERS * 25 * 4 * sizeof(float));
	FmRepeats repeats = {0};
	FmRatings ratings;

	random_state = 12;
	for (int r = 0; r < USERS * 25; r++)
	{
		int user = r / 25, item = (int) (uniform() * ITEMS);

		for (int n = r % 2 == 0 ? 1 + r / 2 % 6 : 1; n > 0; n--)
			add_rating(&triples, user, item, rank_three(user, item) + 0.5 * normal(), 1);
	}
	if (merged)
		repeats = fm_merge_repeats(&triples, NULL, false, NAN, spare, USERS, ITEMS, &host);
	ratings = build_ratings(&triples, USERS, ITEMS);
	ratings.repeats = (FmRepeatWeights){repeats.correlation, repeats.row_variance};
	if (triples.weight == spare)
		triples.weight = NULL;
	free(spare);
	free_triples(&triples);
	return ratings;
}

/* Return the root of the mean squared distance of a model's scores from the truth. */
static double
from_truth(const FmParameters *parameters)
{
	double sum = 0;

	for (int u = 0; u < USERS; u++)
		for (int i = 0; i < ITEMS; i++)
			sum += pow(fm_score(parameters, u, i) - rank_three(u, i), 2);
	return sqrt(sum / USERS / ITEMS);
}

static void
test_repeats(void)
{
	FmRatings merged = repeated_ratings(true), apart = repeated_ratings(false);
	FmParameters of_merged = train(&merged, FM_SOLVER_MCMC, 32, 200, 1);
	FmParameters of_apart = train(&apart, FM_SOLVER_MCMC, 32, 200, 1);
	FmParameters of_few;
	double ratio = from_truth(&of_merged) / from_truth(&of_apart);

	ok(merged.repeats.correlation > 0.2,
	   "what users and items leave, repeats have in common: a correlation of %.2f",
	   merged.repeats.correlation);
	ok(of_merged.repeat_correlation < 0.1, "what the model leaves, they do not: %.2f",
	   of_merged.repeat_correlation);
	ok(ratio < 1.02, "mcmc: merged repeats are worth as much as their rows (error %.3f of it)",
	   ratio);
	of_few = train(&merged, FM_SOLVER_MCMC, 4, 5, 1);
	ok(of_few.repeat_correlation == merged.repeats.correlation,
	   "mcmc: few iterations leave the correlation as it is");
	free_parameters(&of_merged);
	free_parameters(&of_apart);
	free_parameters(&of_few);
	free_ratings(&merged);
	free_ratings(&apart);
}

/* With four times as many factors as the data have, the rank that is sampled is too large. */
static void
test_rank(void)
{
	FmRatings ratings = repeated_ratings(false);
	FmParameters exact = train(&ratings, FM_SOLVER_MCMC, 4, 200, 1);
	FmParameters more = train(&ratings, FM_SOLVER_MCMC, 32, 200, 1);
	double ratio = from_truth(&more) / from_truth(&exact);

	ok(ratio < 1.01, "mcmc: a rank that is too large costs nothing (error %.3f of it)", ratio);
	free_parameters(&exact);
	free_parameters(&more);
	free_ratings(&ratings);
}

/* Few dimensions and many ratings: als finds that it needs fewer factors than the default. */
static void
test_search(void)
{
	FmRatings ratings = repeated_ratings(false);
	FmSolverOptions options = planted_options(FM_SOLVER_ALS, 0, 0, 1);
	FmParameters found, given;
	double ratio;

	options.l2_reg_v = -1;
	fm_solve(&ratings, &options, &host, &found);
	options.l2_reg_v = 1.2f;
	options.num_factors = 32;
	fm_solve(&ratings, &options, &host, &given);
	ratio = from_truth(&found) / from_truth(&given);
	ok(found.num_factors < 32 && found.l2_reg_v < 1.2f, "als: %d factors and %g are found",
	   found.num_factors, found.l2_reg_v);
	ok(ratio < 0.95, "which is better than 32 and 1.2 (error %.3f of it)", ratio);
	free_parameters(&found);
	free_parameters(&given);
	free_ratings(&ratings);
}

int
main(void)
{
	test_recovery();
	test_units();
	test_determinism();
	test_weights();
	test_repeats();
	test_rank();
	test_search();
	test_kernels_train_alike();
	test_corners();
	ok(interrupt_checks > 100, "interrupts are checked for");
	return done_testing();
}
