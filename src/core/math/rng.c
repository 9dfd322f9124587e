/*
 * Counter-based random numbers: Philox4x32-10, normal and gamma draws.
 *
 * Philox is a keyed bijection of a 128-bit counter (Salmon, Moraes, Dror and Shaw, "Parallel Random
 * Numbers: As Easy as 1, 2, 3", SC 2011, section 4.3). Here the key is the seed, and the counter is
 * (position, entity, iteration, stream). Normals for blocks are in rng_lanes.h. Gamma draws follow
 * Marsaglia and Tsang (2000).
 *
 * Nothing is allocated, and no state is kept.
 */
#include "core/math/rng.h"

#include <math.h>

#include "core/math/rng_lanes.h"

#define TWO_PI 6.283185307179586476925

void
fm_random_block(const FmRandomKey *key, uint32_t entity, uint32_t position, uint32_t word[4])
{
	random_block(key, entity, position, word);
}

void
fm_random_normals(const FmRandomKey *key, const uint32_t entity[FM_RANDOM_LANES], int dims,
				  float *out)
{
	random_normals(key, entity, dims, out);
}

double
fm_random_uniform(FmRandomSequence *sequence)
{
	uint32_t word[4];
	uint64_t wide;

	random_block(&sequence->key, sequence->entity, sequence->position++, word);
	wide = ((uint64_t) word[0] << 32 | word[1]) >> 12;
	return ((double) wide + 0.5) * 0x1p-52;
}

double
fm_random_normal(FmRandomSequence *sequence)
{
	double radius = sqrt(-2 * log(fm_random_uniform(sequence)));

	return radius * cos(TWO_PI * fm_random_uniform(sequence));
}

double
fm_random_gamma(FmRandomSequence *sequence, double shape)
{
	double d = shape - 1.0 / 3;
	double c = 1 / sqrt(9 * d);

	for (;;)
	{
		double x = fm_random_normal(sequence);
		double v = 1 + c * x;

		if (v <= 0)
			continue;
		v = v * v * v;
		if (log(fm_random_uniform(sequence)) < 0.5 * x * x + d - d * v + d * log(v))
			return d * v;
	}
}
