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
#include "core/layout.h"
#include "registry/progress.h"
#include "utils/memutils.h"

FmListFilter
fm_list_filter_read(const FmServing *serving, Oid users, Oid items, Jsonb *context)
{
	FmListFilter filter = {.context = fm_read_context(serving, context)};

	if (OidIsValid(users))
		filter.users = fm_read_user_filter(serving, users);
	if (OidIsValid(items))
		filter.items = fm_read_item_filter(serving, items);
	return filter;
}

/* Return what this process scans with. The part is in local memory. */
static FmScanSource
local_source(const FmBatch *batch)
{
	MemoryContext context = CurrentMemoryContext;
	char *memory = MemoryContextAllocHuge(context, batch->part_size + FM_ALIGNMENT);
	FmScanSource source = {.loaded = batch->serving->loaded,
						   .part = fm_batch_part(batch, fm_align_pointer(memory)),
						   .seen = batch->rules.exclude_seen ? fm_seen_open(batch->serving) : NULL,
						   .num_users = batch->num_users};

	if (batch->rules.filter != NULL)
		source.context = batch->rules.filter->context;
	return source;
}

/* Compute all lists in this process, one block after the other. */
static bool
batch_alone(const FmBatch *batch)
{
	const FmListReceiver *receiver = batch->receiver;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext per_user = AllocSetContextCreate(context, "fmtopx list of one user",
												   ALLOCSET_DEFAULT_SIZES);
	FmBlockShape shape = fm_batch_shape(batch);
	FmBlock block = fm_block_at(&shape, MemoryContextAllocHuge(context, fm_block_size(&shape)));
	FmScanSource source;
	FmBlockUsers *users;
	FmBlockScanner *scanner;
	FmManyRatings *ratings;
	FmUserWalk *walk;

	if (!fm_receiver_begin(receiver))
		return false;
	source = local_source(batch);
	users = fm_block_users_create(&source, &shape, context);
	scanner = fm_scanner_create(&shape, &source, context);
	ratings = fm_batch_ratings(batch);
	walk = fm_batch_walk(batch, ratings);
	fm_progress_phase(batch->serving->model.name, FM_PHASE_LISTS);
	while (fm_block_fill(&block, &shape, users, walk, receiver))
	{
		fm_scanner_run(scanner, &block);
		fm_block_hand_over(&block, &shape, users, receiver, per_user);
	}
	fm_users_close(walk);
	if (ratings != NULL)
		fm_many_ratings_close(ratings);
	if (source.seen != NULL)
		fm_seen_close(source.seen);
	return true;
}

/* Say what may be in lists, and find out whom they are for. */
static void
apply_filter(FmBatch *batch)
{
	const FmListFilter *filter = batch->rules.filter;
	const FmLoaded *loaded = batch->serving->loaded;

	batch->num_users = loaded->version.num_users;
	batch->num_items = loaded->version.num_items;
	if (filter == NULL)
		return;
	batch->choice = fm_users_choose(batch->serving, filter->users);
	if (filter->users != NULL)
		batch->num_users = fm_idmap_count(filter->users);
	if (filter->items == NULL)
		return;
	batch->num_items = filter->items->count;
	batch->part_size = fm_scan_part_size(loaded->matrix, batch->num_items);
}

bool
fm_batch_top_x(const FmServing *serving, const FmListRules *rules, const FmListReceiver *receiver)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx batch",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	FmBatch batch = {.serving = serving, .rules = *rules, .receiver = receiver};
	int workers;
	bool done;

	if (receiver->check != NULL)
		receiver->check->counted = false;
	batch.rules.exclude_seen = rules->exclude_seen && fm_knows_seen(serving);
	apply_filter(&batch);
	workers = fm_batch_workers(&batch);
	done = (workers > 0 && fm_batch_in_parallel(&batch, workers)) || batch_alone(&batch);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	return done;
}
