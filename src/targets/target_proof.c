/*
 * Which lists of a table are still right: known without computing them.
 *
 * Lists of similar items depend on the version and the rules alone: (a), (d) and made_from are
 * enough. The rest is about lists of users.
 *
 * A table of lists is often written again from the same version of the model, only because some
 * users have rated since. The lists of all other users are still right.
 *
 * Definitions. W is the last writing of the table, and S_W the snapshot with which it read. The
 * snapshot with which we read now is S. "Row" means row version: an update deletes one and inserts
 * another. A row is old if its xmin precedes `before`. W has recorded (FmListsProof):
 *
 *   before      the xmin of S_W: every transaction with a lower xid had ended by then
 *   written_by  the xid of the subtransaction in which W wrote rows of the table, and nothing else
 *   seen_rows   the number of old rows of the ratings that S_W saw
 *   recent      the users of all other rows of the ratings that S_W saw
 *   items       the items that might be in lists, those of the relation `items` or all
 *   made_from   the version, the rules of the lists, what a context adds to users, and the
 *               relations, as a text
 *
 * Claim. Let S be newer than the end of W, and made_from be the same now. The list of a user who is
 * not folded in is right and complete if
 *
 *   (a) the table has a row for each rank, each of them old or inserted by `written_by`;
 *   (b) the user's row of the user table is old;
 *   (c) if seen items are excluded: S sees seen_rows old rows of the ratings, sees no row of this
 *       user that is not old, and the user is not in `recent`;
 *   (d) the items of the rows may be in lists now, and each item that may be now and might not at W
 *       ranks behind the last row.
 *
 * Proof.
 *
 *   1. An old row that S sees was seen by S_W, too: its inserter had committed by then, and if S_W
 *      had seen it deleted, S would as well.
 *   2. By 1, the old rows of the ratings that S sees are among those that S_W saw. By (c) they are
 *      as many, so they are the same. Neither snapshot sees another row of this user. So the user
 *      has rated the same items.
 *   3. By (b) and 1, the user's vector is the same, and so with made_from is the query. With 2,
 *      computing the list now, from the items of W, gives the list of W.
 *   4. W changed all rows that differed from its list. A row in (a) was written by W or, by 1,
 *      found and left by W. So it is a row of that list, and by (a) none is missing.
 *   5. Taking away items that are not in a list does not change it, nor does adding items that rank
 *      behind its last row while it is complete. By (d), the list of the items of now is the same.
 *
 * A user who is folded in has always a new list: it depends on the values of ratings, too. Who has
 * lists does not matter: a list does not depend on other users.
 *
 * Limits. Nothing is known
 *
 *   - unless the relations are heaps that a query would read as they are (plain_scan.h): others
 *     have no xmin, or a query would return other rows;
 *   - if the table has rules or triggers, which may write other rows than the statements say,
 *     except triggers of foreign keys, which only delete whole rows;
 *   - if there were more than FM_SEEN_MAX_RECENT recent users;
 *   - after 2^30 transactions, because xids are compared as 32-bit numbers;
 *   - of a list that has fewer rows than were asked for.
 *
 * Locking: the lock on the table (target.c) puts its writings one after the other.
 */
#include "targets/target_proof.h"

#include "access/relation.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "batch/seen_scan.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/bitset.h"
#include "core/scan/scan.h"
#include "pg/host_pg.h"
#include "serve/list_score.h"
#include "serve/similar_items.h"
#include "targets/target_statements.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define MAX_AGE (INT64CONST(1) << 30)

/* Extend a recent xid, or the next one, to the 64 bits that never wrap around. */
static int64
full_xid(TransactionId xid)
{
	uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());
	uint64 full = (next & ~UINT64CONST(0xffffffff)) | xid;

	return (int64) (full > next ? full - (UINT64CONST(1) << 32) : full);
}

/* Return whether statements on the table write what they say. */
static bool
is_untouched(Relation target)
{
	if (target->rd_rules != NULL)
		return false;
	for (int i = 0; target->trigdesc != NULL && i < target->trigdesc->numtriggers; i++)
		if (!target->trigdesc->triggers[i].tgisinternal)
			return false;
	return true;
}

