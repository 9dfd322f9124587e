/*
 * What one user has rated: their rows of the ratings relation, as they are now.
 */
#ifndef FMTOPX_SEEN_H
#define FMTOPX_SEEN_H

#include "pg/compat.h"

#include "serve/serving.h"

/* A rating of an item that the model knows. */
typedef struct FmOwnRating
{
	int32 item;
	float rating; /* less fm_version_center; in a classification 1 (yes) or 0 (no) */
	float weight; /* 0: unknown, as of all in a basket */
} FmOwnRating;

/* Return a rating as an FmOwnRating has it. The definition is that of the ratings. */
extern float fm_own_rating_value(const FmDefinition *definition, const FmVersion *version,
								 double rating);

/* Whether the model has a ratings relation: an attached model may have none. */
static inline bool
fm_knows_seen(const FmServing *serving)
{
	return OidIsValid(serving->model.definition.ratings);
}

/*
 * Check that the ratings relation still exists, with user and item columns whose types match those
 * that the model was made for; an error otherwise.
 */
extern void fm_check_ratings(const FmServing *serving);

/* Add to a set the items that the ratings relation now holds for the user. */
extern void fm_add_seen_items(const FmServing *serving, Datum user_id, uint64 *set);

/*
 * Return the ratings that the relation now holds for the user, without those that a training would
 * skip. None if the relation no longer is as the model was trained from it.
 */
extern FmOwnRating *fm_own_ratings(const FmServing *serving, Datum user_id, int64 *count);

#endif
