/*
 * Classification by data augmentation (Albert and Chib 1993).
 *
 * That y = 1 with probability Φ(η) is the same as y = 1 if a latent y* = η + N(0, 1) is positive.
 * Given y and η, y* is a normal distribution cut off at 0. Given y*, the model is a regression with
 * noise precision 1, which block.c solves. So a half-step draws every y* anew while it packs the
 * rows, and stores none of them.
 *
 * With a = η for y = 1 and a = -η for y = 0, y* - η is ±t, where t is a standard normal above -a.
 * It is drawn by inversion, t = -Φ⁻¹(u Φ(a)), in three steps that keep their relative accuracy in
 * the tails:
 *
 * - b = |a|: Φ(-b) = exp(-b²/2) g(b), where g(b) = s P(s), s = 1 / (1 + 0.32 b), P a polynomial
 * - p = u Φ(a) or 1 - u Φ(a), the one that is at most a half, as x = √(-2 ln p)
 * - -Φ⁻¹(p) = x - N(x) / D(x), N and D polynomials
 *
 * The polynomials are minimax fits made for this file (iteratively reweighted least squares) to the
 * functions in double precision: P to 1e-6 of g, N / D to 4.5e-7 for p down to 1e-347. There are no
 * branches, so several rows run side by side (probit_kernel_body.h).
 *
 * A rating of some weight stands for that many ratings, each with its own y*. Only their mean
 * matters. It is drawn as E t + (t - E t) / √weight, which has the mean and the variance of the
 * mean of `weight` independent draws.
 *
 * Nothing is owned or allocated.
 */
#include "core/train/probit.h"

#include <math.h>
#include <string.h>

double
fm_probit_draw(const FmProbit *probit, FmLatentKernel kernel, int32_t entity, int64_t first,
			   const float *theta, const float *value, const float *weight, int count, int stride,
			   int column, float *panel)
{
	FmLatentRows rows;
	double loss = 0;

	/* the last register may be filled up with rows that mean nothing */
	memset(rows.score, 0, sizeof(rows.score));
	for (int r = 0; r < FM_PROBIT_ROWS; r++)
	{
		rows.sign[r] = r < count && value[r] > 0 ? 1 : -1;
		rows.spread[r] = 1;
	}
	for (int r = 0; weight && r < count; r++)
		rows.spread[r] = 1 / sqrtf(weight[r]);
	kernel(probit, (uint32_t) entity, (uint32_t) (first / 4), panel, theta, count, stride, &rows);
	for (int r = 0; r < count; r++)
	{
		panel[(size_t) r * stride + column] += rows.score[r] + rows.noise[r];
		loss += (weight ? weight[r] : 1) * rows.loss[r];
	}
	return loss;
}