/*
 * Append the OID of a relation and the numbers of its columns. Return false if its rows have no
 * xmin, or a query could return other rows.
 */
static bool
describe_relation(StringInfo text, Relation relation, const FmColumn *columns, int num_columns)
{
	appendStringInfo(text, " %u", RelationGetRelid(relation));
	for (int i = 0; i < num_columns; i++)
		appendStringInfo(text, ".%d", get_attnum(RelationGetRelid(relation), columns[i].sql));
	return fm_plain_scan_is_heap(relation) &&
		   fm_plain_scan_possible(relation, columns, num_columns);
}

static bool
describe_target(StringInfo text, const FmListKind *kind, Oid target)
{
	FmTargetColumns has = fm_target_columns(kind, target);
	FmColumn columns[FM_LIST_COLUMNS] = {{kind->owner, FM_ANY_INTEGER},
										 {"rank", INT4OID},
										 {kind->item, FM_ANY_INTEGER}};
	int num_columns = LIST_SCORE;
	FmRoleSwitch previous = fm_act_as(fm_relation_owner(target)); /* which reads it later */
	Relation relation = fm_open_relation(target);
	bool possible;

	if (has.score)
		columns[num_columns++] = (FmColumn){"score", FLOAT4OID};
	if (has.rating)
		columns[num_columns++] = (FmColumn){"rating", FLOAT4OID};
	appendStringInfo(text, " %d%d", has.score, has.rating);
	possible = describe_relation(text, relation, columns, num_columns) && is_untouched(relation);
	relation_close(relation, NoLock);
	fm_restore_role(&previous);
	return possible;
}

/* Do the same for the ratings, if the lists depend on them. */
static bool
describe_ratings(StringInfo text, const FmServing *serving, bool exclude_seen)
{
	const FmDefinition *definition = &serving->model.definition;
	const FmColumn columns[] = {{definition->user_column, FM_ANY_INTEGER},
								{definition->item_column, FM_ANY_INTEGER}};
	Relation relation;
	bool possible;

	if (!exclude_seen)
		return true;
	if (!fm_seen_scan_possible(serving))
		return false;
	relation = fm_open_relation(definition->ratings);
	possible = describe_relation(text, relation, columns, lengthof(columns));
	relation_close(relation, NoLock);
	return possible;
}

/* Do the same for the user table, unless the lists are those of items. */
static bool
describe_users(StringInfo text, const FmServing *serving, FmTargetKind kind)
{
	FmColumn columns[3 + FM_MAX_VECTOR_COLUMNS] = {{"version", INT4OID},
												   {"idx", INT4OID},
												   {"user_id", FM_ANY_INTEGER}};
	int num_columns = 3 + fm_vector_columns(serving->loaded, columns + 3);
	Relation relation;
	bool possible;

	if (kind == FM_TARGET_SIMILAR_ITEMS)
		return true;
	relation = fm_open_relation(serving->model.user_table);
	possible = describe_relation(text, relation, columns, num_columns);
	relation_close(relation, NoLock);
	return possible;
}

/* Append what stands for a context: 128 bits of what it adds to users. */
static void
describe_context(StringInfo text, const FmContext *context, int num_factors)
{
	Size length = (Size) context->count * (num_factors + 1) * sizeof(float);
	const unsigned char *bytes = (const unsigned char *) context->levels;

	for (uint64 seed = 0; context->count > 0 && seed < 2; seed++)
		appendStringInfo(text, " %llx",
						 (unsigned long long) hash_bytes_extended(bytes, (int) length, seed));
}

void
fm_proof_describe(FmProof *proof, const FmServing *serving, Oid target, const FmListRules *rules)
{
	StringInfoData text;
	bool possible;

	initStringInfo(&text);
	appendStringInfo(&text, "%llu %u %lld %d %d %d %.17g",
					 (unsigned long long) GetSystemIdentifier(), MyDatabaseId,
					 (long long) serving->model.stamp, (int) rules->kind, rules->x,
					 proof->exclude_seen, rules->novelty);
	describe_context(&text, &rules->filter->context, serving->loaded->version.num_factors);
	possible = describe_users(&text, serving, rules->kind) &&
			   describe_target(&text, fm_list_kind(rules->kind), target) &&
			   describe_ratings(&text, serving, proof->exclude_seen) &&
			   text.len < (int) sizeof(proof->now.made_from);
	strlcpy(proof->now.made_from, possible ? text.data : "", sizeof(proof->now.made_from));
	pfree(text.data);
}

