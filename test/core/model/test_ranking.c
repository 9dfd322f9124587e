/*
 * Ranking: the solution of ials satisfies the normal equations over all pairs, planted tastes are
 * found, and ranks are those of a sorted list. Prints TAP.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/bitset.h"
#include "core/model/prior.h"
#include "core/model/ranking.h"
#include "core/train/ials.h"
#include "support/data.h"
#include "support/tap.h"

#define USERS 120
#define ITEMS 90
#define TASTES 3 /* a user of one taste likes the items of the same taste */
#define RANK 6
#define L2_REG_V 0.5
#define L2_REG_W 0.8
#define UNOBSERVED 0.07

/* Return a number from 0 to below - 1. */
static uint32_t
draw(uint32_t below)
{
	return (uint32_t) (random_bits() >> 33) % below;
}

/*
 * Return ratings mostly of items of a user's taste, with weights from 1 to 3, some pairs twice.
 * Every fifth is held out, if asked for. The last user and item have no ratings.
 */
static FmRatings
plant(FmTriples *held_out)
{
	FmTriples triples = new_triples(USERS * ITEMS, true);

	for (int u = 0; u < USERS - 1; u++)
		for (int i = 0; i < ITEMS - 1; i++)
		{
			bool likes = u % TASTES == i % TASTES;

			if (draw(100) >= (likes ? 40 : 3))
				continue;
			if (held_out != NULL && draw(5) == 0)
				add_rating(held_out, u, i, 1, 1);
			else
				for (uint32_t n = 0; n <= draw(10) / 9; n++)
					add_rating(&triples, u, i, 1, 1 + draw(3));
		}
	return new_ratings(&triples, USERS, ITEMS);
}

/* ---- The normal equations ---- */

static double
total_weight(const FmRatings *ratings)
{
	double sum = 0;

	for (int64_t r = 0; r < ratings->num_ratings; r++)
		sum += ratings->user_weight[r];
	return sum;
}

static FmProblem
new_problem(const FmRatings *r)
{
	return (FmProblem){
		.host = &host,
		.kernel = fm_block_kernels()[0],
		.task = FM_TASK_RANKING,
		.side = {{r->num_users, r->user_start, r->user_item, r->user_value, r->user_weight},
				 {r->num_items, r->item_start, r->item_user, r->item_value, r->item_weight}},
		.num_ratings = r->num_ratings,
		.total_weight = total_weight(r),
		.num_rated = {USERS - 1, ITEMS - 1},
		.deviation = 1,
		.iterations = 7,
		.init_stdev = 0.1f,
		.l2_reg_w = L2_REG_W,
		.l2_reg_v = L2_REG_V,
		.unobserved_weight = UNOBSERVED,
		.seed = 5,
	};
}

/* θ = (v, w) of both sides, in double. */
typedef struct Thetas
{
	const FmProblem *problem;
	double user[USERS][RANK + 1];
	double item[ITEMS][RANK + 1];
} Thetas;

/* FmSampleSink */
static void
keep_thetas(void *ctx, const FmSample *sample)
{
	Thetas *thetas = ctx;
	const float *user_rows = sample->rows[0], *item_rows = sample->rows[1];
	int stride = fm_block_stride(thetas->problem->kernel, RANK);

	for (int u = 0; u < USERS; u++)
		for (int f = 0; f <= RANK; f++)
			thetas->user[u][f] = f < RANK ? user_rows[u * stride + f]
										  : -user_rows[u * stride + RANK + 1];
	for (int i = 0; i < ITEMS; i++)
		for (int f = 0; f <= RANK; f++)
			thetas->item[i][f] = f < RANK ? item_rows[i * stride + f]
										  : -item_rows[i * stride + RANK + 1];
}

