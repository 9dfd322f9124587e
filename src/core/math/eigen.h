/*
 * The largest eigenvalues of a symmetric matrix, with their vectors.
 */
#ifndef FMTOPX_CORE_EIGEN_H
#define FMTOPX_CORE_EIGEN_H

#include "core/host.h"

/*
 * Compute all eigenvalues, ascending, and the vectors of the `wanted` largest, of the n × n matrix
 * whose lower triangle is in `a`, column-major. `a` is destroyed. Return an n × n matrix with the
 * vectors in its last columns, to be released by the caller through the host. Fails if LAPACK does
 * not converge.
 */
extern double *fm_eigen_largest(const FmHost *host, int n, double *a, int wanted,
								double *eigenvalue);

#endif
