/*
 * Rounding to a certain side, and without a call.
 */
#ifndef FMTOPX_CORE_ROUNDING_H
#define FMTOPX_CORE_ROUNDING_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/*
 * Return a float certain to be at or above a value ≥ 0 that is itself rounded to double.
 *
 * A value below FLT_MAX is at most half a unit above its nearest float. So the next float up is
 * above it by at least as much: room for the few units of double rounding in the value itself.
 */
static inline float
fm_round_up(double value)
{
	if (value >= FLT_MAX)
		return INFINITY;
	return nextafterf((float) value, INFINITY);
}

/* Return a float certain to be at or below a value; -INFINITY if there is none. */
static inline float
fm_round_down(double value)
{
	float nearest;

	if (value >= FLT_MAX)
		return FLT_MAX;
	if (value < -FLT_MAX)
		return -INFINITY;
	nearest = (float) value;
	return nearest > value ? nextafterf(nearest, -INFINITY) : nearest;
}

/*
 * Return the nearest integer of a float below 2^22 in magnitude, without a call: adding 3 · 2^22
 * leaves it in the low bits.
 */
static inline int32_t
fm_nearest_integer(float value)
{
	float shifted = value + 12582912.0f;
	int32_t bits;

	memcpy(&bits, &shifted, sizeof(bits));
	return bits - 0x4b400000;
}

#endif
