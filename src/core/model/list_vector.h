/*
 * The vectors whose inner product orders a list.
 *
 * A version may have two heads: the rating head (v, w), which says what a user would rate an item,
 * and the interest head (q of a user, p of an item), which says what they would choose. A list is
 * ordered by the sum
 *
 *   interest + β' rating - τ m popularity
 *
 * with the version's rating share β' and unit of novelty m; τ is the novelty asked for. The sum of
 * factorization machines is one, with longer vectors:
 *
 *   item   (r v_i, r w_i, p_i, s popularity_i | w_i of the interest)
 *   user   (β'/r v_u, β'/r, q_u, -τ m / s | 1)
 *
 * The scales r and s bring the parts of an item's vector to a similar size, because the scan
 * rounds them to eight bits with one scale. They are powers of two, so v_i and w_i come back
 * exactly.
 *
 * Without an interest head (a ranking, whose only head says the interest, or a version that orders
 * by the rating) the vectors are (v_i, s popularity_i | w_i) and (v_u, -τ m / s | 1). Without
 * popularity, too, the vectors are those of the model alone.
 */
#ifndef FMTOPX_CORE_LIST_VECTOR_H
#define FMTOPX_CORE_LIST_VECTOR_H

#include <stdbool.h>

#include "core/model/parameters.h"

/* The most factors of a list's vectors: those of two heads, w and popularity. */
#define FM_MAX_LIST_FACTORS (2 * FM_MAX_FACTORS + 2)

typedef struct FmListShape
{
	int num_factors;	  /* of v */
	int interest_factors; /* of p; 0: there is no interest head */
	bool has_popularity;
	double rating_share; /* β': 1 without an interest head */
	double novelty_unit; /* m */
} FmListShape;

/* Return the number of factors of a list's vectors; the bias of an item comes on top. */
extern int fm_list_factors(const FmListShape *shape);

/*
 * Return the popularity of an item with a number of pairs, where a rated item has `mean` of them: 0
 * with as many, log(1/2) with none.
 */
extern double fm_list_popularity(double count, double mean);

/* Return r, and s. */
extern double fm_list_rating_scale(const FmListShape *shape);
extern double fm_list_popularity_scale(const FmListShape *shape);

/*
 * Make an item's vector, fm_list_factors() + 1 numbers. The interest is not read unless the shape
 * has one, nor is the popularity.
 */
extern void fm_list_item(const FmListShape *shape, const float *v, float w, const float *interest_v,
						 float interest_w, float popularity, float *vector);

/* Read v and w of the rating head back from an item's vector, bit for bit. */
extern void fm_list_item_rating(const FmListShape *shape, const float *vector, float *v, float *w);

/* Return the popularity of an item, 0 if the shape has none. */
extern double fm_list_item_popularity(const FmListShape *shape, const float *vector);

/* Return where p begins in an item's vector. w of the interest is the last number. */
extern const float *fm_list_item_interest(const FmListShape *shape, const float *vector);

/*
 * Make the query of a user: with an item's vector it gives what orders the list, but for what is
 * the same for all items.
 */
extern void fm_list_query(const FmListShape *shape, const float *v, const float *interest_v,
						  double novelty, float *query);

/*
 * Return <v_u, v_i> + w_i of the rating head, for a user's v and an item's vector, in double,
 * summed in index order.
 */
extern double fm_list_rating(const FmListShape *shape, const float *v, const float *vector);

#endif
