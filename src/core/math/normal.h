/*
 * The standard normal distribution, in double precision.
 */
#ifndef FMTOPX_CORE_NORMAL_H
#define FMTOPX_CORE_NORMAL_H

extern double fm_normal_cdf(double x);		/* Φ */
extern double fm_normal_log_cdf(double x);	/* ln Φ, also where Φ underflows */
extern double fm_normal_quantile(double p); /* Φ⁻¹, p in (0, 1) */

#endif
