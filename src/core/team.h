/*
 * A team: several processes (or threads) that run the same solver routine over the same shared
 * arrays.
 *
 * Members allocate shared arrays in the same order, and so get the same ones. Loops over entities
 * are handed out in chunks, and a barrier ends each loop. Every member computes cheap things for
 * itself, from shared arrays that nobody writes at the time, which saves a barrier. Member 0 leads:
 * it alone initialises shared arrays, factors small matrices (low_rank.c), reports progress and has
 * a result. No sum depends on which member did what, so the result has the same bits for any number
 * of members.
 */
#ifndef FMTOPX_CORE_TEAM_H
#define FMTOPX_CORE_TEAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/host.h"

/*
 * A member's view of its team: FmHost.team, NULL for a process that works alone. The callbacks may
 * leave by a non-local exit, as a host's may.
 */
struct FmTeam
{
	void *ctx;
	int member;

	/* Return count × size bytes, zeroed, aligned to FM_ALIGNMENT; freed with the team. */
	void *(*alloc_shared)(void *ctx, size_t count, size_t size);

	/* Wait for all members. */
	void (*barrier)(void *ctx);

	/* Add to a counter of the team and return its previous value. Counters are 0 at first. */
	int64_t (*claim)(void *ctx, int counter, int64_t amount);
	void (*reset)(void *ctx, int counter);

	int64_t loops; /* this member's fm_team_for calls so far */
};

#define FM_TEAM_COUNTERS 3

extern bool fm_team_leads(const FmHost *host);
extern void *fm_team_alloc(const FmHost *host, size_t count, size_t size);
extern void fm_team_release(const FmHost *host, void *pointer);
extern void fm_team_barrier(const FmHost *host);

/*
 * Call body over [0, count) in ranges, each index in one member's range; return when all are done.
 * Ranges begin at multiples of `chunk`.
 */
typedef void (*FmTeamBody)(void *state, int32_t begin, int32_t end);

extern void fm_team_for(const FmHost *host, int32_t count, int32_t chunk, FmTeamBody body,
						void *state);

/*
 * Do the same for sums: [0, count) is cut into `slices` slices, whatever the team. Adding the sums
 * of the slices in their order gives the same bits for any number of members.
 */
typedef void (*FmTeamSliceBody)(void *state, int32_t slice, int32_t begin, int32_t end);

extern void fm_team_slices(const FmHost *host, int32_t count, int32_t slices, FmTeamSliceBody body,
						   void *state);

#endif
