/*
 * fm_top_users: the users of the model who would like an item best.
 *
 * A loaded version has no users, so each call reads the user table twice: once for the scores, and
 * once for the ids of the users in the list. Who is eligible is a condition of the first query:
 * the planner finds a few candidates by the table's index. Memory: a fetch of users, the arrays of
 * users given, and the list with its ids.
 */
#include "batch/users.h"

#include "catalog/pg_type.h"
#include "core/scan/best.h"
#include "core/scan/scan.h"
#include "pg/ranked.h"
#include "serve/items.h"
#include "serve/list_score.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(fm_top_users_bigint);
PG_FUNCTION_INFO_V1(fm_top_users_text);

enum
{
	ARG_ITEM_ID,
	ARG_X,
	ARG_MODEL,
	ARG_CANDIDATES,
	ARG_EXCLUDE,
	ARG_EXCLUDE_SEEN
};

/* Return an array of integer ids, given as text, without those that the type cannot hold. */
static Datum
parse_integers(const FmServing *serving, ArrayType *given)
{
	const FmIdType *type = &serving->loaded->user_type;
	Datum *ids;
	bool *nulls;
	int num_given;
	int count = 0;

	deconstruct_array(given, TEXTOID, -1, false, TYPALIGN_INT, &ids, &nulls, &num_given);
	for (int i = 0; i < num_given; i++)
	{
		Datum id;

		if (!nulls[i] && fm_serve_id_in(serving, type, ids[i], &id))
			ids[count++] = Int64GetDatum(fm_id_as_int64(type, id));
	}
	return PointerGetDatum(
		construct_array(ids, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * Append the condition that a user is, or is not (`negation` is "NOT "), in an array of ids in the
 * form of the call. It is a join, which can be hashed in every version of PostgreSQL, unlike
 * NOT ... = ANY.
 */
static void
add_array(StringInfo condition, const char *negation, const FmServing *serving, ArrayType *given,
		  FmSqlParameters *parameters)
{
	FmIdType type = serving->loaded->user_type;
	const char *id = "g.id";

	type.typmod = -1; /* 'abc' does not fit varchar(2), but it is merely equal to no id */
	if (serving->form == FM_IDS_BIGINT)
		fm_add_parameter(parameters, get_array_type(INT8OID), PointerGetDatum(given), false);
	else if (type.is_integer)
		fm_add_parameter(parameters, get_array_type(INT8OID), parse_integers(serving, given),
						 false);
	else
	{
		fm_add_parameter(parameters, TEXTARRAYOID, PointerGetDatum(given), false);
		id = psprintf("g.id::%s", fm_id_type_sql(&type));
	}
	appendStringInfo(condition, " AND %sEXISTS (SELECT FROM unnest($%d) g (id) WHERE ", negation,
					 parameters->count);
	fm_append_equality(condition, "u.user_id", type.type, id);
	appendStringInfoChar(condition, ')');
}

/* Append the condition that a user has no row with the item in the ratings relation. */
static void
add_unseen(StringInfo condition, const FmServing *serving, int32 item, FmSqlParameters *parameters)
{
	const FmDefinition *definition = &serving->model.definition;
	FmLoaded *loaded = serving->loaded;

	if (!fm_knows_seen(serving))
		return;
	fm_check_ratings(serving);
	fm_add_parameter(parameters, loaded->item_type.type, fm_loaded_item_id(loaded, item), false);
	appendStringInfo(condition, " AND NOT EXISTS (SELECT FROM %s r WHERE ",
					 fm_relation_sql(definition->ratings));
	fm_append_equality(condition, psprintf("r.%s", quote_identifier(definition->item_column)),
					   loaded->item_type.type, psprintf("$%d", parameters->count));
	appendStringInfoString(condition, " AND ");
	fm_append_equality(condition, psprintf("r.%s", quote_identifier(definition->user_column)),
					   loaded->user_type.type, "u.user_id");
	appendStringInfoChar(condition, ')');
}

/* Open a walk over the users who may be in the list. */
static FmUserWalk *
open_users(FunctionCallInfo fcinfo, const FmServing *serving, int32 item)
{
	FmSqlParameters parameters = {0};
	StringInfoData condition;

	initStringInfo(&condition);
	fm_add_integer(&parameters, serving->loaded->version.number);
	if (!PG_ARGISNULL(ARG_CANDIDATES))
		add_array(&condition, "", serving, PG_GETARG_ARRAYTYPE_P(ARG_CANDIDATES), &parameters);
	if (!PG_ARGISNULL(ARG_EXCLUDE))
		add_array(&condition, "NOT ", serving, PG_GETARG_ARRAYTYPE_P(ARG_EXCLUDE), &parameters);
	if (PG_GETARG_BOOL(ARG_EXCLUDE_SEEN))
		add_unseen(&condition, serving, item, &parameters);
	return fm_users_open_where(serving, false, condition.data, &parameters);
}

/*
 * Find the best x users of a walk, which this closes, best first, ties by idx. Return how many
 * there are.
 */
static int32
find_users(const FmServing *serving, int32 item, int32 x, FmUserWalk *walk, FmHit **hits)
{
	const FmLoaded *loaded = serving->loaded;
	double novelty = fm_serve_novelty(serving, NULL);
	float *query = palloc(fm_query_length(loaded) * sizeof(float));
	FmBest best = {NULL, 0, 0};
	const FmBatchUser *user;

	/* let the list grow with the users: x may be huge */
	while (x > 0 && (user = fm_users_next(walk)) != NULL)
	{
		double score;

		fm_set_query(loaded, &user->vector, novelty, query);
		score = fm_list_sum(loaded, &user->vector, fm_scan_score(loaded->matrix, query, item));
		CHECK_FOR_INTERRUPTS();
		fm_check_score(score);
		if (best.count == best.wanted && best.wanted < x)
		{
			best.wanted = (int32) Min(x, Max(1024, 2 * (int64) best.wanted));
			best.hits = best.hits == NULL ? palloc(best.wanted * sizeof(FmHit))
										  : repalloc_huge(best.hits, best.wanted * sizeof(FmHit));
		}
		fm_best_offer(&best, user->idx, score);
	}
	fm_users_close(walk);
	*hits = best.hits;
	return fm_best_finish(&best);
}

/* A user in the list, and the row. */
typedef struct Listed
{
	int32 idx;
	int32 row;
} Listed;

/* qsort and bsearch */
static int
compare_listed(const void *a, const void *b)
{
	int32 left = ((const Listed *) a)->idx;
	int32 right = ((const Listed *) b)->idx;

	return (left > right) - (left < right);
}

typedef struct Naming
{
	FmServing *serving;
	Listed *listed; /* by idx */
	int32 count;
	Datum *ids; /* by row, in the form that the call returns */
	bool *missing;
} Naming;

/* What is read of a user. */
enum
{
	NAMED_IDX,
	NAMED_ID
};

/* FmRowReader: take the id of a user who is in the list. */
static bool
name_user(void *state, const FmRow *row)
{
	Naming *naming = state;
	FmServing *serving = naming->serving;
	FmIdType *type = &serving->loaded->user_type;
	Listed key = {fm_row_integer_or(row, NAMED_IDX, -1)};
	const Listed *listed = bsearch(&key, naming->listed, naming->count, sizeof(Listed),
								   compare_listed);
	MemoryContext previous;
	Datum id;

	if (listed == NULL || fm_row_is_null(row, NAMED_ID))
		return true;
	id = fm_row_value(row, NAMED_ID);
	previous = MemoryContextSwitchTo(serving->context);
	naming->ids[listed->row] = serving->form == FM_IDS_BIGINT
								   ? Int64GetDatum(fm_id_as_int64(type, id))
								   : CStringGetTextDatum(fm_id_text(type, id));
	MemoryContextSwitchTo(previous);
	naming->missing[listed->row] = false;
	return true;
}

static Naming
name_users(FmServing *serving, const FmHit *hits, int32 count)
{
	Naming naming = {serving,
					 MemoryContextAllocHuge(CurrentMemoryContext, (Size) count * sizeof(Listed)),
					 count,
					 MemoryContextAllocHuge(CurrentMemoryContext, (Size) count * sizeof(Datum)),
					 MemoryContextAllocHuge(CurrentMemoryContext, (Size) count * sizeof(bool))};
	const FmColumn columns[] = {
		[NAMED_IDX] = {"idx", INT4OID}, [NAMED_ID] = {"user_id", serving->loaded->user_type.type}};
	FmSqlParameters parameters = {0};

	for (int32 r = 0; r < count; r++)
	{
		naming.listed[r] = (Listed){hits[r].item, r};
		naming.missing[r] = true;
	}
	qsort(naming.listed, count, sizeof(Listed), compare_listed);
	fm_add_integer(&parameters, serving->loaded->version.number);
	fm_sql_scan(psprintf("SELECT %s FROM %s WHERE version = $1",
						 fm_select_list(columns, lengthof(columns)),
						 fm_relation_sql(serving->model.user_table)),
				&parameters, serving->read_only, columns, lengthof(columns), name_user, &naming);
	return naming;
}

static void
put_rows(FmServing *serving, const FmHit *hits, int32 count, ReturnSetInfo *result)
{
	Naming naming = name_users(serving, hits, count);

	for (int32 r = 0; r < count; r++)
	{
		/* the owner of the table can make its two reads differ */
		if (naming.missing[r])
			fm_users_damaged(serving);
		fm_put_ranked(result, (FmRankedRow){.rank = r + 1,
											.id = naming.ids[r],
											.score = (float) fm_listed_score(serving->loaded,
																			 hits[r].score)});
	}
}

static Datum
top_users(FunctionCallInfo fcinfo, FmIdForm form)
{
	FmServing serving;
	FmHit *hits;
	int32 count;
	int32 item;
	int32 x;

	fm_init_materialized_srf(fcinfo);
	if (PG_ARGISNULL(ARG_ITEM_ID))
		return (Datum) 0;
	x = fm_x_argument(fcinfo, ARG_X);
	fm_require_argument(fcinfo, ARG_EXCLUDE_SEEN, "exclude_seen");
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(ARG_MODEL) ? NULL : PG_GETARG_TEXT_PP(ARG_MODEL),
				   form, CurrentMemoryContext);
	item = fm_serve_item(&serving, PG_GETARG_DATUM(ARG_ITEM_ID));
	count = item < 0 ? 0 : find_users(&serving, item, x, open_users(fcinfo, &serving, item), &hits);
	if (count > 0)
		put_rows(&serving, hits, count, (ReturnSetInfo *) fcinfo->resultinfo);
	fm_serve_end(&serving);
	return (Datum) 0;
}

Datum
fm_top_users_bigint(PG_FUNCTION_ARGS)
{
	return top_users(fcinfo, FM_IDS_BIGINT);
}

Datum
fm_top_users_text(PG_FUNCTION_ARGS)
{
	return top_users(fcinfo, FM_IDS_TEXT);
}
