/*
 * Pairs held out of a ranking, and how well they are found (held_out.h).
 *
 * The rest is a copy of both orders of the ratings, without the values, which are all 1. The pairs
 * held out stand behind the rest in the users' order, so that both take as much as all ratings did.
 *
 * Of the users with pairs held out and others left, at most MAX_USERS are scored, at even distances
 * in the canonical order. For each, the ranks of the pairs held out are counted among all items
 * without the user's others, as in core/model/ranking.c. Users are taken in blocks that do not
 * depend on the team, and their results are summed in their order.
 *
 * Memory: the copies and the users' results, shared; the scores of a block of users, of each
 * member.
 */
#include "core/train/held_out.h"

#include <math.h>
#include <string.h>

#include "core/bitset.h"
#include "core/layout.h"
#include "core/math/lapack.h"
#include "core/model/ranking.h"
#include "core/team.h"

#define LIST_LENGTH 20
#define MAX_USERS 3000
#define BLOCK_USERS 16

/* With fewer pairs that can be found, chance would decide. */
#define MIN_PAIRS 100

/* One user's results. */
typedef struct Found
{
	double ndcg;
	double recall;
} Found;

struct FmHeldOut
{
	FmProblem rest;
	int rank;
	int64_t *start[2]; /* of the rest; these four are shared */
	int32_t *other[2];
	float *weight[2];
	int64_t *held_start; /* by user: places in other[FM_USERS] */
	int32_t num_users;	 /* that are scored */
	int64_t num_pairs;	 /* held out of theirs */
	int32_t *user;
	Found *found; /* by scored user, shared */
	float *const *rows;
	bool has_biases;
	float *query;  /* BLOCK_USERS × (rank + 1) */
	float *scores; /* BLOCK_USERS × items */
	uint64_t *excluded;
	int32_t *relevant;
	int64_t *above;
};

/* Write the users' order of the rest, with what is held out behind it. */
static void
split_users(FmHeldOut *held, const FmProblem *problem)
{
	const FmSide *side = &problem->side[FM_USERS];
	int64_t kept = 0, out = problem->num_ratings;

	for (int32_t user = side->count - 1; user >= 0; user--)
	{
		held->held_start[user + 1] = out;
		for (int64_t r = side->start[user + 1] - 1; r >= side->start[user]; r--)
		{
			fm_problem_check(problem, r);
			if (fm_problem_holds_out(problem, user, side->other[r]))
				held->other[FM_USERS][--out] = side->other[r];
		}
	}
	held->held_start[0] = out;
	for (int32_t user = 0; user < side->count; user++)
	{
		held->start[FM_USERS][user] = kept;
		for (int64_t r = side->start[user]; r < side->start[user + 1]; r++)
		{
			fm_problem_check(problem, r);
			if (fm_problem_holds_out(problem, user, side->other[r]))
				continue;
			if (side->weight != NULL)
				held->weight[FM_USERS][kept] = side->weight[r];
			held->other[FM_USERS][kept++] = side->other[r];
		}
	}
	held->start[FM_USERS][side->count] = kept;
}

static void
split_items(FmHeldOut *held, const FmProblem *problem)
{
	const FmSide *side = &problem->side[FM_ITEMS];
	int64_t kept = 0;

	for (int32_t item = 0; item < side->count; item++)
	{
		held->start[FM_ITEMS][item] = kept;
		for (int64_t r = side->start[item]; r < side->start[item + 1]; r++)
		{
			fm_problem_check(problem, r);
			if (fm_problem_holds_out(problem, side->other[r], item))
				continue;
			if (side->weight != NULL)
				held->weight[FM_ITEMS][kept] = side->weight[r];
			held->other[FM_ITEMS][kept++] = side->other[r];
		}
	}
	held->start[FM_ITEMS][side->count] = kept;
}

/* Make the problem of the rest, in every member. */
static void
make_rest(FmHeldOut *held, const FmProblem *problem)
{
	FmProblem *rest = &held->rest;

	*rest = *problem;
	for (int side = 0; side < 2; side++)
	{
		rest->features[side] = (FmFeatures){0};
		rest->side[side] = (FmSide){problem->side[side].count, held->start[side], held->other[side],
									problem->side[side].value, held->weight[side]};
		rest->num_rated[side] = 0;
		for (int32_t e = 0; e < rest->side[side].count; e++)
			rest->num_rated[side] += fm_side_is_rated(&rest->side[side], e);
	}
	rest->history = false;
	rest->num_ratings = held->start[FM_USERS][problem->side[FM_USERS].count];
	rest->total_weight = 0;
	for (int32_t user = 0; user < problem->side[FM_USERS].count; user++)
		rest->total_weight += fm_side_weight(&rest->side[FM_USERS], user);
}

