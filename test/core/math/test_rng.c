/*
 * Random numbers: known answers, and the moments of the draws. Prints TAP.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/math/rng.h"
#include "support/tap.h"

static void
test_random(void)
{
	/* The known answers that the authors of Philox publish with their implementation. */
	static const uint32_t zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
	static const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
	FmRandomKey key = {0, 0, 0}, full = {UINT64_MAX, UINT32_MAX, UINT32_MAX};
	FmRandomSequence sequence = {.key = {3, 1, 4}};
	uint32_t word[4], entity[FM_RANDOM_LANES];
	static float draws[1000 * FM_RANDOM_LANES];
	double sum[5] = {0}, gamma = 0, count = 1000 * FM_RANDOM_LANES;

	fm_random_block(&key, 0, 0, word);
	ok(memcmp(word, zeros, sizeof zeros) == 0, "Philox of zeros");
	fm_random_block(&full, UINT32_MAX, UINT32_MAX, word);
	ok(memcmp(word, ones, sizeof ones) == 0, "Philox of ones");

	for (int lane = 0; lane < FM_RANDOM_LANES; lane++)
		entity[lane] = lane * 31;
	fm_random_normals(&key, entity, 1000, draws);
	for (int i = 0; i < count; i++)
		for (int power = 1; power <= 4; power++)
			sum[power] += pow(draws[i], power) / count;
	ok(fabs(sum[1]) < 0.03 && fabs(sum[2] - 1) < 0.03 && fabs(sum[3]) < 0.1 &&
		   fabs(sum[4] - 3) < 0.2,
	   "normals have the moments of normals: %.3f %.3f %.3f %.3f", sum[1], sum[2], sum[3], sum[4]);
	for (int i = 0; i < 10000; i++)
		gamma += fm_random_gamma(&sequence, 2.5) / 10000;
	ok(fabs(gamma - 2.5) < 0.06, "gamma draws have the mean of their shape: %.3f", gamma);
}

int
main(void)
{
	test_random();
	return done_testing();
}
