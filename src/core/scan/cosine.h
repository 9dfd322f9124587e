/*
 * The definition of the cosine of two vectors, and how far it is from the inner product of their
 * directions.
 *
 * The direction of a vector is the vector divided by its norm, rounded to float. Let u = 2^-24. By
 * Cauchy-Schwarz, rounding moves the inner product of two directions by at most 2 u + u^2 from the
 * real cosine, and underflow by less than 2^-130. The inner products and norms here are sums in
 * double of at most FM_SCAN_MAX_FACTORS products, so the computed cosine is within 2^-40 of the
 * real one. All this is less than 3 u.
 */
#ifndef FMTOPX_CORE_SCAN_COSINE_H
#define FMTOPX_CORE_SCAN_COSINE_H

#include <math.h>

#define FM_COSINE_SLACK (4.0f / 16777216)

/* Return the norm of a vector: its squares are exact in double, and summed in index order. */
static inline double
fm_vector_norm(const float *vector, int num_factors)
{
	double square = 0;

	for (int f = 0; f < num_factors; f++)
		square += (double) vector[f] * vector[f];
	return sqrt(square);
}

/* Return the cosine of two vectors with this inner product and these norms: 0 if one is 0. */
static inline double
fm_cosine(double inner, double norm_a, double norm_b)
{
	double product = norm_a * norm_b;

	return product > 0 ? fmax(-1, fmin(1, inner / product)) : 0;
}

#endif
