/*
 * Recency: how much a rating counts by its age, where newer ones count more.
 *
 * A rating counts 2^-(a + b), where a is the share of the user's ratings that are newer, and b the
 * share of all ratings that are newer. So neither the unit of time nor gaps in it matter.
 */
#ifndef FMTOPX_CORE_RECENCY_H
#define FMTOPX_CORE_RECENCY_H

#include <stdint.h>

#include "core/data/ratings.h"

/* What a rating of a user counts. */
typedef struct FmRecencyEntry
{
	int32_t item;
	float factor;
} FmRecencyEntry;

/* By user; those of user u are entry[start[u]] up to entry[start[u + 1] - 1], ascending by item. */
typedef struct FmRecency
{
	int32_t num_users;
	int64_t *start;
	FmRecencyEntry *entry;
} FmRecency;

/*
 * Compute the factors of ratings from the time of each: any number that grows with time. NaN, an
 * unknown time, is older than all. The arrays of *recency come from the host.
 */
extern void fm_recency_create(const FmTriples *triples, const double *time, int32_t num_users,
							  const FmHost *host, FmRecency *recency);

/* Number users and items anew: user u becomes user[u]. */
extern void fm_recency_renumber(FmRecency *recency, const int32_t *user, const int32_t *item,
								const FmHost *host);

/* Return the factor of a user's newest rating of an item, or 1 if there is none. */
extern float fm_recency_factor(const FmRecency *recency, int32_t user, int32_t item);

extern void fm_recency_release(FmRecency *recency, const FmHost *host);

#endif
