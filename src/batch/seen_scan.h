/*
 * What every user has rated, for batches: the ratings relation read by several processes at once.
 */
#ifndef FMTOPX_SEEN_SCAN_H
#define FMTOPX_SEEN_SCAN_H

#include "pg/compat.h"

#include "access/tableam.h"
#include "batch/pairs.h"
#include "batch/receiver.h"
#include "serve/serving.h"

/* What each process has to know; in shared memory, followed by the users' ids. */
typedef struct FmSeenScan
{
	Oid ratings;
	AttrNumber user_column;
	AttrNumber item_column;
	int32 num_users;
	int64 least;  /* id of a user */
	uint64 range; /* from there to the greatest one */
	uint64 mask;  /* of the hash table; 0: idx are found at id - least */
	Size ids;	  /* where arrays are from here: an int64 a user, by idx */
	Size places;  /* an int32 a place: an idx, or -1 */

	bool checks; /* the rest is in use: see FmSeenCheck */
	TransactionId old_before;
	TransactionId new_before;
	pg_atomic_uint64 old_rows;
	pg_atomic_uint64 new_rows;
	Size changed; /* a bool a user; so for the next */
	Size recent;
} FmSeenScan;

/*
 * Whether several processes may read the model's ratings: a plain table that holds all rows
 * itself, that its reader may read all of, and with integer ids.
 */
extern bool fm_seen_scan_possible(const FmServing *serving);

/* The ids of all users by idx; NULL if that needs more than maintenance_work_mem. */
extern int64 *fm_seen_scan_users(const FmServing *serving, MemoryContext context, int32 *num_users);

/* The most bytes that the relation's pairs may take. */
extern Size fm_seen_scan_room(Relation ratings);

extern Size fm_seen_scan_size(const int64 *ids, int32 num_users);
extern void fm_seen_scan_init(FmSeenScan *scan, const FmServing *serving, const int64 *ids,
							  int32 num_users, const FmSeenCheck *check);

/* Once all rows have been read, what they say. The scan stays. */
extern void fm_seen_scan_answer(FmSeenScan *scan, FmSeenCheck *check);

/* A process's part of the work: read rows that nobody else has read, until there are none. */
extern void fm_seen_scan_run(FmSeenScan *scan, ParallelTableScanDesc shared_scan,
							 const FmImage *image, FmPairs *pairs);

#endif
