/*
 * Reading the context columns of a ratings relation.
 */
#ifndef FMTOPX_READ_CONTEXTS_H
#define FMTOPX_READ_CONTEXTS_H

#include "core/data/ratings.h"
#include "pg/id_map.h"
#include "registry/model.h"
#include "utils/hsearch.h"

/* A column and its values, the levels. NULL is a level, too. */
typedef struct FmContextColumn
{
	char *name;
	FmIdMap *levels; /* by their text */
	bool has_null;	 /* then there is one more level, the last */
	int32 *order;	 /* of the levels in the map: rank → index */
} FmContextColumn;

/* The combinations of values, in order of appearance until fm_number_contexts. */
typedef struct FmContextReading
{
	int num_columns;
	FmContextColumn *columns;
	HTAB *known;   /* the combinations so far */
	int32 *levels; /* capacity × num_columns: indices in the maps, or -1 for NULL */
	int32 capacity;
	FmContexts contexts; /* set by fm_number_contexts */
} FmContextReading;

/*
 * Begin a reading, in the current context. Returns NULL if the definition has no context columns.
 */
extern FmContextReading *fm_context_reading_create(const FmDefinition *definition);

/* Estimate the size of a reading in bytes; 0 for NULL. */
extern double fm_context_reading_size(const FmContextReading *reading);

/* Return the number of a combination, which is given as texts or NULLs. */
extern int32 fm_intern_context(FmContextReading *reading, const Datum *values, const bool *nulls);

/*
 * Number the levels in the order of their text, and the combinations in the order of their levels.
 * Replaces the numbers in the triples accordingly.
 */
extern void fm_number_contexts(FmContextReading *reading, FmTriples *triples);

/*
 * Return the text of a level, or NULL, and in *column its column. Levels are numbered over all
 * columns.
 */
extern char *fm_context_level_name(const FmContextReading *reading, int32 level, int *column);

#endif
