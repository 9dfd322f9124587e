/*
 * An image: a version of a model in one piece of memory without pointers, so that it can be in
 * shared memory.
 */
#ifndef FMTOPX_IMAGE_H
#define FMTOPX_IMAGE_H

#include "pg/compat.h"

#include "core/scan/scan_matrix.h"
#include "pg/id_map.h"
#include "registry/model.h"
#include "store/version.h"

/*
 * The layout of what is in shared memory: this struct and what it points to, FmVersion
 * (store/version.h), FmScanMatrix (core/scan/scan_matrix.h), and the directory (shared_cache.c).
 * Increment it with every change of these.
 */
#define FM_IMAGE_LAYOUT 10

/* Offsets count from the start of this struct, and are multiples of 64. */
typedef struct FmImage
{
	Size size; /* of the whole image, in bytes */
	FmVersion version;

	/* the type of the ids when the image was made */
	Oid user_type;
	Oid item_type;
	bool integer_ids;
	bool byval_ids;

	/*
	 * The ids by idx, 8 bytes each: integers, in ascending order; or Datums; or, for types passed
	 * by reference, offsets of their values.
	 */
	Size ids;
	/*
	 * For integer ids, an index. Bucket (id - the first id) >> shift begins at the idx
	 * buckets[bucket], an int32; one more entry marks the end. There are at most about twice as
	 * many buckets as items. Where ids are dense, each bucket holds one.
	 */
	Size buckets;
	int64 num_buckets;
	int shift;
	Size values; /* of ids passed by reference, each maximally aligned */

	/*
	 * Arrays of floats: FmPrior of the users, of each head; and, of a ranking or an interest head,
	 * FmAllPairs of the items: gram, and root, of doubles.
	 */
	Size user_mean;
	Size user_root;
	Size interest_mean;
	Size interest_root;
	Size item_gram;
	Size item_root;
	Size matrix; /* an FmScanMatrix, by idx: core/model/list_vector.h */
} FmImage;

/* Returns memory that is aligned to 64 bytes. */
typedef void *(*FmImageAlloc)(void *ctx, Size size);

/*
 * Read the version that *model points at into memory from `alloc`, which is called once. Must run
 * as the model's owner, with SPI connected. A version that is incomplete or damaged is an error.
 */
extern FmImage *fm_image_read(const FmModel *model, const FmIdType *user_type,
							  const FmIdType *item_type, bool read_only, FmImageAlloc alloc,
							  void *ctx);

/* Return an item's id, as the source types it. One passed by reference points into the image. */
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

/* Return the idx of an integer id, or -1. */
static inline int32
fm_image_find_integer(const FmImage *image, int64 id)
{
	const int64 *ids = fm_image_at(image, image->ids);
	const int32 *buckets = fm_image_at(image, image->buckets);
	/* an id below the first wraps around to a bucket that does not exist */
	uint64 bucket = ((uint64) id - (uint64) ids[0]) >> image->shift;
	int32 low;
	int32 high;

	if (id < ids[0] || bucket >= (uint64) image->num_buckets)
		return -1;
	low = buckets[bucket];
	high = buckets[bucket + 1];
	if (image->shift == 0) /* a bucket holds one id: no need to compare */
		return low < high ? low : -1;
	while (low < high)
	{
		int32 middle = low + (high - low) / 2;

		if (ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < image->version.num_items && ids[low] == id ? low : -1;
}

#endif
