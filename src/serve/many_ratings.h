/*
 * What many users have rated, user by user.
 */
#ifndef FMTOPX_MANY_RATINGS_H
#define FMTOPX_MANY_RATINGS_H

#include "pg/compat.h"

#include "serve/seen.h"

/* The weight of a rating that does not count, because a training would skip it. */
#define FM_ONLY_SEEN (-1)

/*
 * Open a stream of what the ratings relation holds for these users, with the active snapshot. The
 * query runs now, so what a view calls does not run later. If `seen`, ratings that do not count are
 * returned, too, as FM_ONLY_SEEN; fm_check_ratings must have been called.
 */
typedef struct FmManyRatings FmManyRatings;

extern FmManyRatings *fm_many_ratings_open(const FmServing *serving, const Datum *user_ids,
										   int32 count, bool seen);

/*
 * Return the ratings of a user by number, which must be greater than that of the call before. They
 * are valid until the next call.
 */
extern FmOwnRating *fm_many_ratings_next(FmManyRatings *stream, int32 user, int64 *count);
extern void fm_many_ratings_close(FmManyRatings *stream);

/* Return ids as an array, to be the parameter of a query. */
extern void fm_add_ids(FmSqlParameters *parameters, const FmIdType *id_type, const Datum *ids,
					   int32 count);

#endif
