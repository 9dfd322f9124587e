/*
 * The registry's targets, written: the tables of lists. The rules of registry_models.h hold.
 */
#ifndef FMTOPX_REGISTRY_TARGETS_H
#define FMTOPX_REGISTRY_TARGETS_H

#include "pg/compat.h"

typedef struct FmTarget
{
	Oid table; /* may have been dropped since */
	int32 x;
	bool exclude_seen;
} FmTarget;

/* Remember, or forget, that a table holds a model's lists, and no other model's. */
extern void fm_registry_save_target(Oid schema, const char *model, Oid target, int32 x,
									bool exclude_seen);
extern void fm_registry_delete_target(Oid schema, const char *model, Oid target);

/* The model that keeps a table fresh, in the current context, or NULL. */
extern char *fm_registry_target_model(Oid schema, Oid target);

/* The targets of a model, in the order of their OIDs; in the given context. */
extern FmTarget *fm_registry_targets(Oid schema, const char *model, MemoryContext context,
									 int *num_targets);

/* How the lists of a target were last written: target_proof.c. */
typedef struct FmListsProof
{
	char made_from[192]; /* from what, and by what rules; empty: unknown */
	int64 before;		 /* xids counted from the first ever */
	int64 written_by;
	int64 seen_rows; /* of the ratings, which are older than `before` */
	int32 *recent;	 /* idx of users with others, in order */
	int32 num_recent;
} FmListsProof;

extern void fm_registry_save_proof(Oid schema, const char *model, Oid target,
								   const FmListsProof *proof);

/* False if there is none. With `recent` in the given context. */
extern bool fm_registry_find_proof(Oid schema, const char *model, Oid target, MemoryContext context,
								   FmListsProof *proof);

#endif
