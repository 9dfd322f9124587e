/*
 * The lists of similar items of all items, computed by this process or by it and parallel workers.
 *
 * First the leader finds out for which items there are lists to compute. All that is needed for
 * that is prepared in one piece of memory: the directions of all items (core/scan/directions.h),
 * and room for the lists of one round. In a round all members take shares of the lists, and then
 * the leader hands them over, in the order of the items. Usually one round is enough, since lists
 * may take maintenance_work_mem. Barriers stand between the parts of a round. Workers read nothing
 * of the database.
 */
#include "targets/similar_lists.h"

#include "access/xact.h"
#include "core/layout.h"
#include "core/scan/directions.h"
#include "optimizer/paths.h"
#include "pg/host_pg.h"
#include "pg/parallel.h"
#include "port/atomics.h"
#include "registry/progress.h"
#include "serve/similar_items.h"
#include "utils/memutils.h"

/* The least number of cosines that pays for the start of workers: some tens of milliseconds. */
#define COSINES_PER_WORKER INT64CONST(20000000)

/* Lists that a member takes at a time: as many queries as the scan takes at once. */
#define SHARE 256

/* What the members share: the head of a piece of memory that holds the rest, by offset. */
typedef struct Work
{
	int32 length; /* of lists */
	int32 room;	  /* lists in a round, at most */
	int32 count;  /* lists in this round */
	bool finished;
	bool seeded; /* the receiver gives seeds */
	pg_atomic_uint32 taken;
	Size directions;
	Size numbers; /* room × int32: the numbers of the items in `directions` */
	Size seeds;	  /* room × length × int32 */
	Size hits;	  /* room × length × FmHit */
	Size counts;  /* room × int32 */
} Work;

/* One call of fm_similar_lists, in the leader. */
typedef struct Lists
{
	const FmServing *serving;
	const FmListReceiver *receiver;
	const FmItemFilter *filter; /* NULL: all items */
	int32 num_items;
	const FmHost *host;
	Work *work;
	int32 *wanted; /* the numbers of the items whose lists are to be computed */
	int32 num_wanted;
	int32 next; /* the first of them that is in no round yet */
} Lists;

static void *
place(const Work *work, Size offset)
{
	return (char *) work + offset;
}

/* Fill in the head; return the size of the whole. */
static Size
lay_out(Work *work, const Lists *lists, int num_factors, int32 x)
{
	FmLayout layout = {0};
	Size per_list;
	Size room;

	memset(work, 0, sizeof(Work));
	work->length = Min(x, lists->num_items);
	work->seeded = lists->receiver->seeds != NULL;
	per_list = work->length * (sizeof(int32) + sizeof(FmHit)) + 2 * sizeof(int32);
	room = Max(SHARE, (Size) maintenance_work_mem * 1024 / per_list);
	work->room = (int32) Min(lists->num_wanted, room);
	(void) fm_layout_add(&layout, 1, sizeof(Work));
	work->directions = fm_layout_add(&layout, 1, fm_directions_size(lists->num_items, num_factors));
	work->numbers = fm_layout_add(&layout, work->room, sizeof(int32));
	work->seeds = fm_layout_add(&layout, work->room, work->length * sizeof(int32));
	work->hits = fm_layout_add(&layout, work->room, work->length * sizeof(FmHit));
	work->counts = fm_layout_add(&layout, work->room, sizeof(int32));
	return layout.bytes;
}

/* Compute lists of this round until all are taken. `total`, if positive: report progress. */
static void
compute(Work *work, const FmHost *host, int32 total)
{
	const FmDirections *directions = place(work, work->directions);
	const int32 *numbers = place(work, work->numbers);
	const int32 *seeds = place(work, work->seeds);
	FmHit *hits = place(work, work->hits);
	int32 *counts = place(work, work->counts);

	for (;;)
	{
		uint32 first = pg_atomic_fetch_add_u32(&work->taken, SHARE);
		Size at = (Size) first * work->length;

		if (first >= (uint32) work->count)
			break;
		fm_similar_batch(directions, numbers + first, Min(SHARE, work->count - (int32) first),
						 work->length, work->seeded ? seeds + at : NULL, host, hits + at,
						 counts + first);
		if (total > 0)
			fm_progress_lists(numbers[first], total);
	}
}

/* Return the item with a number as the owner of a list. */
static FmBatchUser
owner_of(const Lists *lists, int32 number)
{
	int32 item = lists->filter != NULL ? lists->filter->items[number] : number;

	return (FmBatchUser){.idx = item, .id = fm_loaded_item_id(lists->serving->loaded, item)};
}

/* Choose the items whose lists are to be computed: the receiver may know that a list is right. */
static void
choose_items(Lists *lists)
{
	const FmListReceiver *receiver = lists->receiver;

	lists->wanted = MemoryContextAllocHuge(CurrentMemoryContext,
										   ((Size) lists->num_items + 1) * sizeof(int32));
	for (int32 number = 0; number < lists->num_items; number++)
	{
		FmBatchUser owner = owner_of(lists, number);

		CHECK_FOR_INTERRUPTS();
		if (receiver->current == NULL || !receiver->current(receiver->state, &owner))
			lists->wanted[lists->num_wanted++] = number;
	}
}

