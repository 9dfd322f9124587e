/*
 * What serving needs to know about a version besides its parameters.
 */
#ifndef FMTOPX_DESCRIBE_H
#define FMTOPX_DESCRIBE_H

#include "core/model/metrics.h"
#include "registry/definition.h"
#include "store/result.h"

/*
 * Set the noise, the priors, the unit of novelty and, of a ranking, the weight and the gram of all
 * pairs, from the ratings trained on and the parameters. `errors` are those of the ratings trained
 * on; only a regression has any. The range of the ratings must have been set. Arrays come from the
 * host.
 */
extern void fm_describe_sides(const FmDefinition *definition, const FmRatings *ratings,
							  const FmParameters *parameters, const FmErrorSums *errors,
							  const FmHost *host, FmResult *result);

/*
 * Set the same of a ranking, without the priors, from parameters with the weight of all pairs.
 */
extern void fm_describe_ranking(const FmRatings *ratings, const FmParameters *parameters,
								const FmHost *host, FmResult *result);

/* Set the popularity of the items: log((n_i + n̄) / 2n̄), with n̄ the mean over rated items. */
extern void fm_describe_popularity(const FmRatings *ratings, const FmHost *host, FmResult *result);

/*
 * Set the same of the interest head, and what the rating weighs beside it. After fm_describe_sides.
 */
extern void fm_describe_interest(const FmRatings *pairs, const FmParameters *interest,
								 const FmHost *host, FmResult *result);

#endif
