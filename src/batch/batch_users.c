/*
 * The users of a block, as the process sees them that fills blocks and hands over their lists.
 *
 * The block itself holds only what the scan needs (batch_block.h), in memory that may be shared;
 * ids, and the vectors that say the ratings, stay here, in local memory. Memory: the context given
 * at creation, and one below it for ids, which is reset each time the block is filled.
 */
#include "batch/batch_users.h"

#include "registry/progress.h"
#include "serve/list_score.h"
#include "utils/memutils.h"

FmBlockUsers *
fm_block_users_create(const FmServing *serving, const FmBlockShape *shape, MemoryContext context)
{
	FmBlockUsers *users = MemoryContextAllocZero(context, sizeof(FmBlockUsers));

	users->loaded = serving->loaded;
	users->ids = AllocSetContextCreate(context, "fmtopx ids of a block", ALLOCSET_DEFAULT_SIZES);
	users->users = MemoryContextAlloc(context, shape->max_users * sizeof(FmBatchUser));
	users->v = MemoryContextAlloc(context, (Size) shape->max_users *
											   serving->loaded->version.num_factors *
											   sizeof(float));
	return users;
}

static void
fill_seeds(int32 *seeds, int32 length, const FmBatchUser *user, const FmListReceiver *receiver)
{
	int32 count = 0;
	const int32 *known = receiver->seeds == NULL ? NULL
												 : receiver->seeds(receiver->state, user, &count);

	for (int32 i = 0; i < length; i++)
		seeds[i] = i < count ? known[i] : -1;
}

bool
fm_block_fill(const FmBlock *block, const FmBlockShape *shape, FmBlockUsers *users,
			  FmUserWalk *walk, const FmListReceiver *receiver)
{
	const FmLoaded *loaded = users->loaded;
	Size k = loaded->version.num_factors;
	const FmBatchUser *user;
	int32 count = 0;

	MemoryContextReset(users->ids);
	while (count < shape->max_users && (user = fm_users_next(walk)) != NULL)
	{
		FmBatchUser *kept = &users->users[count];

		if (receiver->current != NULL && receiver->current(receiver->state, user))
			continue;
		*kept = *user;
		kept->id = fm_id_copy(&loaded->user_type, user->id, users->ids);
		kept->vector.v = users->v + count * k;
		memcpy(kept->vector.v, user->vector.v, k * sizeof(float));
		kept->vector.interest_v = NULL;
		kept->query = block->queries + (Size) count * shape->query_length;
		fm_set_query(loaded, &user->vector, shape->novelty,
					 block->queries + (Size) count * shape->query_length);
		fill_seeds(block->seeds + (Size) count * shape->length, shape->length, user, receiver);
		block->idx[count++] = user->idx;
	}
	*block->count = count;
	return count > 0;
}

void
fm_block_hand_over(const FmBlock *block, const FmBlockShape *shape, const FmBlockUsers *users,
				   const FmListReceiver *receiver, MemoryContext per_user)
{
	MemoryContext previous = MemoryContextSwitchTo(per_user);

	for (int32 i = 0; i < *block->count; i++)
	{
		receiver->put(receiver->state, &users->users[i], block->hits + (Size) i * shape->length,
					  block->counts[i]);
		MemoryContextReset(per_user);
	}
	MemoryContextSwitchTo(previous);
	/* users ascend; this counts those whose lists were known to be right, too */
	fm_progress_lists(users->users[*block->count - 1].idx + 1, users->loaded->version.num_users);
}
