/*
 * What every question to a model has in common: the model, its loaded version, ids in and out, the
 * user's vector, the items not to show.
 */
#ifndef FMTOPX_SERVE_H
#define FMTOPX_SERVE_H

#include "compat.h"

#include "fmgr.h"
#include "loaded.h"
#include "sql.h"
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
 * A user's query vector (φ, 1), num_factors + 1 entries, and b + w_u. For a user the model does not
 * know, or whose id is not possible (fm_serve_id_in), they are (0, 1) and b.
 */
typedef struct FmUserVector
{
	float *query;
	double base;
} FmUserVector;

extern FmUserVector fm_serve_user(const FmServing *serving, bool possible, Datum user_id);

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

/*
 * The same for every user of the model in turn (seen_all.c). Ask for ascending idx. The relation is read
 * once, and memory beyond maintenance_work_mem is not used, however large it is.
 */
typedef struct FmSeenStream FmSeenStream;

extern FmSeenStream *fm_seen_open(const FmServing *serving);
extern void fm_seen_add_next(FmSeenStream *stream, int32 user_idx, uint64 *set);
extern void fm_seen_close(FmSeenStream *stream);

/* Errors unless the context is NULL or has no keys: no model has context columns yet. */
extern void fm_check_context(FunctionCallInfo fcinfo, int argument);

/* An option that must not be NULL. */
extern void fm_require_argument(FunctionCallInfo fcinfo, int argument, const char *option);

/* The option x: not NULL, not negative. */
extern int32 fm_x_argument(FunctionCallInfo fcinfo, int argument);

#endif
