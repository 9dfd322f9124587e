/*
 * The few BLAS and LAPACK routines in use, by their Fortran names: every build of OpenBLAS has
 * these, wherever it keeps its C headers. The trailing sizes are the hidden lengths of the
 * character arguments.
 */
#ifndef FMTOPX_CORE_LAPACK_H
#define FMTOPX_CORE_LAPACK_H

#include <stddef.h>

extern void dgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k,
				   const double *alpha, const double *a, const int *lda, const double *b,
				   const int *ldb, const double *beta, double *c, const int *ldc, size_t, size_t);
extern void dsymm_(const char *side, const char *uplo, const int *m, const int *n,
				   const double *alpha, const double *a, const int *lda, const double *b,
				   const int *ldb, const double *beta, double *c, const int *ldc, size_t, size_t);
extern void dsyrk_(const char *uplo, const char *trans, const int *n, const int *k,
				   const double *alpha, const double *a, const int *lda, const double *beta,
				   double *c, const int *ldc, size_t, size_t);
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t);
extern void dtrsv_(const char *uplo, const char *trans, const char *diag, const int *n,
				   const double *a, const int *lda, double *x, const int *incx, size_t, size_t,
				   size_t);
extern void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda,
					double *w, double *work, const int *lwork, int *iwork, const int *liwork,
					int *info, size_t, size_t);

#endif
