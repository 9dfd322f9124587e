/*
 * The titles of items, from a relation that the caller of a report names.
 */
#ifndef FMTOPX_TITLES_H
#define FMTOPX_TITLES_H

#include "pg/compat.h"

/* Where titles are, and those that have been read. Starts with {0}, which has none. */
typedef struct FmTitles
{
	Oid relation; /* InvalidOid: ids are shown alone */
	char *id_column;
	char *title_column;
	int count;
	struct FmTitle *titles; /* by id */
} FmTitles;

/* Raise an error unless the relation has the columns and may be read by the current user. */
extern void fm_titles_check(const FmTitles *titles);

/* Read the titles of these ids, in the current context. SPI must be connected. */
extern void fm_titles_read(FmTitles *titles, char *const *ids, int count);

/* Return the title of an item; its id if there is none. */
extern const char *fm_title_of(const FmTitles *titles, const char *id);

#endif
