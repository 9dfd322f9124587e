/*
 * The standard normal distribution. Pure functions: nothing is owned or allocated.
 */
#include "core/math/normal.h"

#include <math.h>

double
fm_normal_cdf(double x)
{
	return 0.5 * erfc(-x * M_SQRT1_2);
}

double
fm_normal_log_cdf(double x)
{
	const double asymptotic_below = -20; /* the series below is good to 1e-7 there */
	double y = 1 / (x * x);

	if (x > asymptotic_below)
		return log(fm_normal_cdf(x));
	return -0.5 * x * x - log(-x * sqrt(2 * M_PI)) + log1p(-y * (1 - 3 * y * (1 - 5 * y)));
}

double
fm_normal_quantile(double p)
{
	double low = -40, high = 40;

	for (int step = 0; step < 64; step++)
	{
		double middle = (low + high) / 2;

		if (fm_normal_cdf(middle) < p)
			low = middle;
		else
			high = middle;
	}
	return (low + high) / 2;
}
