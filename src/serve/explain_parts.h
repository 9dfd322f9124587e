/*
 * The parts of a user's or item's w and v, feature by feature.
 */
#ifndef FMTOPX_EXPLAIN_PARTS_H
#define FMTOPX_EXPLAIN_PARTS_H

#include "serve/serving.h"

/* The heads of a version. */
typedef enum FmHead
{
	FM_RATING_HEAD, /* in a ranking, the only one */
	FM_INTEREST_HEAD
} FmHead;

/* What one feature column contributes, or the rest, which is the entity's own. */
typedef struct FmPart
{
	char *name; /* "user.age"; "user" for its own part */
	double w;
	double *v; /* as many as the head has factors */
} FmPart;

/* Return the number of factors of a head. */
extern int fm_head_factors(const FmLoaded *loaded, FmHead head);

/*
 * Split w and v in one head of one user or item (side FM_USERS or FM_ITEMS) into parts:
 * first the entity's own, then one for each feature column that now has a value for it. The parts
 * always sum to w and v, even if the feature relation has changed since the training. Without
 * features, or without an id, there is only the own part. Requires SPI, as the model's owner.
 * Memory: the current context.
 */
extern FmPart *fm_entity_parts(const FmServing *serving, FmHead head, int side, bool has_id,
							   Datum id, double w, const float *v, int *num_parts);

#endif
