/*
 * The posterior of the noise shares' ν: it finds what entities were made with. Prints TAP.
 */
#include <math.h>

#include "core/math/share_count.h"
#include "support/tap.h"

#define ENTITIES 2000

/* Return the ν drawn for entities of n residuals whose shares were made with `made`. */
static double
found(double made, double n)
{
	FmRandomSequence random = {{1, 2, 3}, 4, 0};
	FmShareCounts counts = {0};

	for (int e = 0; e < ENTITIES; e++)
	{
		double share = isinf(made) ? 1 : fm_random_gamma(&random, made / 2) * 2 / made;

		fm_share_counts_add(&counts, n, fm_random_gamma(&random, n / 2) * 2 / share);
	}
	return fm_share_counts_draw(&counts, &random);
}

int
main(void)
{
	FmRandomSequence random = {{1, 2, 3}, 5, 0};
	const FmShareCounts none = {0};
	int infinite = 0;

	ok(found(5, 50) == 40, "shares that differ much: the least ν (%g)", found(5, 50));
	ok(found(40, 50) == 40, "ν = 40 is found (%g)", found(40, 50));
	ok(found(160, 200) == 160, "ν = 160 is found (%g)", found(160, 200));
	ok(found(INFINITY, 200) > 300, "equal noise has no shares (%g)", found(INFINITY, 200));
	ok(found(INFINITY, 3) >= 40, "nor has it with few residuals (%g)", found(INFINITY, 3));
	for (int i = 0; i < 1000; i++)
		infinite += isinf(fm_share_counts_draw(&none, &random));
	ok(infinite > 140 && infinite < 260, "without entities all are as probable (%d of 1000)",
	   infinite);
	return done_testing();
}