/* Set the seeds of the list at a place in the round. */
static void
fill_seeds(const Lists *lists, int32 at, const FmBatchUser *owner)
{
	const Work *work = lists->work;
	int32 *seeds = (int32 *) place(work, work->seeds) + (Size) at * work->length;
	int32 count = 0;
	const int32 *known = lists->receiver->seeds(lists->receiver->state, owner, &count);

	for (int32 i = 0; i < work->length; i++)
		seeds[i] = i < count ? known[i] : -1;
}

/* Prepare the next round. Return false if no list is left. */
static bool
fill_round(Lists *lists)
{
	Work *work = lists->work;
	int32 *numbers = place(work, work->numbers);

	work->count = Min(work->room, lists->num_wanted - lists->next);
	memcpy(numbers, lists->wanted + lists->next, work->count * sizeof(int32));
	lists->next += work->count;
	for (int32 i = 0; i < work->count && work->seeded; i++)
	{
		FmBatchUser owner = owner_of(lists, numbers[i]);

		fill_seeds(lists, i, &owner);
	}
	pg_atomic_write_u32(&work->taken, 0);
	return work->count > 0;
}

static void
hand_over(const Lists *lists)
{
	const Work *work = lists->work;
	const int32 *numbers = place(work, work->numbers);
	const FmHit *hits = place(work, work->hits);
	const int32 *counts = place(work, work->counts);
	MemoryContext per_list = AllocSetContextCreate(CurrentMemoryContext, "fmtopx list of one item",
												   ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(per_list);

	for (int32 i = 0; i < work->count; i++)
	{
		FmBatchUser owner = owner_of(lists, numbers[i]);

		CHECK_FOR_INTERRUPTS();
		lists->receiver->put(lists->receiver->state, &owner, hits + (Size) i * work->length,
							 counts[i]);
		MemoryContextReset(per_list);
	}
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(per_list);
}

/* Go through all rounds, with the workers of `parallel` or alone (NULL). */
static void
run_rounds(Lists *lists, const FmParallel *parallel)
{
	Work *work = lists->work;

	while (fill_round(lists))
	{
		if (parallel != NULL)
			fm_parallel_barrier(parallel);
		compute(work, lists->host, lists->num_items);
		if (parallel != NULL)
			fm_parallel_barrier(parallel);
		hand_over(lists);
	}
	work->finished = true;
	if (parallel != NULL)
		fm_parallel_barrier(parallel);
}

extern PGDLLEXPORT void fm_similar_worker(dsm_segment *segment, shm_toc *toc);

/* The main function of a worker. */
void
fm_similar_worker(dsm_segment *segment, shm_toc *toc)
{
	FmParallel parallel;
	const FmHost *host = fm_pg_host(CurrentMemoryContext);
	Work *work;

	fm_parallel_attach(&parallel, toc);
	work = (Work *) fm_parallel_address(parallel.segments[0]);
	for (;;)
	{
		fm_parallel_barrier(&parallel);
		if (work->finished)
			break;
		compute(work, host, 0);
		fm_parallel_barrier(&parallel);
	}
	fm_parallel_detach(&parallel);
}

static void
lead(Lists *lists, dsm_segment *segment, int workers)
{
	FmParallelWork work = {.worker = "fm_similar_worker",
						   .workers = workers,
						   .segments = {segment},
						   .together = true};
	FmParallel parallel;
	bool joined;

	fm_parallel_begin(&parallel, &work);
	joined = fm_parallel_launch(&parallel) > 0;
	run_rounds(lists, joined ? &parallel : NULL);
	fm_parallel_end(&parallel);
}

/* Return how many workers to ask for. */
static int
choose_workers(const Lists *lists)
{
	if (!lists->serving->read_only || IsInParallelMode() ||
		(int64) lists->num_wanted * lists->num_items < COSINES_PER_WORKER)
		return 0;
	return max_parallel_maintenance_workers;
}

/* Prepare the memory, and compute and hand over the lists in it. */
static void
compute_lists(Lists *lists, int32 x)
{
	const FmLoaded *loaded = lists->serving->loaded;
	FmFactorRange range = fm_compared_factors(loaded);
	int workers = choose_workers(lists);
	Work head;
	Size size = lay_out(&head, lists, range.count, x);
	dsm_segment *segment = NULL;

	if (workers > 0)
		segment = fm_parallel_segment(size, "computing similar items",
									  "set max_parallel_maintenance_workers to 0");
	lists->work = segment != NULL ? (Work *) fm_parallel_address(segment)
								  : lists->host->alloc(lists->host->ctx, 1, size);
	*lists->work = head;
	pg_atomic_init_u32(&lists->work->taken, 0);
	(void) fm_directions_init(place(lists->work, head.directions), loaded->matrix, range,
							  lists->filter != NULL ? lists->filter->items : NULL, lists->num_items,
							  lists->host);
	if (segment == NULL)
		run_rounds(lists, NULL);
	else
	{
		lead(lists, segment, workers);
		dsm_detach(segment);
	}
}

bool
fm_similar_lists(const FmServing *serving, const FmItemFilter *filter, int32 x,
				 const FmListReceiver *receiver)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fmtopx similar items",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	Lists lists = {.serving = serving,
				   .receiver = receiver,
				   .filter = filter,
				   .num_items = filter != NULL ? filter->count : serving->loaded->version.num_items,
				   .host = fm_pg_host(context)};
	bool taken = fm_receiver_begin(receiver);

	if (taken)
	{
		choose_items(&lists);
		fm_progress_phase(serving->model.name, FM_PHASE_LISTS);
		if (lists.num_wanted > 0)
			compute_lists(&lists, x);
	}
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	return taken;
}