/* Return whether the batch can check the ratings. */
static bool
can_check(const FmProof *proof, const FmServing *serving)
{
	StringInfoData text;

	initStringInfo(&text);
	return proof->exclude_seen && describe_ratings(&text, serving, true);
}

/* Return whether what W recorded is of use: see the claim and its limits. */
static bool
is_valid(const FmListsProof *old, const FmListsProof *now, Snapshot snapshot)
{
	int64 next = (int64) U64FromFullTransactionId(ReadNextFullTransactionId());

	return strcmp(old->made_from, now->made_from) == 0 && old->before >= 0 && old->before <= next &&
		   next - old->before < MAX_AGE &&
		   !XidInMVCCSnapshot((TransactionId) old->written_by, snapshot);
}

/* Set what may be in lists now, and what the next writing has to know of it. */
static void
set_items(FmProof *proof, const FmItemFilter *filter, MemoryContext context)
{
	int32 num_items = proof->loaded->version.num_items;
	Size bytes = fm_bitset_words(num_items) * sizeof(uint64);

	if (filter == NULL)
		return;
	proof->items = MemoryContextAllocZero(context, bytes);
	fm_bitset_add_all(proof->items, filter->items, filter->count);
	proof->now.items = MemoryContextAlloc(context, VARHDRSZ + bytes);
	SET_VARSIZE(proof->now.items, VARHDRSZ + bytes);
	memcpy(VARDATA(proof->now.items), proof->items, bytes);
}

/*
 * Find the items that have come since W. Return false if they are not known, or are so many that
 * lists are computed faster than compared with them.
 */
static bool
find_new_items(FmProof *proof, MemoryContext context)
{
	int32 num_items = proof->loaded->version.num_items;
	Size bytes = fm_bitset_words(num_items) * sizeof(uint64);
	uint64 *then;

	if (proof->old.items == NULL)
		return true;
	if (VARSIZE(proof->old.items) != VARHDRSZ + bytes)
		return false;
	then = MemoryContextAlloc(context, bytes);
	memcpy(then, VARDATA(proof->old.items), bytes);
	proof->new_items = MemoryContextAllocHuge(context, ((Size) num_items + 1) * sizeof(int32));
	for (int32 item = 0; item < num_items; item++)
		if (!fm_bitset_has(then, item) &&
			(proof->items == NULL || fm_bitset_has(proof->items, item)))
			proof->new_items[proof->num_new_items++] = item;
	proof->host = fm_pg_host(context);
	proof->query = MemoryContextAlloc(context, fm_query_length(proof->loaded) * sizeof(float));
	return proof->num_new_items == 0 ||
		   fm_scan_list_pays(proof->loaded->matrix, proof->num_new_items);
}

void
fm_proof_open(FmProof *proof, Oid schema, const FmServing *serving, Oid target,
			  const FmListRules *rules)
{
	memset(proof, 0, sizeof(FmProof));
	proof->kind = rules->kind;
	proof->exclude_seen = rules->exclude_seen && fm_knows_seen(serving);
	proof->seen.new_before = GetActiveSnapshot()->xmin;
	proof->seen.recent = MemoryContextAlloc(serving->context, FM_SEEN_MAX_RECENT * sizeof(int32));
	proof->now.before = full_xid(proof->seen.new_before);
	proof->checks = can_check(proof, serving);
	proof->loaded = serving->loaded;
	proof->novelty = rules->novelty;
	set_items(proof, rules->filter->items, serving->context);
	if (!OidIsValid(target))
		return;
	fm_proof_describe(proof, serving, target, rules);
	proof->known = proof->now.made_from[0] != '\0' &&
				   fm_registry_find_proof(schema, serving->model.name, target, serving->context,
										  &proof->old) &&
				   is_valid(&proof->old, &proof->now, GetActiveSnapshot()) &&
				   find_new_items(proof, serving->context);
	if (proof->known)
		proof->seen.old_before = (TransactionId) proof->old.before;
}

