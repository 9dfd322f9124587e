/*
 * The error bound of the 8-bit screen, with its proof.
 *
 * Write a query as (φ, β) with φ = t·φ̂ + p, and an item as (ψ, bias) with ψ = s·ψ̂ + r, where φ̂
 * and ψ̂ are the integers that are multiplied. Then
 *
 *     ⟨φ, ψ⟩  =  t·s·⟨φ̂, ψ̂⟩  +  ⟨t·φ̂, r⟩  +  ⟨p, ψ⟩,
 *
 * and by Cauchy-Schwarz the last two terms are at most ‖t·φ̂‖·‖r‖ + ‖p‖·‖ψ‖. The integer sum is
 * exact: its magnitude is at most 255 · 127 · FM_SCAN_MAX_FACTORS < 2^31. The kernels compute in
 * float
 *
 *     upper  =  (c·⟨φ̂, ψ̂⟩ + β·bias) + error,     c = t·s,
 *
 * and drop an item if upper < threshold. So `error` must cover, besides the two terms, all that
 * rounding may take away.
 *
 * Rounding. Let u = 2^-24, M = ‖t·φ̂‖·(‖ψ‖ + ‖r‖) ≥ |t·s·⟨φ̂, ψ̂⟩|, and B = |β·bias|. Computing c,
 * converting the integer and multiplying err by at most 3 u M together, β·bias by u B, and the two
 * additions by u times what they add, with or without fused multiply-add: less than 8 u (M + B) in
 * all, and less than 2 u of the error itself. The exact score is a double sum, which is above the
 * real one by at most 2^-42 (‖φ‖·‖ψ‖ + B): another u of that is more than enough. This gives the
 * factors in fm_screen_prepare. They are then made 2^-16 larger, to cover their own rounding, that
 * of the error's sum, and the 2 u of the error. All of this bounds the screened score on the other
 * side as well, with room for one more addition: upper - 2·error, in float, is at most the exact
 * score.
 *
 * Cuts. Most items are dropped earlier, without rounding in float. Let τ be the threshold. As an
 * item is dropped if t·s·⟨φ̂, ψ̂⟩ + β·bias + error < τ, it is also dropped if
 *
 *     ⟨φ̂, ψ̂⟩  <  (τ - error - max β·bias) / t / s,
 *
 * with the maximum over the tile. The right side is computed in double. It matters only if it is at
 * most what the left side may be. In that case |τ| is at most M + B + error, so rounding moves the
 * right side by less than 2^-48 (M + B + error) / t / s, and the unused 7 u (M + B) and the 2 u of
 * the error are a multiple of that; and by 2^-51 of itself, for which the cut is rounded down by
 * more than 1. A scale or unit of 0 gives a cut below 0, which no sum is below if all codes are 0.
 *
 * Underflow. An operation may lose up to the least normal float, and so may each number read,
 * because a library in the same process may have switched the CPU to flush denormals to zero. t and
 * s are normal or zero, so the worst case is a c that underflows, times an integer sum below 2^14
 * per factor. `flushed` is twice as much, and stands for one such loss per entry of norm 1 on
 * either side.
 *
 * Overflow. The error contains 8 u (M + B). If it is below u · FLT_MAX, M + B is below FLT_MAX / 8
 * and no operation overflows. Otherwise the error is made infinite. Then upper is infinite or NaN,
 * and a kernel drops nothing, because it drops only what compares as less.
 */
#include "core/scan/scan_screen.h"

#include <float.h>
#include <math.h>

#include "core/math/rounding.h"

#define SAFETY (1 + 1.0 / 65536)

static float
larger(float a, float b)
{
	return a > b ? a : b;
}

/* Choose the unit of the codes. Rounding may add a half to each code, and so 2 to a sum of four. */
static float
choose_unit(const float *query, int num_factors, int four_max)
{
	float unit = 0;

	for (int f = 0; f < num_factors; f++)
		unit = larger(unit, fabsf(query[f]));
	unit /= FM_SCAN_CODE_MAX;
	for (int f = 0; four_max > 0 && f < num_factors; f += 8)
	{
		float fours[2] = {0};

		for (int i = 0; i < 8 && f + i < num_factors; i++)
			fours[i / 2 % 2] += fabsf(query[f + i]) / (four_max - 2);
		unit = larger(unit, larger(fours[0], fours[1]));
	}
	return unit < FLT_MIN ? 0 : unit;
}

/*
 * Code φ. Return the squares of ‖φ‖, ‖t·φ̂‖ and ‖p‖, each in four sums that do not wait for each
 * other.
 */
static void
code_query(FmScreenQuery *screen, int num_factors, int code_zero, double squares[3])
{
	const float per_unit = (float) screen->per_unit;
	double sums[3][4] = {{0}};
	int32_t sum = 0;

	for (int f = 0; f < num_factors; f++)
	{
		double q = screen->query[f];
		int32_t code = fm_nearest_integer(screen->query[f] * per_unit);
		double value = (double) screen->unit * (double) code;

		sums[0][f % 4] += q * q;
		sums[1][f % 4] += value * value;
		sums[2][f % 4] += (q - value) * (q - value);
		screen->codes[f] = (int8_t) code;
		sum += code;
	}
	for (int f = num_factors; f % (2 * FM_SCAN_GROUP) != 0; f++)
		screen->codes[f] = 0;
	for (int i = 0; i < 3; i++)
		squares[i] = sums[i][0] + sums[i][1] + sums[i][2] + sums[i][3];
	screen->offset = -code_zero * sum;
}

void
fm_screen_prepare(FmScreenQuery *screen, const float *query, int num_factors, int four_max,
				  int code_zero)
{
	const double u = FM_UNIT_ROUNDOFF;
	const double beta = fabs((double) query[num_factors]);
	double flushed = 32768.0 * (num_factors + 8) * FLT_MIN;
	double squares[3];
	double coded;
	double rest;

	screen->query = query;
	screen->unit = choose_unit(query, num_factors, four_max);
	screen->per_unit = screen->unit > 0 ? 1 / (double) screen->unit : 0;
	code_query(screen, num_factors, code_zero, squares);
	coded = sqrt(squares[1]);
	rest = sqrt(squares[2]);
	screen->norm = SAFETY * sqrt(squares[0]);
	screen->bias_weight = query[num_factors];
	screen->rest_factor = fm_round_up(SAFETY * (coded + 8 * u * coded));
	screen->norm_factor = fm_round_up(SAFETY * (rest + 8 * u * (coded + screen->norm)) + flushed);
	screen->bias_factor = fm_round_up(SAFETY * 9 * u * beta + flushed);
	screen->absolute = fm_round_up(flushed * (1 + screen->norm + beta));
	screen->threshold = -INFINITY;
}

/* Rounded down, so that a score that reaches the threshold also reaches the float. */
void
fm_screen_raise_threshold(FmScreenQuery *screen, double threshold)
{
	float rounded = fm_round_down(threshold);

	if (rounded > screen->threshold)
		screen->threshold = rounded;
}
