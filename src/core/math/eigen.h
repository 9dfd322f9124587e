/*
 * The largest eigenvalues of a symmetric matrix, with their vectors.
 */
#ifndef FMTOPX_CORE_EIGEN_H
#define FMTOPX_CORE_EIGEN_H

#include "core/host.h"

/*
 * Of the n × n matrix whose lower triangle is in `a`, column-major, which is spent: all eigenvalues, ascending, and
 * the vectors of the `wanted` largest, which are the last columns of the n × n matrix returned. The host releases
 * that; it fails if LAPACK does not converge.
 */
extern double *fm_eigen_largest(const FmHost *host, int n, double *a, int wanted,
								double *eigenvalue);

#endif
