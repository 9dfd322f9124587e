/*
 * The items that every user has rated, for batches.
 */
#ifndef FMTOPX_SEEN_ALL_H
#define FMTOPX_SEEN_ALL_H

#include "pg/compat.h"

#include "batch/pairs.h"
#include "serve/serving.h"

/*
 * A stream of seen items, user by user in ascending order of idx. It reads the ratings relation
 * once, and keeps at most maintenance_work_mem of it in memory.
 */
typedef struct FmSeenStream FmSeenStream;

extern FmSeenStream *fm_seen_open(const FmServing *serving);

/* Add a user's items to a set. The idx must not be less than that of the call before. */
extern void fm_seen_add_next(FmSeenStream *stream, int32 user_idx, uint64 *set);

/* Do the same for `count` users from idx `first` on. Their sets have set_words words each. */
extern void fm_seen_add_users(FmSeenStream *stream, int32 first, int32 count, uint64 *sets,
							  Size set_words);
extern void fm_seen_close(FmSeenStream *stream);

/* Create empty pairs for so many users; return NULL if there is no memory for them. */
typedef FmPairs *(*FmPairsMaker)(void *state, int32 num_users, MemoryContext context);

/* Read all pairs of the ratings relation by SQL. Return NULL if they do not fit into memory. */
extern FmPairs *fm_seen_read(const FmServing *serving, MemoryContext context, FmPairsMaker make,
							 void *make_state);

/* Return the stream of complete pairs. Closing it does not free them. */
extern FmSeenStream *fm_seen_of_pairs(FmPairs *pairs);

#endif
