/*
 * Implicit alternating least squares: ranking from implicit feedback.
 */
#ifndef FMTOPX_CORE_IALS_H
#define FMTOPX_CORE_IALS_H

#include "core/train/gibbs.h"

/* With an l2_reg_w of at least this there are no biases. */
#define FM_IALS_NO_BIASES 100.0f

/* The default without a search. */
#define FM_IALS_ITERATIONS 12

/* What a training chose. */
typedef struct FmIalsChoice
{
	float l2_reg_v;
	double unobserved_weight; /* of an item with a share of 1 (fm_all_pairs_share) */
	int iterations;			  /* made in all, in the search as well */
} FmIalsChoice;

/*
 * Train, and give the sink one sample: the result. The values of the ratings are 1. If the
 * problem's l2_reg_v is negative, it is found by a search.
 */
extern FmIalsChoice fm_ials(const FmProblem *problem, int rank, FmSampleSink sink, void *sink_ctx);

/*
 * Return the mean weight of a pair without a rating: the one given, or if that is negative, the
 * default for this number of pairs.
 */
extern double fm_ials_unobserved_weight(double given, double total_weight, double num_pairs);

/*
 * Return the bytes that a team shares besides two tables of rows and errors: sums over a side, what
 * is computed from them, and with a search the pairs held out.
 */
extern size_t fm_ials_shared_size(const FmProblem *problem, int rank, int stride);

/* Return the bytes that a member takes for a search. */
extern double fm_ials_search_size(const FmProblem *problem, int rank);

#endif
