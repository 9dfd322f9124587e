/*
 * The normal distribution in double precision. Prints TAP.
 */
#include <math.h>

#include "core/math/normal.h"
#include "support/tap.h"

static void
test_functions(void)
{
	double worst = 0;

	for (double p = 1e-12; p < 1; p = p < 0.01 ? p * 3 : p + 0.01)
		worst = fmax(worst, fabs(fm_normal_cdf(fm_normal_quantile(p)) / p - 1));
	ok(worst < 1e-9, "the quantile inverts the distribution (%.1e)", worst);
	worst = 0;
	for (double x = -36; x < 8; x += 0.1)
		worst = fmax(worst, fabs(fm_normal_log_cdf(x) / log(fm_normal_cdf(x)) - 1));
	ok(worst < 1e-9, "the logarithm of the distribution (%.1e)", worst);
	ok(fabs(fm_normal_log_cdf(-1e4) / -5e7 - 1) < 1e-6, "also where it is 0");
}

int
main(void)
{
	test_functions();
	return done_testing();
}
