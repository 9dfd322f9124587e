/*
 * What every user has rated, for batches: the ways to read it. Others see the stream in serving.h.
 */
#ifndef FMTOPX_SEEN_ALL_H
#define FMTOPX_SEEN_ALL_H

#include "pg/compat.h"

#include "batch/pairs.h"
#include "serve/serving.h"

/* Memory for the pairs of so many users; NULL if there is none. */
typedef FmPairs *(*FmPairsMaker)(void *state, int32 num_users, MemoryContext context);

/* Read all pairs of the ratings relation by SQL; NULL when they do not fit into memory. */
extern FmPairs *fm_seen_read(const FmServing *serving, MemoryContext context, FmPairsMaker make,
							 void *make_state);

/* The stream of pairs that are all there; closing it leaves them alone. */
extern FmSeenStream *fm_seen_of_pairs(FmPairs *pairs);

/* Every user in the order of idx: idx and id. */
extern void fm_seen_read_users(const FmServing *serving, FmRowCallback callback, void *state);

/* The error that the users' idx do not run from 0. */
pg_noreturn extern void fm_seen_damaged(const FmServing *serving);

#endif