/* Add weight × (target - ŷ) z, minus the gradient of half a squared error in the item's θ. */
static void
add_pair(const Thetas *thetas, int user, int item, double target, double weight, double *gradient)
{
	const double *u = thetas->user[user], *i = thetas->item[item];
	double error = target - u[RANK] - i[RANK];

	for (int f = 0; f < RANK; f++)
		error -= u[f] * i[f];
	for (int f = 0; f <= RANK; f++)
		gradient[f] += weight * error * (f < RANK ? u[f] : 1);
}

/*
 * Return the largest derivative of the objective in ials.c with respect to the items, which were
 * solved last.
 */
static double
largest_gradient(const Thetas *thetas, const FmRatings *ratings)
{
	double n = thetas->problem->total_weight, largest = 0, all = UNOBSERVED * (USERS - 1);
	double unit = sqrt(n / (USERS - 1)) + sqrt(n / (ITEMS - 1));
	float shares[ITEMS];
	double mean_share = fm_all_pairs_shares(ratings->item_start, ITEMS, shares) / (ITEMS - 1);

	for (int i = 0; i < ITEMS - 1; i++)
	{
		double gradient[RANK + 1] = {0}, weight = 0, growth;

		for (int u = 0; u < USERS - 1; u++)
			add_pair(thetas, u, i, 0, UNOBSERVED * shares[i] / mean_share, gradient);
		for (int64_t r = ratings->item_start[i]; r < ratings->item_start[i + 1]; r++)
		{
			add_pair(thetas, ratings->item_user[r], i, 1, ratings->item_weight[r], gradient);
			weight += ratings->item_weight[r];
		}
		growth = (weight + all) / (n / (ITEMS - 1) + all);
		for (int f = 0; f <= RANK; f++)
		{
			gradient[f] -= unit * growth * (f < RANK ? L2_REG_V : L2_REG_W) * thetas->item[i][f];
			largest = fmax(largest, fabs(gradient[f]));
		}
	}
	return largest;
}

static void
test_equations(void)
{
	FmRatings ratings = plant(NULL);
	FmProblem problem = new_problem(&ratings);
	Thetas *thetas = host.alloc(host.ctx, 1, sizeof(Thetas));
	double largest, moved;

	thetas->problem = &problem;
	fm_ials(&problem, RANK, keep_thetas, thetas);
	largest = largest_gradient(thetas, &ratings);
	ok(largest < 1e-3, "items solve the normal equations over all pairs (%.1e)", largest);
	thetas->item[5][2] += 0.01;
	moved = largest_gradient(thetas, &ratings);
	ok(moved > 100 * largest, "which would tell if they did not (%.1e)", moved);
	for (int f = 0; f <= RANK; f++)
		ok(thetas->item[ITEMS - 1][f] == 0 && thetas->user[USERS - 1][f] == 0,
		   "entities without ratings have no part %d", f);
	host.release(host.ctx, thetas);
	free_ratings(&ratings);
}

/* ---- What is learnt ---- */

/* FmQueryMaker, of four factors */
static void
make_query(const void *state, int32_t user, float *query)
{
	const FmParameters *p = state;

	memcpy(query, p->user_v + user * 4, 4 * sizeof(float));
	query[4] = 1;
}

static float *
make_rows(const FmParameters *p)
{
	float *rows = host.alloc(host.ctx, 5 * ITEMS, sizeof(float));

	for (int i = 0; i < ITEMS; i++)
	{
		memcpy(rows + 5 * i, p->item_v + 4 * i, 4 * sizeof(float));
		rows[5 * i + 4] = p->item_w[i];
	}
	return rows;
}

static double
mean_auc(const FmRankingSums *sums)
{
	return sums->auc / sums->auc_users;
}

