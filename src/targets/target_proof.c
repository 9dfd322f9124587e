/*
 * Which lists of a table are still right: known without computing them.
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
 *   made_from   the version, the rules of the lists and the relations, as a text
 *
 * Claim. Let S be newer than the end of W, and made_from be the same now. A user's list is right
 * and complete if
 *
 *   (a) the table has a row for each rank, each of them old or inserted by `written_by`;
 *   (b) the user's row of the user table is old;
 *   (c) if seen items are excluded: S sees seen_rows old rows of the ratings, sees no row of this
 *       user that is not old, and the user is not in `recent`.
 *
 * Proof.
 *
 *   1. An old row that S sees was seen by S_W, too: its inserter had committed by then, and if S_W
 *      had seen it deleted, S would as well.
 *   2. By 1, the old rows of the ratings that S sees are among those that S_W saw. By (c) they are
 *      as many, so they are the same. Neither snapshot sees another row of this user. So the user
 *      has rated the same items.
 *   3. By (b) and 1, the user's vector is the same. With 2 and made_from, computing the list now
 *      gives the list of W.
 *   4. W changed all rows that differed from its list. A row in (a) was written by W or, by 1,
 *      found and left by W. So it is a row of that list, and by (a) none is missing.
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
describe_target(StringInfo text, Oid target)
{
	FmTargetColumns has = fm_target_columns(target);
	FmColumn columns[FM_LIST_COLUMNS] = {{"user_id", FM_ANY_INTEGER},
										 {"rank", INT4OID},
										 {"item_id", FM_ANY_INTEGER}};
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

/* Do the same for the user table. */
static bool
describe_users(StringInfo text, const FmServing *serving)
{
	FmColumn columns[3 + FM_MAX_VECTOR_COLUMNS] = {{"version", INT4OID},
												   {"idx", INT4OID},
												   {"user_id", FM_ANY_INTEGER}};
	int num_columns = 3 + fm_vector_columns(serving->loaded, columns + 3);
	Relation relation = fm_open_relation(serving->model.user_table);
	bool possible = describe_relation(text, relation, columns, num_columns);

	relation_close(relation, NoLock);
	return possible;
}

void
fm_proof_describe(FmProof *proof, const FmServing *serving, Oid target, const FmListRules *rules)
{
	StringInfoData text;
	bool possible;

	initStringInfo(&text);
	appendStringInfo(&text, "%llu %u %lld %d %d %.17g", (unsigned long long) GetSystemIdentifier(),
					 MyDatabaseId, (long long) serving->model.stamp, rules->x, proof->exclude_seen,
					 rules->novelty);
	possible = describe_users(&text, serving) && describe_target(&text, target) &&
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

void
fm_proof_open(FmProof *proof, Oid schema, const FmServing *serving, Oid target,
			  const FmListRules *rules)
{
	memset(proof, 0, sizeof(FmProof));
	proof->exclude_seen = rules->exclude_seen && fm_knows_seen(serving);
	proof->seen.new_before = GetActiveSnapshot()->xmin;
	proof->seen.recent = MemoryContextAlloc(serving->context, FM_SEEN_MAX_RECENT * sizeof(int32));
	proof->now.before = full_xid(proof->seen.new_before);
	proof->checks = can_check(proof, serving);
	if (!OidIsValid(target))
		return;
	fm_proof_describe(proof, serving, target, rules);
	proof->known = proof->now.made_from[0] != '\0' &&
				   fm_registry_find_proof(schema, serving->model.name, target, serving->context,
										  &proof->old) &&
				   is_valid(&proof->old, &proof->now, GetActiveSnapshot());
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
fm_proof_user_stands(const FmProof *proof, const FmBatchUser *user)
{
	return proof->known && fm_xmin_is_before(user->xmin, (TransactionId) proof->old.before) &&
		   (!proof->exclude_seen || seen_stands(proof, user->idx));
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
