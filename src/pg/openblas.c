/*
 * OpenBLAS, loaded when a process trains for the first time. Each routine of core/math/lapack.h
 * calls the library's routine of the same name.
 *
 * If the extension were linked with the library, every connection would load both, even to ask for
 * recommendations only. Binding the library's tens of thousands of symbols takes some milliseconds,
 * more than the question itself. RTLD_LOCAL and RTLD_DEEPBIND keep its symbols apart from those of
 * other libraries.
 */
#include "postgres.h"

#include <dlfcn.h>

#pragma GCC visibility push(hidden) /* must not replace other libraries' routines */
#include "core/math/lapack.h"
#pragma GCC visibility pop

#ifndef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0
#endif

typedef void (*Routine)(void);

/* Return the library. It stays loaded until the process ends. */
static void *
open_library(void)
{
	static void *library = NULL;
	void (*set_num_threads)(int);

	if (library != NULL)
		return library;
	library = dlopen(FM_OPENBLAS, RTLD_LAZY | RTLD_LOCAL | RTLD_DEEPBIND);
	if (library == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FILE),
						errmsg("could not load library \"%s\": %s", FM_OPENBLAS, dlerror()),
						errhint("Install OpenBLAS; training needs it.")));
	/* work is divided among processes; a backend must not start threads */
	set_num_threads = (void (*)(int)) dlsym(library, "openblas_set_num_threads");
	if (set_num_threads != NULL)
		set_num_threads(1);
	return library;
}

static Routine
find_routine(const char *name)
{
	Routine routine = (Routine) dlsym(open_library(), name);

	if (routine == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("library \"%s\" has no routine \"%s\"", FM_OPENBLAS, name),
						errhint("Install an OpenBLAS with LAPACK; training needs it.")));
	return routine;
}

/* Define a routine that passes its arguments on to the library's routine of the same name. */
#define PASS_ON(name, parameters, arguments)                                                       \
	void name parameters                                                                           \
	{                                                                                              \
		static void(*routine) parameters = NULL;                                                   \
                                                                                                   \
		if (routine == NULL)                                                                       \
			routine = (void(*) parameters) find_routine(#name);                                    \
		routine arguments;                                                                         \
	}

PASS_ON(sgemm_,
		(const char *transa, const char *transb, const int *m, const int *n, const int *k,
		 const float *alpha, const float *a, const int *lda, const float *b, const int *ldb,
		 const float *beta, float *c, const int *ldc, size_t length1, size_t length2),
		(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, length1, length2))
PASS_ON(dgemm_,
		(const char *transa, const char *transb, const int *m, const int *n, const int *k,
		 const double *alpha, const double *a, const int *lda, const double *b, const int *ldb,
		 const double *beta, double *c, const int *ldc, size_t length1, size_t length2),
		(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, length1, length2))
PASS_ON(dsyrk_,
		(const char *uplo, const char *trans, const int *n, const int *k, const double *alpha,
		 const double *a, const int *lda, const double *beta, double *c, const int *ldc,
		 size_t length1, size_t length2),
		(uplo, trans, n, k, alpha, a, lda, beta, c, ldc, length1, length2))
PASS_ON(dpotrf_,
		(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t length1),
		(uplo, n, a, lda, info, length1))
PASS_ON(dpotri_,
		(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t length1),
		(uplo, n, a, lda, info, length1))
PASS_ON(dtrsv_,
		(const char *uplo, const char *trans, const char *diag, const int *n, const double *a,
		 const int *lda, double *x, const int *incx, size_t length1, size_t length2,
		 size_t length3),
		(uplo, trans, diag, n, a, lda, x, incx, length1, length2, length3))
PASS_ON(dsyr2k_,
		(const char *uplo, const char *trans, const int *n, const int *k, const double *alpha,
		 const double *a, const int *lda, const double *b, const int *ldb, const double *beta,
		 double *c, const int *ldc, size_t length1, size_t length2),
		(uplo, trans, n, k, alpha, a, lda, b, ldb, beta, c, ldc, length1, length2))
PASS_ON(dtrmm_,
		(const char *side, const char *uplo, const char *trans, const char *diag, const int *m,
		 const int *n, const double *alpha, const double *a, const int *lda, double *b,
		 const int *ldb, size_t length1, size_t length2, size_t length3, size_t length4),
		(side, uplo, trans, diag, m, n, alpha, a, lda, b, ldb, length1, length2, length3, length4))
PASS_ON(dtrsm_,
		(const char *side, const char *uplo, const char *trans, const char *diag, const int *m,
		 const int *n, const double *alpha, const double *a, const int *lda, double *b,
		 const int *ldb, size_t length1, size_t length2, size_t length3, size_t length4),
		(side, uplo, trans, diag, m, n, alpha, a, lda, b, ldb, length1, length2, length3, length4))
PASS_ON(dsygst_,
		(const int *itype, const char *uplo, const int *n, double *a, const int *lda,
		 const double *b, const int *ldb, int *info, size_t length1),
		(itype, uplo, n, a, lda, b, ldb, info, length1))
PASS_ON(dlatrd_,
		(const char *uplo, const int *n, const int *nb, double *a, const int *lda, double *e,
		 double *tau, double *w, const int *ldw, size_t length1),
		(uplo, n, nb, a, lda, e, tau, w, ldw, length1))
PASS_ON(dsytd2_,
		(const char *uplo, const int *n, double *a, const int *lda, double *d, double *e,
		 double *tau, int *info, size_t length1),
		(uplo, n, a, lda, d, e, tau, info, length1))
PASS_ON(dstedc_,
		(const char *compz, const int *n, double *d, double *e, double *z, const int *ldz,
		 double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t length1),
		(compz, n, d, e, z, ldz, work, lwork, iwork, liwork, info, length1))
PASS_ON(dormtr_,
		(const char *side, const char *uplo, const char *trans, const int *m, const int *n,
		 const double *a, const int *lda, const double *tau, double *c, const int *ldc,
		 double *work, const int *lwork, int *info, size_t length1, size_t length2, size_t length3),
		(side, uplo, trans, m, n, a, lda, tau, c, ldc, work, lwork, info, length1, length2,
		 length3))