static void
test_tastes(void)
{
	FmTriples held_out = new_triples(USERS * ITEMS, true);
	FmRatings ratings = plant(&held_out);
	FmSolverOptions options = default_options(FM_SOLVER_IALS, 4, 0, 1);
	FmBaseline *baseline = fm_baseline_of(&ratings, &host);
	FmListSums sums = {0}, some = {0};
	FmParameters p;
	FmListTest test = {NULL,	  5,		make_query, &p, &ratings,
					   &held_out, baseline, -INFINITY,	10, USERS};

	fm_solve(&ratings, &options, &host, &p);
	test.rows = make_rows(&p);
	fm_rank_held_out(&test, &host, &sums);
	/*
	 * even knowing the tastes, which of some twenty likely items come cannot be predicted, nor the
	 * unlikely ones
	 */
	ok(mean_auc(&sums.lists) > 0.78, "tastes are found: AUC %.3f", mean_auc(&sums.lists));
	ok(sums.lists.precision / sums.lists.users > 0.1, "precision %.3f",
	   sums.lists.precision / sums.lists.users);
	ok(sums.baseline.users == sums.lists.users && fabs(mean_auc(&sums.baseline) - 0.5) < 0.1,
	   "popularity does not find them: AUC %.3f", mean_auc(&sums.baseline));
	ok(!fm_is_worse(&sums.worse) && sums.worse.sum < 0, "so it is worse");
	for (int v = 0; v < 5 * ITEMS; v++)
		((float *) test.rows)[v] *= -1;
	fm_rank_held_out(&test, &host, &some);
	ok(fm_is_worse(&some.worse), "but not than the opposite of the model");
	test.max_users = 7;
	some = (FmListSums){0};
	fm_rank_held_out(&test, &host, &some);
	ok(some.lists.users == 7 && some.worse.count == 7, "not more users than wanted");
	test.least_relevant = 2;
	some = (FmListSums){0};
	fm_rank_held_out(&test, &host, &some);
	ok(some.lists.users == 0, "no user without a rating that is relevant");
	host.release(host.ctx, (float *) test.rows);
	fm_baseline_release(baseline, &host);
	free_parameters(&p);
	free_triples(&held_out);
	free_ratings(&ratings);
}

/* ---- Ranks ---- */

typedef struct Ranked
{
	float score;
	int32_t item;
} Ranked;

static int
compare_ranked(const void *a, const void *b)
{
	const Ranked *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->item < y->item ? -1 : 1;
}

/*
 * Check one random case: with few different scores, so with many ties. Of the eligible items one of
 * so many is relevant.
 */
static bool
check_ranks(int num_items, uint32_t one_of)
{
	float scores[ITEMS];
	bool is_relevant[ITEMS] = {false};
	uint64_t excluded[ITEMS / 64 + 1] = {0};
	int32_t relevant[ITEMS];
	int64_t above[ITEMS], others, rank = 0, at = 0;
	int num_relevant = 0, eligible = 0;
	Ranked list[ITEMS];

	for (int i = 0; i < num_items; i++)
	{
		scores[i] = (float) draw(8);
		if (draw(4) == 0)
			fm_bitset_add(excluded, i);
		else if (draw(one_of) == 0 || num_relevant == 0)
		{
			is_relevant[i] = true;
			relevant[num_relevant++] = i;
		}
		if (!fm_bitset_has(excluded, i))
			list[eligible++] = (Ranked){scores[i], i};
	}
	if (num_relevant == 0)
		return true;
	qsort(list, eligible, sizeof(Ranked), compare_ranked);
	others = fm_rank_relevant(scores, num_items, excluded, relevant, num_relevant, above);
	if (others != eligible - num_relevant)
		return false;
	for (int r = 0; r < eligible; r++)
		if (!is_relevant[list[r].item])
			rank++;
		else if (relevant[at] != list[r].item || above[at++] != rank)
			return false;
	return at == num_relevant;
}

static void
test_ranks(void)
{
	bool right = true;

	for (int i = 0; i < 2000 && right; i++)
		right = check_ranks(1 + (int) draw(ITEMS), 1 + draw(5));
	ok(right, "2000 random lists: every relevant item is where a sorted list has it");
	ok(fm_ranking_auc((int64_t[]){0, 2}, 2, 4) == 0.75, "area under the curve");
}

int
main(void)
{
	test_equations();
	test_tastes();
	test_ranks();
	return done_testing();
}
