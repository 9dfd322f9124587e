/*
 * Repeats: rows of the same user and item, and the same context if ratings have contexts.
 *
 * They are one observation. Its value is their weighted mean. Its weight takes into account that
 * repeats say less than other pairs do: n rows of weight w weigh
 *
 *   n w / (1 + (n - 1) ρ)
 *
 * together, where ρ is the correlation of two rows of a pair, beyond what their user and their item
 * explain; the sampler then finds what it is beyond what its model explains (problem.h). Copies
 * that a join has made have ρ = 1, so they weigh w. Independent rows have ρ = 0 and weigh n w, as
 * do the events of a ranking. If weights differ, n is Kish's effective number of rows,
 * (Σ w)² / Σ w².
 */
#ifndef FMTOPX_CORE_REPEATS_H
#define FMTOPX_CORE_REPEATS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/data/ratings.h"

/* Sums over the rows of a pair. The first value is subtracted, so that nothing cancels. */
typedef struct FmPairSums
{
	int64_t rows;
	double first;
	double weight;	/* Σ w */
	double weight2; /* Σ w² */
	double sum;		/* Σ w (value - first) */
	double square;	/* Σ w (value - first)² */
} FmPairSums;

extern void fm_pair_add(FmPairSums *sums, double value, double weight);
extern double fm_pair_mean(const FmPairSums *sums);
extern double fm_pair_weight(const FmPairSums *sums, double correlation);

/* What merging has found. */
typedef struct FmRepeats
{
	int64_t rows;		/* before */
	int64_t pairs;		/* distinct ones, with their contexts */
	double correlation; /* ρ */
	/* of a row, around what user and item explain; 0 if ρ was given or there are no repeats */
	double row_variance;
} FmRepeats;

/*
 * The least ρ. No model explains everything that the rows of a pair have in common, so a pair never
 * weighs more than 100 others, however often it occurs.
 */
#define FM_CORRELATION_MIN 0.01

/* Return ρ, bounded and rounded so that its last bits do not depend on the order of sums. */
extern double fm_round_correlation(double correlation);

/*
 * Merge the rows of each pair, in place. Afterwards the rows of a user are adjacent.
 *
 * If correlation is NaN it is estimated from the repeats. Labels are 0 and 1; a pair with both
 * becomes one row for each, which share the weight. The rows of a pair are late (is_late, or NULL)
 * if any of them is, in whatever context. Triples without weights get the array `spare`, of as many
 * elements, if they need weights now. The result does not depend on the order of the rows.
 */
extern FmRepeats fm_merge_repeats(FmTriples *triples, bool *is_late, bool labels,
								  double correlation, float *spare, int32_t num_users,
								  int32_t num_items, const FmHost *host);

#endif
