/*
 * Philox and normals for a batch of entities side by side. These functions are inline, so they are
 * compiled for the caller's instruction set.
 *
 * Normals are Box and Muller's (1958), with the logarithm and the sine written out as series, so
 * that the compiler can run sixteen entities side by side and the bits do not depend on the C
 * library.
 */
#ifndef FMTOPX_CORE_RNG_LANES_H
#define FMTOPX_CORE_RNG_LANES_H

#include <math.h>
#include <string.h>

#include "core/math/rng.h"

#define RANDOM_INLINE static inline __attribute__((always_inline))

#define ROUNDS 10
#define PI_F 3.14159265358979f
#define LN_2_F 0.693147180559945f

/* The multipliers and the Weyl increments of the paper. */
#define MULTIPLIER_0 0xD2511F53u
#define MULTIPLIER_1 0xCD9E8D57u
#define WEYL_0 0x9E3779B9u
#define WEYL_1 0xBB67AE85u

RANDOM_INLINE void
random_block(const FmRandomKey *key, uint32_t entity, uint32_t position, uint32_t word[4])
{
	uint32_t x0 = position, x1 = entity, x2 = key->iteration, x3 = key->stream;
	uint32_t k0 = (uint32_t) key->seed, k1 = (uint32_t) (key->seed >> 32);

	for (int round = 0; round < ROUNDS; round++)
	{
		uint64_t p0 = (uint64_t) MULTIPLIER_0 * x0;
		uint64_t p1 = (uint64_t) MULTIPLIER_1 * x2;

		x0 = (uint32_t) (p1 >> 32) ^ x1 ^ k0;
		x1 = (uint32_t) p1;
		x2 = (uint32_t) (p0 >> 32) ^ x3 ^ k1;
		x3 = (uint32_t) p0;
		k0 += WEYL_0;
		k1 += WEYL_1;
	}
	word[0] = x0;
	word[1] = x1;
	word[2] = x2;
	word[3] = x3;
}

/* Draw 4 × FM_RANDOM_LANES words for one entity, for the positions from `position` on. */
RANDOM_INLINE void
random_words(const FmRandomKey *key, uint32_t entity, uint32_t position, uint32_t *out)
{
	for (int lane = 0; lane < FM_RANDOM_LANES; lane++)
	{
		uint32_t word[4];

		random_block(key, entity, position + lane, word);
		for (int i = 0; i < 4; i++)
			out[i * FM_RANDOM_LANES + lane] = word[i];
	}
}

/* Return ln x for a positive normal float: 2 artanh((m - 1) / (m + 1)) + e ln 2, m in [√½, √2). */
RANDOM_INLINE float
log_series(float x)
{
	uint32_t bits, mantissa;
	int32_t exponent;
	float m, s, s2;

	memcpy(&bits, &x, sizeof bits);
	exponent = (int32_t) (bits - 0x3f3504f3u) >> 23;
	mantissa = bits - ((uint32_t) exponent << 23);
	memcpy(&m, &mantissa, sizeof m);
	s = (m - 1.0f) / (m + 1.0f);
	s2 = s * s;
	return (float) exponent * LN_2_F +
		   2.0f * s * (1.0f + s2 * (1.0f / 3 + s2 * (1.0f / 5 + s2 * (1.0f / 7 + s2 / 9))));
}

/* Make two normals from two words. The sine and cosine of 2a come from the series at a in ±π/2. */
RANDOM_INLINE void
box_muller(uint32_t word_0, uint32_t word_1, float *first, float *second)
{
	/* Signed conversions: the instruction sets below AVX-512 have no unsigned one. */
	float u = ((float) (int32_t) (word_0 >> 1) + 0.5f) * 0x1p-31f;
	float a = (float) (int32_t) word_1 * 0x1p-32f * PI_F;
	float radius = sqrtf(-2.0f * log_series(u < 1.0f ? u : 1.0f));
	float a2 = a * a;
	float sine = a * (1 + a2 * (-1.0f / 6 +
								a2 * (1.0f / 120 +
									  a2 * (-1.0f / 5040 + a2 * (1.0f / 362880 - a2 / 39916800)))));
	float cosine =
		1 + a2 * (-1.0f / 2 +
				  a2 * (1.0f / 24 + a2 * (-1.0f / 720 + a2 * (1.0f / 40320 - a2 / 3628800))));

	*first = radius * (2 * sine * cosine);
	*second = radius * (1 - 2 * sine * sine);
}

RANDOM_INLINE void
random_normals(const FmRandomKey *key, const uint32_t entity[FM_RANDOM_LANES], int dims, float *out)
{
	for (int d = 0; d < dims; d += 4)
		for (int lane = 0; lane < FM_RANDOM_LANES; lane++)
		{
			uint32_t word[4];
			float *to = out + (size_t) d * FM_RANDOM_LANES + lane;

			random_block(key, entity[lane], (uint32_t) d / 4, word);
			box_muller(word[0], word[1], to, to + FM_RANDOM_LANES);
			box_muller(word[2], word[3], to + 2 * FM_RANDOM_LANES, to + 3 * FM_RANDOM_LANES);
		}
}

#endif
