/*
 * Ratings in compressed sparse rows, by user and by item: what every solver reads.
 *
 * User u's ratings are user_item[user_start[u] .. user_start[u+1]) with their values beside them,
 * ascending by item; the same the other way round for items. Both orders hold the same multiset of
 * (user, item, value); a pair may occur more than once. Indices are dense, from 0. A user or item may
 * have no rating at all (its rows were held out for testing).
 *
 * The order of the indices is canonical (src/canonical.c): it depends neither on the physical order
 * of the table nor on the type or labels of the ids. Solvers may therefore sum in index order and key
 * their random numbers by index, and give the same bits for the same data.
 */
#ifndef FMTOPX_CORE_RATINGS_H
#define FMTOPX_CORE_RATINGS_H

#include <stdint.h>

typedef struct FmRatings
{
	int32_t num_users;
	int32_t num_items;
	int64_t num_ratings;
	int64_t *user_start; /* num_users + 1 */
	int32_t *user_item;	 /* num_ratings */
	float *user_value;	 /* num_ratings */
	int64_t *item_start; /* num_items + 1 */
	int32_t *item_user;	 /* num_ratings */
	float *item_value;	 /* num_ratings */
} FmRatings;

#endif
