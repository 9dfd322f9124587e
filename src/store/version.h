/*
 * A version of a model, as its row in the version table describes it.
 *
 * The row has one more use: the columns stamp and activation tell those who have a model's tables
 * but not the registry which version is served (registry/pointer.h).
 */
#ifndef FMTOPX_VERSION_H
#define FMTOPX_VERSION_H

#include <math.h>

#include "core/model/list_vector.h"
#include "core/model/parameters.h"
#include "core/model/prior.h"
#include "core/model/strength.h"
#include "registry/model.h"
#include "source/ratings_columns.h"

/*
 * The numbers of the row. There are no pointers here, because this is part of an image in shared
 * memory.
 */
typedef struct FmVersion
{
	int32 number;
	FmTask task;
	int32 num_factors;
	double b;
	float rating_min;	   /* of a classification: the label that means no */
	float rating_max;	   /* of a classification: the label that means yes */
	double rating_mean;	   /* exactly the center, if there is one: fm_version_center */
	double score_variance; /* of a classification: see fm_probability */
	int32 num_users;
	int32 num_items;
	double noise_variance;	  /* of a rating around its score */
	double unobserved_weight; /* of a ranking or an interest head: the weight of every pair */

	/* the interest head, and what else orders lists: core/model/list_vector.h */
	int32 interest_factors; /* 0: there is no interest head */
	double interest_b;
	double interest_noise_variance;
	double rating_share;
	double mean_item_count; /* n̄ of the popularities: pairs of a rated item in the training */
	double novelty_unit;
	double novelty; /* of lists, unless a call says otherwise */
	bool has_popularity;
	FmStrength strength; /* of the pairs of a ranking or an interest head */

	/* how the rows of one pair, and weights, count: core/data/repeats.h, core/data/ratings.h */
	double repeat_correlation;
	double weight_unit;
} FmVersion;

/* Return the form of the vectors that order lists. */
static inline FmListShape
fm_version_list_shape(const FmVersion *version)
{
	return (FmListShape){version->num_factors, version->interest_factors, version->has_popularity,
						 version->rating_share, version->novelty_unit};
}

/* Return the most that a weight may be in units. */
static inline double
fm_most_weight(FmTask task)
{
	return task == FM_TASK_RANKING ? INFINITY : FM_MOST_WEIGHT;
}

/* Return what was subtracted from the ratings of the training, and is to be from others. */
static inline double
fm_version_center(const FmVersion *version)
{
	return fm_rating_center(version->task, version->rating_min, version->rating_max,
							version->rating_mean);
}

/*
 * Return a rating that somebody may have meant: what is farther outside the range of the training's
 * ratings than that is wide becomes the farthest that is not. A ranking's are returned as they are.
 */
static inline double
fm_plausible_rating(const FmVersion *version, double rating)
{
	double min = nextafterf(version->rating_min, -INFINITY); /* the range has been rounded */
	double max = nextafterf(version->rating_max, INFINITY);

	if (version->task == FM_TASK_RANKING)
		return rating;
	return Max(min - (max - min), Min(max + (max - min), rating));
}

/* The arrays of the row, which folding in needs. */
typedef struct FmVersionArrays
{
	FmPrior user_prior;
	FmPrior item_prior;
	FmPrior interest_user_prior; /* of the interest head, as the next; else NULL */
	FmPrior interest_item_prior;
	float
		*item_gram; /* of a ranking or an interest head: FmAllPairs.gram of the items; else NULL */
} FmVersionArrays;

/* Return the columns of the version table as CREATE TABLE lists them. */
extern char *fm_version_column_definitions(void);

/*
 * Read the row of the version that *model points at, as the current user, with arrays in the
 * current context. The owner of the table may have changed it, so all types, lengths and ranges are
 * checked. SPI must be connected, here and below.
 */
extern void fm_version_read(const FmModel *model, bool read_only, FmVersion *version,
							FmVersionArrays *arrays);

/*
 * Add to the version table of an earlier layout the columns that it lacks, as the current user.
 */
extern void fm_version_add_columns(const FmModel *model);

/*
 * Insert a row, as the current user. The version becomes the one that was activated last. The
 * caller has locked the model's pointer.
 */
extern void fm_version_insert(const FmModel *model, const FmVersion *version,
							  const FmVersionArrays *arrays, int64 stamp);

/* Activate another version, under a new stamp. The caller has locked the model's pointer. */
extern void fm_version_activate(const FmModel *model, int32 number, int64 stamp);

/* Return whether the version table has a version of this number. */
extern bool fm_version_exists(const FmModel *model, int32 number);

#endif
