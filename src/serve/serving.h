/*
 * What every question to a model has in common: the model, its loaded version, ids in and out, the
 * user's vector, the items not to show.
 */
#ifndef FMTOPX_SERVING_H
#define FMTOPX_SERVING_H

#include "pg/compat.h"

#include "pg/arguments.h"
#include "cache/loaded.h"
#include "pg/sql.h"
#include "utils/array.h"

/* How a call gives and wants ids: the two overloads of each function. */
typedef enum FmIdForm
{
	FM_IDS_BIGINT,
	FM_IDS_TEXT
} FmIdForm;

typedef struct FmServing
{
	FmModel model;
	FmLoaded *loaded;
	FmIdForm form;
	bool read_only;
	MemoryContext context; /* of the call: results live here */
	FmRoleSwitch caller;
} FmServing;

/*
 * Begin to serve: find the model, check that the caller may read it, connect SPI, act as the model's
 * owner, pin the loaded version in `context`. For FM_IDS_BIGINT the ids must be integers, else an
 * error points to the text overload. fm_serve_end undoes it.
 */
extern void fm_serve_begin(FmServing *serving, FunctionCallInfo fcinfo, text *model, FmIdForm form,
						   MemoryContext context);
extern void fm_serve_end(FmServing *serving);

/* An id as the call gave it (int8 or text), as the source types it; false if no such id can exist. */
extern bool fm_serve_id_in(const FmServing *serving, const FmIdType *id_type, Datum given,
						   Datum *id);

/* An item's id as the call wants it, in the call's context. */
extern Datum fm_serve_item_out(const FmServing *serving, int32 item);

/*
 * A user's query vector (φ, 1), num_factors + 1 entries, and b + w_u. A user whom the model does not know is
 * folded in from what the ratings relation holds for him now; so is one whom it knows by features alone. If that is
 * nothing, they are (0, 1) and b, or what his features say. If the id is not possible (fm_serve_id_in), (0, 1) and b.
 */
typedef struct FmUserVector
{
	float *query;
	double base;
} FmUserVector;

extern FmUserVector fm_serve_user(const FmServing *serving, bool possible, Datum user_id);

/*
 * The same for a user none of whose ratings the model was trained on, those of a set of items (or NULL) ignored;
 * `expected` is his vector by his features, or NULL.
 */
extern FmUserVector fm_serve_new_user(const FmServing *serving, const FmUserVector *expected,
									  Datum user_id, const uint64 *ignored);

/* A rating of an item that the model knows. */
typedef struct FmOwnRating
{
	int32 item;
	float rating;
	float weight;
} FmOwnRating;

/*
 * The vector of somebody with these ratings (user.c), in the units that the model was trained on. Their order,
 * which is changed, does not matter.
 */
extern FmUserVector fm_serve_fold(const FmServing *serving, const FmUserVector *expected,
								  FmOwnRating *ratings, int64 count);

/*
 * What the ratings relation holds for the user now, without what does not count in a training (seen.c). Nothing
 * where it is not there any more as the model was trained from it.
 */
extern FmOwnRating *fm_own_ratings(const FmServing *serving, Datum user_id, int64 *count);

/*
 * What the caller is told of a score, b + w_u + the scan's: the score itself, or in a classification the
 * probability of a yes. Never decreasing, so what a scan has put in order stays in order.
 */
extern double fm_serve_score(const FmLoaded *loaded, double score);

/* The idx of one item, or -1. */
extern int32 fm_serve_item(const FmServing *serving, Datum given);

/* A bitmap over the items, empty; and items set in it. */
extern uint64 *fm_new_item_set(const FmLoaded *loaded);

static inline bool
fm_item_is_in(const uint64 *set, int32 item)
{
	return (set[item / 64] >> (item % 64)) & 1;
}

static inline void
fm_add_items(uint64 *set, const int32 *items, int32 count)
{
	for (int32 i = 0; i < count; i++)
		set[items[i] / 64] |= UINT64CONST(1) << (items[i] % 64);
}

/*
 * Add the known items of an array of ids as the call gave it to a set. Returns those that were not in it yet,
 * in the order given.
 */
extern int32 *fm_add_given_items(const FmServing *serving, ArrayType *given, uint64 *set,
								 int32 *count);

/* Turn a set into all items but these. */
extern void fm_set_all_but(const FmLoaded *loaded, uint64 *set, const int32 *items, int32 count);

/* Whether there is a relation that says what has been seen: an attached model may have none. */
static inline bool
fm_knows_seen(const FmServing *serving)
{
	return OidIsValid(serving->model.definition.ratings);
}

/* An error unless the ratings relation is still there, with columns of the types the model was made for. */
extern void fm_check_ratings(const FmServing *serving);

/* Add the items that the ratings relation holds for the user now (seen.c). */
extern void fm_add_seen_items(const FmServing *serving, Datum user_id, uint64 *set);

/* Errors unless the context is NULL or an object (question_context.c). */
extern void fm_check_context(FunctionCallInfo fcinfo, int argument);

/* Add to a user what the context given says: an error for a column that the model does not know. */
extern void fm_add_context(const FmServing *serving, FunctionCallInfo fcinfo, int argument,
						   FmUserVector *user);

/*
 * Add one level of a context column, a text or NULL, to a user; one that the model does not know adds nothing. False if
 * it does not know the column.
 */
extern bool fm_add_context_level(const FmServing *serving, const char *column, const char *level,
								 FmUserVector *user);

#endif
