/*
 * fm_top_users: the users of the model who would like an item best.
 *
 * A loaded version has no users, so each call reads the user table twice: once for the scores, and
 * once for the ids of the users in the list. Memory: a fetch of users, and the list with its ids.
 */
#include "batch/users.h"

#include "catalog/pg_type.h"
#include "core/scan/best.h"
#include "core/scan/scan.h"
#include "pg/ranked.h"
#include "serve/items.h"
#include "serve/list_score.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(fm_top_users_bigint);
PG_FUNCTION_INFO_V1(fm_top_users_text);

enum
{
	ARG_ITEM_ID,
	ARG_X,
	ARG_MODEL
};

/* Find the best x users, best first, ties by idx. Return how many there are. */
static int32
find_users(const FmServing *serving, int32 item, int32 x, FmHit **hits)
{
	const FmLoaded *loaded = serving->loaded;
	double novelty = fm_serve_novelty(serving, NULL);
	float *query = palloc(fm_query_length(loaded) * sizeof(float));
	FmUserWalk *walk = fm_users_open(serving, false);
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
	fm_serve_begin(&serving, fcinfo, PG_ARGISNULL(ARG_MODEL) ? NULL : PG_GETARG_TEXT_PP(ARG_MODEL),
				   form, CurrentMemoryContext);
	item = fm_serve_item(&serving, PG_GETARG_DATUM(ARG_ITEM_ID));
	count = item < 0 ? 0 : find_users(&serving, item, x, &hits);
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
