/*
 * Which lists of a table are known to be right still, from how they were written.
 */
#ifndef FMTOPX_TARGET_PROOF_H
#define FMTOPX_TARGET_PROOF_H

#include "pg/compat.h"

#include "batch/receiver.h"
#include "pg/plain_scan.h"
#include "registry/registry_targets.h"
#include "pg/steps.h"

typedef struct FmProof
{
	bool exclude_seen;
	bool checks; /* the ratings can be asked for `seen` */
	bool known;	 /* `old` is of what stands in the table */
	FmListsProof old;
	FmListsProof now; /* without made_from: what is written cannot be proved later */
	FmSeenCheck seen;
} FmProof;

/*
 * Before anything is read. Of an existing table, which is locked, this finds out what was noted
 * when it was last written, if that was from the same version and by the same rules; of one that
 * is to be created (InvalidOid), nothing.
 */
extern void fm_proof_open(FmProof *proof, Oid schema, const FmServing *serving, Oid target, int32 x,
						  bool exclude_seen);

/* Whether a row of the table, by its xmin, is as the last writing left it. */
static inline bool
fm_proof_row_stands(const FmProof *proof, TransactionId xmin)
{
	return proof->known && (xmin == (TransactionId) proof->old.written_by ||
							fm_xmin_is_before(xmin, (TransactionId) proof->old.before));
}

/* What is to be asked of the batch; NULL: nothing. */
static inline FmSeenCheck *
fm_proof_check(FmProof *proof)
{
	return proof->checks ? &proof->seen : NULL;
}

/*
 * Whether a user's vector and what he has rated are the same as at the last writing. Asked when
 * the ratings have been read.
 */
extern bool fm_proof_user_stands(const FmProof *proof, const FmBatchUser *user);

/*
 * Do what writes rows to the table, in a subtransaction: so they have an xmin that no others have.
 */
extern void fm_proof_write(FmProof *proof, FmStep write, void *state);

/* By what rules a table that has just been created holds its lists. While serving. */
extern void fm_proof_describe(FmProof *proof, const FmServing *serving, Oid target, int32 x);

/* Note how the table, which is registered as a target, has been written. With SPI connected. */
extern void fm_proof_save(const FmProof *proof, Oid schema, const char *model, Oid target);

#endif
