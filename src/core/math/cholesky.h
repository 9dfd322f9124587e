/*
 * The Cholesky factor of a small matrix, in double precision and without LAPACK.
 */
#ifndef FMTOPX_CORE_CHOLESKY_H
#define FMTOPX_CORE_CHOLESKY_H

#include "core/host.h"

/*
 * Replace the lower triangle of a symmetric positive semidefinite matrix (dim × dim, row-major) by
 * its Cholesky factor. A direction without variance becomes a column of zeros. The upper triangle
 * is used for the transpose of the factor, without its diagonal.
 */
extern void fm_cholesky(double *matrix, int dim, const FmHost *host);

/* Solve A x = b in place, given the factor of A; NaN where A is not positive definite. */
extern void fm_cholesky_solve(const double *factor, int dim, double *x);

#endif
