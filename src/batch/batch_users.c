/*
 * The users of a block, as the process sees them that fills blocks and hands over their lists.
 *
 * The block itself holds only what the scan needs (batch_block.h), in memory that may be shared;
 * ids, and the vectors that say the ratings, stay here, in local memory. Memory: the context given
 * at creation, and one below it for ids, which is reset each time the block is filled.
 */
#include "batch/batch_users.h"

#include "core/bitset.h"
#include "registry/progress.h"
#include "serve/list_score.h"
#include "utils/memutils.h"

FmBlockShape
fm_batch_shape(const FmBatch *batch)
{
	return fm_block_shape(batch->serving->loaded, &batch->rules, batch->num_items,
						  batch->choice != NULL && batch->choice->num_folded > 0);
}

const FmScanPart *
fm_batch_part(const FmBatch *batch, void *memory)
{
	if (batch->part_size == 0)
		return NULL;
	return fm_scan_part_init(memory, batch->serving->loaded->matrix,
							 batch->rules.filter->items->items, batch->num_items);
}

FmManyRatings *
fm_batch_ratings(const FmBatch *batch)
{
	if (batch->choice == NULL)
		return NULL;
	return fm_many_ratings_open(batch->serving, batch->choice->ids, batch->choice->num_folded,
								batch->rules.exclude_seen);
}

FmUserWalk *
fm_batch_walk(const FmBatch *batch, FmManyRatings *ratings)
{
	bool xmins = fm_receiver_needs_xmin(batch->receiver);

	if (batch->choice == NULL)
		return fm_users_open(batch->serving, xmins);
	return fm_users_open_chosen(batch->serving, xmins, batch->choice, &batch->rules.filter->context,
								ratings);
}

FmBlockUsers *
fm_block_users_create(const FmScanSource *source, const FmBlockShape *shape, MemoryContext context)
{
	FmBlockUsers *users = MemoryContextAllocZero(context, sizeof(FmBlockUsers));

	users->loaded = source->loaded;
	users->part = source->part;
	users->context = source->context;
	users->num_users = source->num_users;
	users->ids = AllocSetContextCreate(context, "fmtopx ids of a block", ALLOCSET_DEFAULT_SIZES);
	users->users = MemoryContextAlloc(context, shape->max_users * sizeof(FmBatchUser));
	users->v = MemoryContextAlloc(context, (Size) shape->max_users *
											   source->loaded->version.num_factors * sizeof(float));
	return users;
}

static void
fill_seeds(const FmBlockUsers *users, const FmBlockShape *shape, const FmBatchUser *user,
		   const FmListReceiver *receiver, int32 *seeds)
{
	int32 count = 0;
	const int32 *known = receiver->seeds == NULL ? NULL
												 : receiver->seeds(receiver->state, user, &count);

	for (int32 i = 0; i < shape->length; i++)
		seeds[i] = i >= count			 ? -1
				   : users->part != NULL ? fm_scan_part_find(users->part, known[i])
										 : known[i];
}

/* Set the query of a user whose vector is known. */
static void
set_query(const FmBlock *block, const FmBlockShape *shape, const FmLoaded *loaded, int32 place,
		  const FmUserVector *vector)
{
	fm_set_query(loaded, vector, shape->novelty,
				 block->queries + (Size) place * shape->query_length);
}

/*
 * Give a block the vector and the ratings of a user who is to be folded in. Return false if there
 * is no room for the ratings.
 */
static bool
place_ratings(const FmBlock *block, const FmBlockShape *shape, const FmBatchUser *user, int32 place)
{
	int32 start = block->start[place];
	FmUserVector vector = fm_block_vector(shape, block, place);

	if (user->num_ratings > (int64) (shape->room / sizeof(FmOwnRating)) - start)
		return false;
	block->uses[place] = user->expected ? FM_USE_EXPECTED : FM_USE_RATINGS;
	block->start[place + 1] = start + (int32) user->num_ratings;
	memcpy(block->ratings + start, user->ratings, user->num_ratings * sizeof(FmOwnRating));
	memcpy(vector.v, user->vector.v, shape->num_factors * sizeof(float));
	block->bases[2 * place] = user->vector.base;
	block->bases[2 * place + 1] = user->vector.interest_base;
	if (shape->interest_factors > 0)
		memcpy(vector.interest_v, user->vector.interest_v, shape->interest_factors * sizeof(float));
	return true;
}

