/*
 * Several processes (or threads) working as one: every member runs the same solver routine over the same
 * shared arrays.
 *
 * Members allocate shared arrays in the same order and so get the same ones. Loops over entities are
 * handed out in chunks; a barrier ends each. What is cheap every member computes for itself, from shared
 * arrays that nobody writes at the time, so that all know it without another barrier. Member 0 leads:
 * it alone initialises shared arrays, factors small matrices (low_rank.c), reports progress and has a
 * result. No sum depends on who did what, so the result has the same bits for any number of members.
 */
#ifndef FMTOPX_CORE_TEAM_H
#define FMTOPX_CORE_TEAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/host.h"

/* What holds a team together; FmHost.team, NULL for one that works alone. May not return, as a host's. */
struct FmTeam
{
	void *ctx;
	int member;

	/* count × size bytes, zeroed, aligned to 64; freed with the team. */
	void *(*alloc_shared)(void *ctx, size_t count, size_t size);

	/* Wait for all members. */
	void (*barrier)(void *ctx);

	/* Add to a counter of the team and return what it was. The counters are 0 to begin with. */
	int64_t (*claim)(void *ctx, int counter, int64_t amount);
	void (*reset)(void *ctx, int counter);

	int64_t loops; /* fm_team_for calls so far: the member's own */
};

#define FM_TEAM_COUNTERS 3

extern bool fm_team_leads(const FmHost *host);
extern void *fm_team_alloc(const FmHost *host, size_t count, size_t size);
extern void fm_team_release(const FmHost *host, void *pointer);
extern void fm_team_barrier(const FmHost *host);

/*
 * Call body over [0, count) in ranges, each index in one member's range; returns when all are done. The
 * ranges begin at multiples of `chunk`.
 */
typedef void (*FmTeamBody)(void *state, int32_t begin, int32_t end);

extern void fm_team_for(const FmHost *host, int32_t count, int32_t chunk, FmTeamBody body,
						void *state);

/*
 * The same for sums: [0, count) is cut into `slices` whatever the team, so that who adds up the slices'
 * sums in their order has the same bits for any number of members.
 */
typedef void (*FmTeamSliceBody)(void *state, int32_t slice, int32_t begin, int32_t end);

extern void fm_team_slices(const FmHost *host, int32_t count, int32_t slices, FmTeamSliceBody body,
						   void *state);

#endif
