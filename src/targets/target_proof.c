/*
 * Which lists of a table are known to be right still, from how they were written.
 *
 * A table of lists is often written again from the same version of the model, only because people
 * have rated or bought since. Most lists are then what they were, and which ones can be told for
 * certain from the xmin of rows, by which PostgreSQL itself tells what a snapshot sees. Noted at
 * each writing is `before`, the xmin of its snapshot: what older transactions wrote was complete
 * by then. So a row of the ratings that is older and visible now was visible then, and if as many
 * are older as there were then, none has been deleted or changed, and who has only older rows has
 * rated what he had rated; if he had only older ones then, too: who had others, which may be gone
 * without a trace, is noted as `recent`. Likewise a row of the table itself that is older, or was
 * written by the last writing, is as that left it; a list of which all rows are is complete and
 * right if its user has not rated since, and his row of the user table is older, too. All this
 * wants a snapshot that was taken after the last writing. Xmins are compared as 32 bits, so after
 * 2^30 transactions nothing is known any more.
 *
 * Only where rows have an xmin and nobody can come between them and us: heaps that are read
 * without a query (plain_scan.h), a target without rules and triggers (those of foreign keys
 * delete whole rows). What the lists depend on otherwise, from the version to the numbers of the
 * columns, is noted as a text, and has to be the same. Locking: the target's lock, which makes
 * writings of it one after the other.
 */
#include "targets/target_proof.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "batch/seen_scan.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define MAX_AGE (INT64CONST(1) << 30)

/* The number of an xid of today, or of the next one, among all that have ever been. */
static int64
full_xid(TransactionId xid)
{
	uint64 next = U64FromFullTransactionId(ReadNextFullTransactionId());
	uint64 full = (next & ~UINT64CONST(0xffffffff)) | xid;

	return (int64) (full > next ? full - (UINT64CONST(1) << 32) : full);
}

/* Whether statements on the table write what they say. */
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
 * Append which relation and columns; false if its rows have no xmin or a query could show others.
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
	static const FmColumn columns[] = {{"user_id", FM_ANY_INTEGER},
									   {"rank", INT4OID},
									   {"item_id", FM_ANY_INTEGER},
									   {"score", FLOAT4OID}};
	FmRoleSwitch previous = fm_act_as(fm_relation_owner(target)); /* who will read it */
	Relation relation = table_open(target, AccessShareLock);
	bool possible = describe_relation(text, relation, columns, lengthof(columns)) &&
					is_untouched(relation);

	table_close(relation, NoLock);
	fm_restore_role(&previous);
	return possible;
}

/* The same of the ratings, if anything depends on them. */
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
	relation = table_open(definition->ratings, AccessShareLock);
	possible = describe_relation(text, relation, columns, lengthof(columns));
	table_close(relation, NoLock);
	return possible;
}

/* The same of the users. */
static bool
describe_users(StringInfo text, Oid user_table)
{
	static const FmColumn columns[] = {{"version", INT4OID},
									   {"idx", INT4OID},
									   {"user_id", FM_ANY_INTEGER},
									   {"w", FLOAT4OID},
									   {"v", FLOAT4ARRAYOID}};
	Relation relation = table_open(user_table, AccessShareLock);
	bool possible = describe_relation(text, relation, columns, lengthof(columns));

	table_close(relation, NoLock);
	return possible;
}

void
fm_proof_describe(FmProof *proof, const FmServing *serving, Oid target, int32 x)
{
	const FmModel *model = &serving->model;
	StringInfoData text;
	bool possible;

	initStringInfo(&text);
	appendStringInfo(&text, "%llu %u %lld %d %d", (unsigned long long) GetSystemIdentifier(),
					 MyDatabaseId, (long long) model->stamp, x, proof->exclude_seen);
	possible = describe_users(&text, model->user_table) && describe_target(&text, target) &&
			   describe_ratings(&text, serving, proof->exclude_seen);
	strlcpy(proof->now.made_from, possible ? text.data : "", sizeof(proof->now.made_from));
	pfree(text.data);
}

/* Of a table that is to be created it is enough to know that the ratings can be checked. */
static bool
can_check(const FmProof *proof, const FmServing *serving)
{
	StringInfoData text;

	initStringInfo(&text);
	return proof->exclude_seen && describe_ratings(&text, serving, true);
}

/*
 * Whether this is what was noted at a writing before the snapshot was taken, and not too long
 * before.
 */
static bool
is_valid(const FmListsProof *old, const FmListsProof *now, Snapshot snapshot)
{
	int64 next = (int64) U64FromFullTransactionId(ReadNextFullTransactionId());

	return strcmp(old->made_from, now->made_from) == 0 && next - old->before < MAX_AGE &&
		   !XidInMVCCSnapshot((TransactionId) old->written_by, snapshot);
}

void
fm_proof_open(FmProof *proof, Oid schema, const FmServing *serving, Oid target, int32 x,
			  bool exclude_seen)
{
	memset(proof, 0, sizeof(FmProof));
	proof->exclude_seen = exclude_seen && fm_knows_seen(serving);
	proof->seen.new_before = GetActiveSnapshot()->xmin;
	proof->seen.recent = MemoryContextAlloc(serving->context, FM_SEEN_MAX_RECENT * sizeof(int32));
	proof->now.before = full_xid(proof->seen.new_before);
	proof->checks = can_check(proof, serving);
	if (!OidIsValid(target))
		return;
	fm_proof_describe(proof, serving, target, x);
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

/* Whether a user has rated the same. */
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
