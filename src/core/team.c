/*
 * Sharing out loops to the members of a team (team.h).
 *
 * The loops take turns with three counters. While a loop uses one of them, the leader resets the
 * next. No member can still be using that one, because all have passed the barrier after its last
 * loop. And no member can be using it already, because to get there they must pass the barrier that
 * the leader has not reached yet.
 *
 * Nothing is owned: memory is the host's or the team's.
 */
#include "core/team.h"

bool
fm_team_leads(const FmHost *host)
{
	return host->team == NULL || host->team->member == 0;
}

void *
fm_team_alloc(const FmHost *host, size_t count, size_t size)
{
	if (host->team == NULL)
		return host->alloc(host->ctx, count, size);
	return host->team->alloc_shared(host->team->ctx, count, size);
}

void
fm_team_release(const FmHost *host, void *pointer)
{
	if (host->team == NULL)
		host->release(host->ctx, pointer);
}

void
fm_team_barrier(const FmHost *host)
{
	if (host->team != NULL)
		host->team->barrier(host->team->ctx);
}

void
fm_team_for(const FmHost *host, int32_t count, int32_t chunk, FmTeamBody body, void *state)
{
	struct FmTeam *team = host->team;
	int counter;
	int64_t begin;

	if (team == NULL)
	{
		body(state, 0, count);
		return;
	}
	counter = (int) (team->loops % FM_TEAM_COUNTERS);
	if (team->member == 0)
		team->reset(team->ctx, (counter + 1) % FM_TEAM_COUNTERS);
	while ((begin = team->claim(team->ctx, counter, chunk)) < count)
		body(state, (int32_t) begin, begin + chunk < count ? (int32_t) begin + chunk : count);
	team->loops++;
	team->barrier(team->ctx);
}

typedef struct SliceLoop
{
	int32_t count;
	int32_t slices;
	FmTeamSliceBody body;
	void *state;
} SliceLoop;

/* FmTeamBody */
static void
run_slices(void *state, int32_t first, int32_t last)
{
	const SliceLoop *loop = state;
	int64_t count = loop->count;

	for (int32_t slice = first; slice < last; slice++)
		loop->body(loop->state, slice, (int32_t) (count * slice / loop->slices),
				   (int32_t) (count * (slice + 1) / loop->slices));
}

void
fm_team_slices(const FmHost *host, int32_t count, int32_t slices, FmTeamSliceBody body, void *state)
{
	SliceLoop loop = {count, slices, body, state};

	fm_team_for(host, slices, 1, run_slices, &loop);
}