static bool
can_be_scored(const FmHeldOut *held, int32_t user)
{
	return held->held_start[user] < held->held_start[user + 1] &&
		   fm_side_is_rated(&held->rest.side[FM_USERS], user);
}

/* Choose the users that are scored; return how many pairs of theirs are held out. */
static int64_t
choose_users(FmHeldOut *held)
{
	int32_t count = held->rest.side[FM_USERS].count, possible = 0, at = 0;
	int64_t pairs = 0;

	for (int32_t user = 0; user < count; user++)
		possible += can_be_scored(held, user);
	for (int32_t user = 0; user < count; user++)
	{
		int64_t wanted = possible < MAX_USERS ? possible : MAX_USERS;

		if (!can_be_scored(held, user))
			continue;
		if ((at + 1) * wanted / possible > at * wanted / possible)
		{
			held->user[held->num_users++] = user;
			pairs += held->held_start[user + 1] - held->held_start[user];
		}
		at++;
	}
	return pairs;
}

static void
allocate_shared(FmHeldOut *held, const FmProblem *problem)
{
	const FmHost *host = problem->host;

	for (int side = 0; side < 2; side++)
	{
		held->start[side] = fm_team_alloc(host, (size_t) problem->side[side].count + 1,
										  sizeof(int64_t));
		held->other[side] = fm_team_alloc(host, problem->num_ratings, sizeof(int32_t));
		if (problem->side[side].weight != NULL)
			held->weight[side] = fm_team_alloc(host, problem->num_ratings, sizeof(float));
	}
	held->held_start = fm_team_alloc(host, (size_t) problem->side[FM_USERS].count + 1,
									 sizeof(int64_t));
	held->found = fm_team_alloc(host, MAX_USERS, sizeof(Found));
}

static void
allocate_scratch(FmHeldOut *held, const FmProblem *problem)
{
	const FmHost *host = problem->host;
	size_t items = problem->side[FM_ITEMS].count;

	held->user = host->alloc(host->ctx, MAX_USERS, sizeof(int32_t));
	held->query = host->alloc(host->ctx, (size_t) BLOCK_USERS * (held->rank + 1), sizeof(float));
	held->scores = host->alloc(host->ctx, BLOCK_USERS * items, sizeof(float));
	held->excluded = host->alloc(host->ctx, fm_bitset_words(items), sizeof(uint64_t));
	held->relevant = host->alloc(host->ctx, items, sizeof(int32_t));
	held->above = host->alloc(host->ctx, items, sizeof(int64_t));
}

FmHeldOut *
fm_held_out_create(const FmProblem *problem, int rank)
{
	const FmHost *host = problem->host;
	FmHeldOut *held = host->alloc(host->ctx, 1, sizeof(FmHeldOut));

	held->rank = rank;
	allocate_shared(held, problem);
	allocate_scratch(held, problem);
	if (fm_team_leads(host))
	{
		split_users(held, problem);
		split_items(held, problem);
	}
	fm_team_barrier(host);
	make_rest(held, problem);
	held->num_pairs = choose_users(held);
	if (held->num_pairs >= MIN_PAIRS)
		return held;
	fm_held_out_release(held);
	return NULL;
}

void
fm_held_out_release(FmHeldOut *held)
{
	const FmHost *host;

	if (held == NULL)
		return;
	host = held->rest.host;
	for (int side = 0; side < 2; side++)
	{
		fm_team_release(host, held->start[side]);
		fm_team_release(host, held->other[side]);
		if (held->weight[side] != NULL)
			fm_team_release(host, held->weight[side]);
	}
	fm_team_release(host, held->held_start);
	fm_team_release(host, held->found);
	host->release(host->ctx, held->user);
	host->release(host->ctx, held->query);
	host->release(host->ctx, held->scores);
	host->release(host->ctx, held->excluded);
	host->release(host->ctx, held->relevant);
	host->release(host->ctx, held->above);
	host->release(host->ctx, held);
}

int64_t
fm_held_out_pairs(const FmHeldOut *held)
{
	return held->num_pairs;
}

const FmProblem *
fm_held_out_rest(const FmHeldOut *held)
{
	return &held->rest;
}