/* For bsearch. */
static int
compare_idx(const void *a, const void *b)
{
	int32 left = *(const int32 *) a;
	int32 right = *(const int32 *) b;

	return (left > right) - (left < right);
}

/* Return whether a user has rated the same items: condition (c). */
static bool
seen_stands(const FmProof *proof, int32 idx)
{
	return proof->seen.counted && proof->seen.old_rows == proof->old.seen_rows &&
		   idx < proof->seen.num_users && !proof->seen.changed[idx] &&
		   bsearch(&idx, proof->old.recent, proof->old.num_recent, sizeof(int32), compare_idx) ==
			   NULL;
}

bool
fm_proof_owner_stands(const FmProof *proof, const FmBatchUser *user)
{
	if (proof->kind == FM_TARGET_SIMILAR_ITEMS)
		return proof->known;
	return proof->known && fm_xmin_is_before(user->xmin, (TransactionId) proof->old.before) &&
		   (!proof->exclude_seen || seen_stands(proof, user->idx));
}

/* Return whether no new item is more similar to an item than the last of its list. */
static bool
similar_items_stand(const FmProof *proof, int32 owner, int32 last)
{
	const FmLoaded *loaded = proof->loaded;
	FmFactorRange range = fm_compared_factors(loaded);
	FmEligible known = {&last, 1, NULL};
	FmEligible new = {proof->new_items, proof->num_new_items, NULL};
	FmHit worst;
	FmHit best;

	if (fm_similar(loaded->matrix, range, owner, 1, known, proof->host, &worst) == 0)
		return false; /* the table says that the item is in its own list */
	return fm_similar(loaded->matrix, range, owner, 1, new, proof->host, &best) == 0 ||
		   !fm_ranks_before(best, worst);
}

bool
fm_proof_items_stand(const FmProof *proof, const FmBatchUser *owner, const FmListItem *list,
					 int32 length)
{
	FmHit last;

	for (int32 r = 0; proof->items != NULL && r < length; r++)
		if (list[r].item < 0 || !fm_bitset_has(proof->items, list[r].item))
			return false;
	if (proof->num_new_items == 0 || length == 0)
		return true;
	last.item = list[length - 1].item;
	if (last.item < 0)
		return false;
	if (proof->kind == FM_TARGET_SIMILAR_ITEMS)
		return similar_items_stand(proof, owner->idx, last.item);
	fm_set_query(proof->loaded, &owner->vector, proof->novelty, proof->query);
	last.score = fm_scan_score(proof->loaded->matrix, proof->query, last.item);
	for (int32 i = 0; i < proof->num_new_items; i++)
	{
		int32 item = proof->new_items[i];
		FmHit hit = {item, fm_scan_score(proof->loaded->matrix, proof->query, item)};

		if (fm_ranks_before(hit, last))
			return false;
	}
	return true;
}

typedef struct Writing
{
	FmProof *proof;
	FmStep write;
	void *state;
} Writing;

/* FmStep */
static void
write_rows(void *state, const void *argument)
{
	Writing *writing = state;

	writing->proof->now.written_by = full_xid(GetCurrentTransactionId());
	writing->write(writing->state, argument);
}

void
fm_proof_write(FmProof *proof, FmStep write, void *state)
{
	Writing writing = {proof, write, state};
	ErrorData *error = fm_attempt(write_rows, &writing, NULL, CurrentMemoryContext);

	if (error != NULL)
		ReThrowError(error);
}

void
fm_proof_save(const FmProof *proof, Oid schema, const char *model, Oid target)
{
	FmListsProof now = proof->now;

	now.seen_rows = proof->seen.new_rows;
	now.recent = proof->seen.recent;
	now.num_recent = proof->seen.num_recent;
	if (proof->exclude_seen && (!proof->seen.counted || now.num_recent > FM_SEEN_MAX_RECENT))
	{
		now.made_from[0] = '\0';
		now.num_recent = 0;
	}
	fm_registry_save_proof(schema, model, target, &now);
}
