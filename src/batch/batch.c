/*
 * The best x items for every user of a model.
 *
 * Users are read in ascending order of idx and scanned in blocks, without the items that they have
 * seen: either by this process alone, or by this process and parallel workers (batch_team.c).
 * Memory: a few blocks, the seen items (seen_all.c), and one context that is reset after each
 * user's list.
 */
#include "batch/batch.h"

#include "batch/batch_block.h"
#include "batch/batch_team.h"
#include "batch/batch_users.h"
#include "batch/seen_all.h"
#include "registry/progress.h"
#include "serve/seen.h"
#include "utils/memutils.h"

/* Compute all lists in this process, one block after the other. */
static bool
batch_alone(const FmServing *serving, const FmListRules *rules, const FmListReceiver *receiver)
{
	const FmLoaded *loaded = serving->loaded;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext per_user = AllocSetContextCreate(context, "fmtopx list of one user",
												   ALLOCSET_DEFAULT_SIZES);
	FmBlockShape shape = fm_block_shape(loaded, rules);
	FmBlock block = fm_block_at(&shape, MemoryContextAllocHuge(context, fm_block_size(&shape)));
	FmBlockUsers *users = fm_block_users_create(serving, &shape, context);
	FmSeenStream *seen;
	FmBlockScanner *scanner;
	FmUserWalk *walk;

	if (!fm_receiver_begin(receiver))
		return false;
	seen = rules->exclude_seen ? fm_seen_open(serving) : NULL;
	scanner = fm_scanner_create(&shape, loaded->matrix, seen, context);
	walk = fm_users_open(serving, fm_receiver_needs_xmin(receiver));
	fm_progress_phase(serving->model.name, FM_PHASE_LISTS);
	while (fm_block_fill(&block, &shape, users, walk, receiver))
	{
		fm_scanner_run(scanner, &block);
		fm_block_hand_over(&block, &shape, users, receiver, per_user);
	}
	fm_users_close(walk);
	if (seen != NULL)
		fm_seen_close(seen);
	return true;
}

bool
fm_batch_top_x(const FmServing *serving, const FmListRules *asked, const FmListReceiver *receiver)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx batch",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	FmListRules rules = *asked;
	int workers;
	bool done;

	if (receiver->check != NULL)
		receiver->check->counted = false;
	rules.exclude_seen = rules.exclude_seen && fm_knows_seen(serving);
	workers = fm_batch_workers(serving, rules.exclude_seen);
	done = (workers > 0 && fm_batch_in_parallel(serving, workers, &rules, receiver)) ||
		   batch_alone(serving, &rules, receiver);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	return done;
}
