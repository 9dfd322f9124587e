/*
 * The BLAS and LAPACK routines in use, by their Fortran names: every build of OpenBLAS has these,
 * whatever its C headers are. The trailing sizes are the hidden lengths of the character arguments.
 */
#ifndef FMTOPX_CORE_LAPACK_H
#define FMTOPX_CORE_LAPACK_H

#include <stddef.h>

extern void sgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k,
				   const float *alpha, const float *a, const int *lda, const float *b,
				   const int *ldb, const float *beta, float *c, const int *ldc, size_t, size_t);
extern void dgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k,
				   const double *alpha, const double *a, const int *lda, const double *b,
				   const int *ldb, const double *beta, double *c, const int *ldc, size_t, size_t);
extern void dsyrk_(const char *uplo, const char *trans, const int *n, const int *k,
				   const double *alpha, const double *a, const int *lda, const double *beta,
				   double *c, const int *ldc, size_t, size_t);
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t);
extern void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t);
extern void dtrsv_(const char *uplo, const char *trans, const char *diag, const int *n,
				   const double *a, const int *lda, double *x, const int *incx, size_t, size_t,
				   size_t);
extern void dsyr2k_(const char *uplo, const char *trans, const int *n, const int *k,
					const double *alpha, const double *a, const int *lda, const double *b,
					const int *ldb, const double *beta, double *c, const int *ldc, size_t, size_t);
extern void dtrmm_(const char *side, const char *uplo, const char *trans, const char *diag,
				   const int *m, const int *n, const double *alpha, const double *a, const int *lda,
				   double *b, const int *ldb, size_t, size_t, size_t, size_t);
extern void dtrsm_(const char *side, const char *uplo, const char *trans, const char *diag,
				   const int *m, const int *n, const double *alpha, const double *a, const int *lda,
				   double *b, const int *ldb, size_t, size_t, size_t, size_t);
extern void dsygst_(const int *itype, const char *uplo, const int *n, double *a, const int *lda,
					const double *b, const int *ldb, int *info, size_t);
extern void dlatrd_(const char *uplo, const int *n, const int *nb, double *a, const int *lda,
					double *e, double *tau, double *w, const int *ldw, size_t);
extern void dsytd2_(const char *uplo, const int *n, double *a, const int *lda, double *d, double *e,
					double *tau, int *info, size_t);
extern void dstedc_(const char *compz, const int *n, double *d, double *e, double *z,
					const int *ldz, double *work, const int *lwork, int *iwork, const int *liwork,
					int *info, size_t);
extern void dormtr_(const char *side, const char *uplo, const char *trans, const int *m,
					const int *n, const double *a, const int *lda, const double *tau, double *c,
					const int *ldc, double *work, const int *lwork, int *info, size_t, size_t,
					size_t);

#endif
