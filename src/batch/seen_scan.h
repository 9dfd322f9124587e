/*
 * The items that every user has rated, for batches: a scan of the ratings by several processes at
 * once.
 *
 * The leader checks that the scan is possible, reads the users' ids, and initialises an FmSeenScan
 * in shared memory. Then all members run it and fill pairs (pairs.h). When all have finished, the
 * leader may ask for the answers to an FmSeenCheck.
 */
#ifndef FMTOPX_SEEN_SCAN_H
#define FMTOPX_SEEN_SCAN_H

#include "pg/compat.h"

#include "access/tableam.h"
#include "batch/pairs.h"
#include "batch/receiver.h"
#include "serve/serving.h"

/*
 * What the members share: this, and behind it four arrays at the given distances from it.
 *
 * A user's idx is found by their id in the array `places`, either directly at id - least, or in a
 * hash table with open addressing.
 */
typedef struct FmSeenScan
{
	Oid ratings;
	AttrNumber user_column;
	AttrNumber item_column;
	int32 num_users;
	int64 least;  /* the least id of a user */
	uint64 range; /* the greatest id minus the least */
	uint64 mask;  /* number of places of the hash table - 1; 0: no hash table */
	Size ids;	  /* int64 by idx */
	Size places;  /* int32: an idx, or -1 */

	/* what answers an FmSeenCheck, if there is one */
	bool checks;
	TransactionId old_before;
	TransactionId new_before;
	pg_atomic_uint64 old_rows;
	pg_atomic_uint64 new_rows;
	Size changed; /* bool by idx */
	Size recent;  /* bool by idx */
} FmSeenScan;

/*
 * Return whether the scan is possible: ids are integers, and the ratings are a table or
 * materialized view of which a query would return exactly the rows it stores
 * (fm_plain_scan_possible).
 */
extern bool fm_seen_scan_possible(const FmServing *serving);

/* Return the ids of all users, by idx; NULL if that takes more than maintenance_work_mem. */
extern int64 *fm_seen_scan_users(const FmServing *serving, MemoryContext context, int32 *num_users);

/*
 * Return an upper limit to the memory for pairs: what all rows can need, at most
 * maintenance_work_mem.
 */
extern Size fm_seen_scan_room(Relation ratings);

extern Size fm_seen_scan_size(const int64 *ids, int32 num_users);
extern void fm_seen_scan_init(FmSeenScan *scan, const FmServing *serving, const int64 *ids,
							  int32 num_users, const FmSeenCheck *check);

/* Answer the check, when all rows have been read. The answers refer to the scan. */
extern void fm_seen_scan_answer(FmSeenScan *scan, FmSeenCheck *check);

/* Do a member's part: read pages that no other member has read, until none is left. */
extern void fm_seen_scan_run(FmSeenScan *scan, ParallelTableScanDesc shared_scan,
							 const FmImage *image, FmPairs *pairs);

#endif
