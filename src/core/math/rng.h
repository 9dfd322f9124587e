/*
 * Random numbers that depend only on their key. No state is carried from draw to draw, so any
 * number of workers, in any order, get the same bits for the same (seed, stream, iteration,
 * entity).
 */
#ifndef FMTOPX_CORE_RNG_H
#define FMTOPX_CORE_RNG_H

#include <stdint.h>

/* Entities that fm_random_normals draws for at once: the width of a block solver's batch. */
#define FM_RANDOM_LANES 16

typedef struct FmRandomKey
{
	uint64_t seed;
	uint32_t stream; /* what the numbers are for: the two sides' blocks, hyper-parameters, ... */
	uint32_t iteration;
} FmRandomKey;

/* A sequence of draws for one entity (or group) under a key; position and used start at 0. */
typedef struct FmRandomSequence
{
	FmRandomKey key;
	uint32_t entity;
	uint32_t position;
} FmRandomSequence;

extern void fm_random_block(const FmRandomKey *key, uint32_t entity, uint32_t position,
							uint32_t word[4]);

/*
 * Draw standard normals for a batch of entities: out[d * FM_RANDOM_LANES + lane] is draw d of
 * entity[lane]. `out` must have room for `dims` rounded up to a multiple of 4.
 */
extern void fm_random_normals(const FmRandomKey *key, const uint32_t entity[FM_RANDOM_LANES],
							  int dims, float *out);

extern double fm_random_uniform(FmRandomSequence *sequence); /* in (0, 1) */
extern double fm_random_normal(FmRandomSequence *sequence);
extern double fm_random_gamma(FmRandomSequence *sequence,
							  double shape); /* unit rate; shape > 1/3 */

#endif
