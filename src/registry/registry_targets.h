/*
 * Writing the registry's targets, which are the tables of lists. The rules of registry_models.h
 * apply.
 */
#ifndef FMTOPX_REGISTRY_TARGETS_H
#define FMTOPX_REGISTRY_TARGETS_H

#include "pg/compat.h"

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

typedef enum FmTargetKind
{
	FM_TARGET_TOP_X,
	FM_TARGET_SIMILAR_ITEMS
} FmTargetKind;

/* Which lists a table holds. A relation may have been dropped since. */
typedef struct FmTarget
{
	Oid table;
	FmTargetKind kind;
	int32 x;
	bool exclude_seen;
	bool has_novelty; /* else the version's own is used */
	double novelty;
	Oid users;		/* InvalidOid: all users of the model */
	Oid items;		/* InvalidOid: all items of the model */
	Jsonb *context; /* or NULL */
} FmTarget;

/* Register or unregister a table of a model's lists. It can belong to one model only. */
extern void fm_registry_save_target(Oid schema, const char *model, const FmTarget *target);
extern void fm_registry_delete_target(Oid schema, const char *model, Oid target);

/* How a table of lists has just been written. */
typedef struct FmTargetWriting
{
	TimestampTz started_at;
	int32 version;	/* that the lists are from */
	int64 num_rows; /* that the table now holds */
} FmTargetWriting;

/* Record that a registered table has been written, up to now; unless it has been forgotten. */
extern void fm_registry_note_writing(Oid schema, const char *model, Oid target,
									 const FmTargetWriting *writing);

/* Return the name of the model of a table, in the current context, or NULL. */
extern char *fm_registry_target_model(Oid schema, Oid target);

/* Return the targets of a model, in the order of their OIDs, in the given context. */
extern FmTarget *fm_registry_targets(Oid schema, const char *model, MemoryContext context,
									 int *num_targets);

/* How the lists of a target were last written (targets/target_proof.c). */
typedef struct FmListsProof
{
	char made_from[256]; /* the sources and the rules; empty: unknown */
	int64 before;		 /* a full transaction id, as written_by */
	int64 written_by;
	int64 seen_rows; /* how many rows of the ratings are older than `before` */
	int32 *recent;	 /* idx of the users with newer rows, in ascending order */
	int32 num_recent;
	bytea *items; /* the set (core/bitset.h) of those that might be in lists; NULL: all */
} FmListsProof;

extern void fm_registry_save_proof(Oid schema, const char *model, Oid target,
								   const FmListsProof *proof);

/* Return false if there is no proof. `recent` and `items` are in the given context. */
extern bool fm_registry_find_proof(Oid schema, const char *model, Oid target, MemoryContext context,
								   FmListsProof *proof);

#endif