/* Fold in the only user of a block, who has too many ratings for it. */
static void
fold_here(const FmBlock *block, const FmBlockShape *shape, const FmBlockUsers *users,
		  const FmBatchUser *user)
{
	uint64 *set = (uint64 *) block->ratings;
	int64 count = 0;
	FmUserVector vector;

	memset(set, 0, fm_bitset_words(shape->num_items) * sizeof(uint64));
	for (int64 r = 0; r < user->num_ratings; r++)
	{
		fm_bitset_add(set, user->ratings[r].item);
		if (user->ratings[r].weight != FM_ONLY_SEEN)
			user->ratings[count++] = user->ratings[r];
	}
	vector = fm_serve_fold(users->loaded, NULL, user->expected ? &user->vector : NULL,
						   user->ratings, count);
	fm_context_add(users->loaded, &users->context, &vector);
	memcpy(users->users[0].vector.v, vector.v, shape->num_factors * sizeof(float));
	users->users[0].vector.base = vector.base;
	users->users[0].vector.interest_base = vector.interest_base;
	set_query(block, shape, users->loaded, 0, &vector);
	block->uses[0] = FM_USE_SET;
	block->start[1] = 0;
}

/* Keep a user, who gets a place in the block, with a copy of all that is needed later. */
static void
keep_user(FmBlockUsers *users, const FmBlock *block, const FmBlockShape *shape,
		  const FmBatchUser *user, int32 place)
{
	FmBatchUser *kept = &users->users[place];

	*kept = *user;
	kept->id = fm_id_copy(&users->loaded->user_type, user->id, users->ids);
	kept->vector.v = users->v + (Size) place * shape->num_factors;
	memcpy(kept->vector.v, user->vector.v, shape->num_factors * sizeof(float));
	kept->vector.interest_v = NULL;
	kept->query = block->queries + (Size) place * shape->query_length;
	block->idx[place] = user->idx;
}

/*
 * Add a user to a block that has some already. Return false if there is no room for the ratings
 * beside theirs.
 */
static bool
add_user(const FmBlock *block, const FmBlockShape *shape, FmBlockUsers *users,
		 const FmBatchUser *user, const FmListReceiver *receiver, int32 place)
{
	bool placed = !user->folds || place_ratings(block, shape, user, place);

	if (!placed && place > 0)
		return false;
	keep_user(users, block, shape, user, place);
	fill_seeds(users, shape, user, receiver, block->seeds + (Size) place * shape->length);
	if (!placed)
		fold_here(block, shape, users, user);
	else if (!user->folds)
	{
		set_query(block, shape, users->loaded, place, &user->vector);
		if (shape->room > 0)
		{
			block->uses[place] = FM_USE_QUERY;
			block->start[place + 1] = block->start[place];
		}
	}
	return true;
}

bool
fm_block_fill(const FmBlock *block, const FmBlockShape *shape, FmBlockUsers *users,
			  FmUserWalk *walk, const FmListReceiver *receiver)
{
	const FmBatchUser *user;
	int32 count = 0;
	bool alone = false; /* the user has the block's ratings for themselves */

	MemoryContextReset(users->ids);
	if (shape->room > 0)
		block->start[0] = 0;
	while (count < shape->max_users && !alone && (user = fm_users_next(walk)) != NULL)
	{
		if (!user->folds && receiver->current != NULL && receiver->current(receiver->state, user))
			continue;
		if (!add_user(block, shape, users, user, receiver, count))
		{
			fm_users_again(walk);
			break;
		}
		alone = shape->room > 0 && block->uses[count] == FM_USE_SET;
		count++;
	}
	*block->count = count;
	users->num_met = fm_users_met(walk);
	return count > 0;
}

/* Take the vector of a user who has been folded in. */
static void
take_vector(const FmBlock *block, const FmBlockShape *shape, FmBlockUsers *users, int32 place)
{
	FmUserVector *kept = &users->users[place].vector;
	FmUserVector vector;

	if (shape->room == 0 || block->uses[place] < FM_USE_RATINGS)
		return;
	vector = fm_block_vector(shape, block, place);
	memcpy(kept->v, vector.v, shape->num_factors * sizeof(float));
	kept->base = vector.base;
	kept->interest_base = vector.interest_base;
}

void
fm_block_hand_over(const FmBlock *block, const FmBlockShape *shape, FmBlockUsers *users,
				   const FmListReceiver *receiver, MemoryContext per_user)
{
	MemoryContext previous = MemoryContextSwitchTo(per_user);

	for (int32 i = 0; i < *block->count; i++)
	{
		take_vector(block, shape, users, i);
		receiver->put(receiver->state, &users->users[i], block->hits + (Size) i * shape->length,
					  block->counts[i]);
		MemoryContextReset(per_user);
	}
	MemoryContextSwitchTo(previous);
	fm_progress_lists(users->num_met, users->num_users);
}
