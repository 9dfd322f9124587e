/*
 * Which lists of a table are still right: known without computing them (the proof is in
 * target_proof.c).
 */
#ifndef FMTOPX_TARGET_PROOF_H
#define FMTOPX_TARGET_PROOF_H

#include "pg/compat.h"

#include "batch/lists.h"
#include "batch/receiver.h"
#include "core/host.h"
#include "pg/plain_scan.h"
#include "registry/registry_targets.h"
#include "pg/steps.h"

typedef struct FmProof
{
	FmTargetKind kind;
	bool exclude_seen;
	bool checks;	  /* the batch can answer `seen` */
	bool known;		  /* `old` is valid */
	FmListsProof old; /* what the last writing recorded */
	FmListsProof now; /* for the next one; made_from is empty if nothing can be proved then */
	FmSeenCheck seen; /* the question to the batch */

	/* the items that may be in lists now */
	const FmLoaded *loaded;
	double novelty;
	uint64 *items;	  /* the set; NULL: all */
	int32 *new_items; /* those that were not allowed at the last writing */
	int32 num_new_items;
	float *query; /* of one user */
	const FmHost *host;
} FmProof;

/*
 * Begin, before anything else is read. The table must be locked; find what its last writing
 * recorded, if that was from the same version and by the same rules. InvalidOid stands for a table
 * to be created.
 */
extern void fm_proof_open(FmProof *proof, Oid schema, const FmServing *serving, Oid target,
						  const FmListRules *rules);

/* Return whether a row of the table with this xmin is as the last writing left it. */
static inline bool
fm_proof_row_stands(const FmProof *proof, TransactionId xmin)
{
	return proof->known && (xmin == (TransactionId) proof->old.written_by ||
							fm_xmin_is_before(xmin, (TransactionId) proof->old.before));
}

/* Return the question for the batch, or NULL. */
static inline FmSeenCheck *
fm_proof_check(FmProof *proof)
{
	return proof->checks ? &proof->seen : NULL;
}

/*
 * Return whether all that the list of a user or an item depends on is the same as at the last
 * writing. Only after the batch has read the ratings.
 */
extern bool fm_proof_owner_stands(const FmProof *proof, const FmBatchUser *user);

/*
 * Return whether all items of a list of the last writing may still be in it, and none has
 * come that belongs there. `length` is that of a complete list.
 */
extern bool fm_proof_items_stand(const FmProof *proof, const FmBatchUser *owner,
								 const FmListItem *list, int32 length);

/* Write rows to the table, in a subtransaction, so that no other rows have their xmin. */
extern void fm_proof_write(FmProof *proof, FmStep write, void *state);

/* Record in `now` how the lists of a table that has just been created are made. While serving. */
extern void fm_proof_describe(FmProof *proof, const FmServing *serving, Oid target,
							  const FmListRules *rules);

/* Store `now` for the table, which must be registered. Needs SPI connected. */
extern void fm_proof_save(const FmProof *proof, Oid schema, const char *model, Oid target);

#endif
