/*
 * A version of a model as one flat piece of memory without pointers, which may stand in shared memory.
 */
#ifndef FMTOPX_IMAGE_H
#define FMTOPX_IMAGE_H

#include "pg/compat.h"

#include "core/model/prior.h"
#include "core/scan/scan_matrix.h"
#include "pg/id_map.h"
#include "registry/model.h"

/*
 * Goes up with whatever stands in shared memory in another way: this struct and what it points to, FmScanMatrix
 * (core/scan/scan_matrix.h), the directory (shared_cache.c).
 */
#define FM_IMAGE_LAYOUT 3

/* Offsets are from the start of this struct, and multiples of 64. */
typedef struct FmImage
{
	Size size; /* of the whole, in bytes */
	int32 version;
	int32 num_factors;
	int32 num_items;
	double b;
	float rating_min;
	float rating_max;
	double rating_mean;
	bool is_classification; /* scores are probits of a yes; rating_min is no, rating_max yes */
	bool is_ranking;		/* scores are what ials makes of 1 and 0 */
	double score_variance;	/* see fm_probability in core/train/solver.h */

	double noise_variance;	  /* of a rating around its score, for folding in */
	double unobserved_weight; /* of a ranking: that of any pair */

	Oid user_type; /* of the ids when the image was made */
	Oid item_type;
	bool integer_ids;
	bool byval_ids;

	/* num_items × 8 bytes: integer ids, ascending; else Datums, or offsets of the values. */
	Size ids;
	/*
	 * For integers: bucket (id - the first id) >> shift begins at the idx buckets[bucket], an int32 each and one for
	 * the end. There are at most about twice as many as items; where ids are dense, each holds one.
	 */
	Size buckets;
	int64 num_buckets;
	int shift;
	Size values; /* of ids by reference, each maximally aligned */
	/* An FmPrior of users: the floats of the mean, then those of the root; of a ranking, then those of its gram. */
	Size user_prior;
	Size matrix; /* an FmScanMatrix, by idx */
} FmImage;

/* To be had 64-byte aligned. */
typedef void *(*FmImageAlloc)(void *ctx, Size size);

/*
 * Read the model's active version into memory from `alloc`, which is called once. Must run as the model's
 * owner, with SPI connected.
 */
extern FmImage *fm_image_read(const FmModel *model, const FmIdType *user_type,
							  const FmIdType *item_type, bool read_only, FmImageAlloc alloc,
							  void *ctx);

/* An item's id, within the image where it is by reference, as the source types it. */
extern Datum fm_image_item_id(const FmImage *image, const FmIdType *item_type, int32 item);

static inline const void *
fm_image_at(const FmImage *image, Size offset)
{
	return (const char *) image + offset;
}

static inline int64
fm_image_integer_id(const FmImage *image, int32 item)
{
	return ((const int64 *) fm_image_at(image, image->ids))[item];
}

/* The idx of an integer id, or -1. */
static inline int32
fm_image_find_integer(const FmImage *image, int64 id)
{
	const int64 *ids = fm_image_at(image, image->ids);
	const int32 *buckets = fm_image_at(image, image->buckets);
	/* an id below the first wraps around to a bucket that there is not */
	uint64 bucket = ((uint64) id - (uint64) ids[0]) >> image->shift;
	int32 low;
	int32 high;

	if (id < ids[0] || bucket >= (uint64) image->num_buckets)
		return -1;
	low = buckets[bucket];
	high = buckets[bucket + 1];
	if (image->shift == 0) /* a bucket is one id: there is nothing to compare */
		return low < high ? low : -1;
	while (low < high)
	{
		int32 middle = low + (high - low) / 2;

		if (ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < image->num_items && ids[low] == id ? low : -1;
}

#endif
