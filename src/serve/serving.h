/*
 * A question to a model: its loaded version, pinned, and the role that reads for it.
 */
#ifndef FMTOPX_SERVING_H
#define FMTOPX_SERVING_H

#include "pg/compat.h"

#include "cache/loaded.h"
#include "pg/arguments.h"
#include "pg/sql.h"

/* The form in which a call gives and wants ids: each function has two overloads. */
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
 * Begin to serve: find the model, check that the caller may read it, connect SPI, act as the
 * model's owner, and pin the loaded version in `context`. FM_IDS_BIGINT requires integer ids; the
 * error for others points to the text overload. fm_serve_end undoes it.
 */
extern void fm_serve_begin(FmServing *serving, FunctionCallInfo fcinfo, text *model, FmIdForm form,
						   MemoryContext context);
extern void fm_serve_end(FmServing *serving);

/*
 * Convert an id from the form of the call (int8 or text) to its type in the ratings relation; false
 * if the type cannot hold it.
 */
extern bool fm_serve_id_in(const FmServing *serving, const FmIdType *id_type, Datum given,
						   Datum *id);

/* Raise an error unless a score is finite as a real. */
extern void fm_check_score(double score);

#endif
