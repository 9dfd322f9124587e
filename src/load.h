/*
 * Reading a ratings relation into memory.
 */
#ifndef FMTOPX_LOAD_H
#define FMTOPX_LOAD_H

#include "core/ratings.h"
#include "idmap.h"
#include "model.h"

typedef struct FmLoad
{
	FmIdMap *users;
	FmIdMap *items;
	int32 *user_order; /* rank in id order → index in `users` */
	int32 *item_order;
	FmTriples triples; /* indices are ranks */
	int64 skipped;	   /* rows with a NULL user, item or rating */
	float min;		   /* of the ratings */
	float max;
} FmLoad;

/* A relation that rows can be selected from, with these columns of usable types; else an error. */
extern void fm_check_ratings_relation(const FmDefinition *definition, FmIdType *user_type,
									  FmIdType *item_type);

/* "SELECT user, item, rating::float8 FROM relation" for a checked definition. */
extern char *fm_ratings_query(const FmDefinition *definition);

/* Called for each complete row; indices and errors are the callee's business. */
typedef void (*FmRatingCallback)(void *state, Datum user, Datum item, double rating);

/*
 * Read the relation by cursor as the current user, with a fresh snapshot unless read_only. Returns the
 * number of rows skipped for a NULL. NaN, infinity and what overflows a real are errors, and so are ids
 * of another type than was found before, when the relation was not locked yet. The callback
 * runs in a memory context that is reset now and then.
 */
extern int64 fm_read_ratings(const FmDefinition *definition, const FmIdType *user_type,
							 const FmIdType *item_type, bool read_only, FmRatingCallback callback,
							 void *state);

/* Read all of it, as the current user, into memory of the current context. SPI must be connected. */
extern void fm_load_ratings(const FmDefinition *definition, FmLoad *load);

#endif
