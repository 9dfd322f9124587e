/*
 * Ratings: as they are read (triples), and in compressed sparse rows by user and by item, which is
 * what every solver reads.
 *
 * In FmRatings, user u's ratings are user_item[user_start[u] .. user_start[u+1]) with their values
 * at the same places, ascending by item, then by value; for items it is the other way round. Both
 * orders hold the same multiset of (user, item, value); a pair may occur more than once. Indices
 * are dense, from 0. A user or item may have no rating at all (if its rows were held out for
 * testing).
 *
 * A rating may have a weight, above 0 and finite: it counts as if it occurred that many times. If
 * the array of weights is NULL, every weight is 1. Ratings of a pair with equal values and weights
 * are in the order of their contexts.
 *
 * The order of the indices is canonical (fm_canonical_order): it depends neither on the physical
 * order of the table nor on the type or labels of the ids. So solvers may sum in index order and
 * key their random numbers by index, and give the same bits for the same data.
 */
#ifndef FMTOPX_CORE_RATINGS_H
#define FMTOPX_CORE_RATINGS_H

#include <stdint.h>

#include "core/data/features.h"
#include "core/host.h"

/* The two sides, as indices of arrays. */
enum
{
	FM_USERS,
	FM_ITEMS
};

/* Ratings as they are read: one in each row, in any order. */
typedef struct FmTriples
{
	int64_t count;
	int32_t *user;
	int32_t *item;
	float *value;
	float *weight;	  /* or NULL */
	int32_t *context; /* or NULL */
} FmTriples;

/*
 * The contexts of ratings, such as a device and a weekday. Each rating has one context: an index of
 * combinations of levels, with one level of each column. The levels of a column are adjacent.
 */
typedef struct FmContexts
{
	int32_t num_columns; /* 0: ratings have no context */
	int32_t num_levels;
	int32_t num_combinations;
	int32_t *first_level; /* num_columns + 1 */
	int32_t *level;		  /* num_combinations × num_columns */
} FmContexts;

/*
 * What weights are, if repeats alone have made them (repeats.h). A weight then says how precise the
 * mean of a pair's rows is, in units of a row's precision, and a pair is one observation.
 */
typedef struct FmRepeatWeights
{
	double correlation;	 /* ρ */
	double row_variance; /* around what user and item explain; 0: repeats have made no weights */
} FmRepeatWeights;

typedef struct FmRatings
{
	int32_t num_users;
	int32_t num_items;
	int64_t num_ratings;
	int64_t *user_start; /* num_users + 1 */
	int32_t *user_item;	 /* num_ratings */
	float *user_value;	 /* num_ratings */
	float *user_weight;	 /* num_ratings, or NULL */
	int64_t *item_start; /* num_items + 1 */
	int32_t *item_user;	 /* num_ratings */
	float *item_value;	 /* num_ratings */
	float *item_weight;	 /* num_ratings, or NULL */
	FmRepeatWeights repeats;
	int32_t *user_context; /* num_ratings, or NULL */
	int32_t *item_context; /* num_ratings, or NULL */
	FmContexts contexts;
	FmFeatures features[2]; /* of the users, of the items */
} FmRatings;

/*
 * Compute the canonical index of every user and item, from the structure of the ratings alone. It
 * does not depend on weights, so that all weights times a constant train alike.
 * Entities are sorted by a hash of their neighbourhood (three rounds of colour refinement;
 * Weisfeiler & Leman 1968). Only entities that this cannot distinguish are ordered by their index
 * in `triples`, which must follow the order of the ids. The arrays are allocated by the host.
 */
extern void fm_canonical_order(const FmTriples *triples, int32_t num_users, int32_t num_items,
							   const FmHost *host, int32_t **user_canonical,
							   int32_t **item_canonical);

/*
 * Build the compressed orders of the triples, in two steps so that the triples can be freed in
 * between: first the users' rows, unsorted; then, from these, both orders, sorted. At most 20 bytes
 * for each rating are in use, triples included; 28 with weights, and 8 more with contexts.
 */
extern void fm_ratings_by_user(const FmTriples *triples, int32_t num_users, int32_t num_items,
							   const FmHost *host, FmRatings *ratings);
extern void fm_ratings_complete(FmRatings *ratings, const FmHost *host);

/*
 * Move a share of complete ratings into *held_out, chosen by a hash of (seed, user, item), so that
 * all ratings of a pair stay together. The number of pairs moved is binomial.
 */
extern void fm_ratings_hold_out(FmRatings *ratings, double share, uint64_t seed, const FmHost *host,
								FmTriples *held_out);

/*
 * Weights are relative: all of them times a constant mean the same. Solvers take them in a unit
 * that makes their sum Kish's effective number of ratings, (Σ w)² / Σ w²: the unit is Σ w² / Σ w.
 * With the mean as unit, a sampler takes the little that uneven weights leave for much. On
 * MovieLens 100k with weights exp(a sin(noise)), ua.test, the RMSE of mcmc was 0.924, 0.944 and
 * 0.966 for a = 1, 2 and 4, and 0.931, 1.023 and 1.176 with the mean; without weights it is 0.910,
 * and with the 46 percent of the ratings that are the effective number for a = 2 it is 0.950.
 *
 * No weight counts as more than FM_MOST_WEIGHT units, so that one row out of all proportion leaves
 * something for the others, nor less than FM_LEAST_WEIGHT. With 2, 3 and 5, heavy-tailed weights of
 * u^-0.8 (u uniform) gave an RMSE of 0.935, 0.965 and 1.004, weights of 5 for every fiftieth rating
 * and 1 for the others gave 0.912, 0.914 and 0.921, and the weights above the same as without. In a
 * ranking the unit is the mean, and nothing is bounded: the most is infinity.
 */
#define FM_MOST_WEIGHT 3.0
#define FM_LEAST_WEIGHT 1e-6

static inline double
fm_relative_weight(double weight, double unit, double most)
{
	double relative = weight / unit;

	return relative > most ? most : relative < FM_LEAST_WEIGHT ? FM_LEAST_WEIGHT : relative;
}

/* Return the unit of some weights; `most` is FM_MOST_WEIGHT or infinity. */
extern double fm_weight_unit(const float *weight, int64_t count, double most);
extern void fm_relative_weights(float *weight, int64_t count, double unit, double most);

/*
 * Make the weights of a training relative, and those of held_out by the same unit, which is
 * returned. If all are equal, there are none afterwards.
 */
extern double fm_ratings_relative_weights(FmRatings *ratings, double most, FmTriples *held_out);

/* Return how many entities of a side have ratings, from where those of each start. */
static inline int32_t
fm_count_rated(const int64_t *start, int32_t count)
{
	int32_t rated = 0;

	for (int32_t e = 0; e < count; e++)
		rated += start[e] < start[e + 1];
	return rated;
}

#endif
