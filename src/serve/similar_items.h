/*
 * What makes items similar.
 */
#ifndef FMTOPX_SIMILAR_ITEMS_H
#define FMTOPX_SIMILAR_ITEMS_H

#include "pg/compat.h"

#include "cache/loaded.h"
#include "core/scan/similar.h"

/*
 * Return the factors that say how items are alike: who chooses them, if there is an interest head,
 * whatever else orders lists.
 */
extern FmFactorRange fm_compared_factors(const FmLoaded *loaded);

#endif
