/*
 * Recency against its definition, by counting. Prints TAP.
 */
#include <math.h>

#include "core/data/recency.h"
#include "support/data.h"
#include "support/tap.h"

#define USERS 30
#define ITEMS 20
#define ROWS 900

static FmTriples triples;
static double times[ROWS];

/* Return whether row a is newer than row b; an unknown time is the oldest. */
static bool
is_newer(int a, int b)
{
	return !isnan(times[a]) && (isnan(times[b]) || times[a] > times[b]);
}

/* Return the factor of a row, by counting. */
static double
expected_factor(int row)
{
	double newer = 0, own_newer = 0, own = 0;

	for (int r = 0; r < ROWS; r++)
	{
		bool is_own = triples.user[r] == triples.user[row];

		newer += is_newer(r, row);
		own_newer += is_own && is_newer(r, row);
		own += is_own;
	}
	return exp2(-newer / ROWS) * exp2(-own_newer / own);
}

/* Return whether every pair has the factor of its newest row; user u is numbered as user[u]. */
static bool
is_right(const FmRecency *recency, const int32_t *user, const int32_t *item)
{
	for (int row = 0; row < ROWS; row++)
	{
		double expected = 0;

		for (int r = 0; r < ROWS; r++)
			if (triples.user[r] == triples.user[row] && triples.item[r] == triples.item[row])
				expected = fmax(expected, expected_factor(r));
		if (fabs(fm_recency_factor(recency, user[triples.user[row]], item[triples.item[row]]) -
				 expected) > 1e-6)
			return false;
	}
	return true;
}

int
main(void)
{
	int32_t user[USERS], item[ITEMS];
	FmRecency recency;

	random_state = 3;
	triples = new_triples(ROWS, false);
	for (int r = 0; r < ROWS; r++)
	{
		/* the last user has no row */
		add_rating(&triples, (int32_t) (uniform() * (USERS - 1)), (int32_t) (uniform() * ITEMS), 1,
				   1);
		times[r] = uniform() < 0.1 ? NAN : floor(40 * uniform()) * 1e9;
	}
	for (int u = 0; u < USERS; u++)
		user[u] = u;
	for (int i = 0; i < ITEMS; i++)
		item[i] = i;
	fm_recency_create(&triples, times, USERS, &host, &recency);
	ok(is_right(&recency, user, item), "factors are as counted");
	ok(fm_recency_factor(&recency, USERS - 1, 0) == 1, "a pair without a rating has the factor 1");
	for (int u = 0; u < USERS; u++)
		user[u] = (u * 7 + 3) % USERS;
	for (int i = 0; i < ITEMS; i++)
		item[i] = ITEMS - 1 - i;
	fm_recency_renumber(&recency, user, item, &host);
	ok(is_right(&recency, user, item), "factors move with the numbers of users and items");
	fm_recency_release(&recency, &host);
	for (int r = 0; r < ROWS; r++)
		times[r] = 5;
	fm_recency_create(&triples, times, USERS, &host, &recency);
	ok(fm_recency_factor(&recency, triples.user[0], triples.item[0]) == 1,
	   "ratings of one time count as if there were none");
	fm_recency_release(&recency, &host);
	free_triples(&triples);
	return done_testing();
}