/* Compute the scores of all items for some users. */
static void
score_block(FmHeldOut *held, int32_t begin, int count)
{
	int stride = fm_block_stride(held->rest.kernel, held->rank), rank = held->rank;
	int32_t num_items = held->rest.side[FM_ITEMS].count;
	float one = 1, zero = 0;

	for (int u = 0; u < count; u++)
		memcpy(held->query + (size_t) u * rank,
			   held->rows[FM_USERS] + (size_t) held->user[begin + u] * stride,
			   rank * sizeof(float));
	sgemm_("T", "N", &num_items, &count, &rank, &one, held->rows[FM_ITEMS], &stride, held->query,
		   &rank, &zero, held->scores, &num_items, 1, 1);
	for (int u = 0; held->has_biases && u < count; u++)
		for (int32_t item = 0; item < num_items; item++)
			held->scores[(size_t) u * num_items + item] -=
				held->rows[FM_ITEMS][(size_t) item * stride + rank + 1];
}

static void
exclude(FmHeldOut *held, int32_t user, bool on)
{
	const FmSide *side = &held->rest.side[FM_USERS];

	for (int64_t r = side->start[user]; r < side->start[user + 1]; r++)
		if (on)
			fm_bitset_add(held->excluded, side->other[r]);
		else
			fm_bitset_remove(held->excluded, side->other[r]);
}

/* List the items held out for a user, each once, and none that the user has left. */
static int32_t
list_relevant(FmHeldOut *held, int32_t user)
{
	const int32_t *other = held->other[FM_USERS];
	int32_t count = 0;

	for (int64_t r = held->held_start[user]; r < held->held_start[user + 1]; r++)
		if (count == 0 || held->relevant[count - 1] != other[r])
			held->relevant[count++] = other[r];
	return count;
}

static Found
find_pairs(FmHeldOut *held, int32_t user, const float *scores)
{
	int32_t count = list_relevant(held, user), found = 0;
	double gain = 0, ideal = 0;

	exclude(held, user, true);
	(void) fm_rank_relevant(scores, held->rest.side[FM_ITEMS].count, held->excluded, held->relevant,
							count, held->above);
	exclude(held, user, false);
	for (int32_t r = 0; r < count; r++)
	{
		int64_t place = held->above[r] + r;

		if (r < LIST_LENGTH)
			ideal += 1 / log2(r + 2.0);
		if (place < LIST_LENGTH)
		{
			gain += 1 / log2((double) place + 2);
			found++;
		}
	}
	return (Found){gain / ideal, (double) found / count};
}

/* FmTeamBody */
static void
score_range(void *state, int32_t begin, int32_t end)
{
	FmHeldOut *held = state;
	const FmHost *host = held->rest.host;
	size_t num_items = held->rest.side[FM_ITEMS].count;

	for (int32_t first = begin; first < end; first += BLOCK_USERS)
	{
		int count = end - first < BLOCK_USERS ? end - first : BLOCK_USERS;

		score_block(held, first, count);
		for (int u = 0; u < count; u++)
		{
			host->check_interrupts(host->ctx);
			held->found[first + u] = find_pairs(held, held->user[first + u],
												held->scores + num_items * u);
		}
	}
}

double
fm_held_out_score(FmHeldOut *held, float *const rows[2], bool has_biases)
{
	double ndcg = 1e-9, recall = 1e-9;

	held->rows = rows;
	held->has_biases = has_biases;
	fm_team_for(held->rest.host, held->num_users, BLOCK_USERS, score_range, held);
	for (int32_t u = 0; u < held->num_users; u++)
	{
		ndcg += held->found[u].ndcg / held->num_users;
		recall += held->found[u].recall / held->num_users;
	}
	return log(ndcg) + log(recall);
}

double
fm_held_out_shared_size(int64_t num_ratings, int32_t num_users, int32_t num_items)
{
	const int arrays = 8;
	const int rating = 2 * sizeof(int32_t) + 2 * sizeof(float);

	return (double) num_ratings * rating + (2.0 * num_users + num_items + 3) * sizeof(int64_t) +
		   MAX_USERS * sizeof(Found) + arrays * FM_ALIGNMENT;
}

double
fm_held_out_size(int32_t num_items, int rank)
{
	double item = BLOCK_USERS * sizeof(float) + sizeof(int32_t) + sizeof(int64_t) + 1;

	return num_items * item + MAX_USERS * sizeof(int32_t) +
		   BLOCK_USERS * (rank + 1) * sizeof(float);
}
