/*
 * Reading the context columns of a ratings relation.
 */
#ifndef FMTOPX_LOAD_CONTEXTS_H
#define FMTOPX_LOAD_CONTEXTS_H

#include "core/data/ratings.h"
#include "pg/id_map.h"
#include "registry/model.h"
#include "utils/hsearch.h"

/* A column and the values it has; NULL is a value, too. */
typedef struct FmContextColumn
{
	char *name;
	FmIdMap *levels; /* by their text */
	bool has_null;	 /* one more level, the last */
	int32 *order;	 /* of the levels in the map: rank → index */
} FmContextColumn;

/* Combinations of values, in order of appearance until they are numbered for good. */
typedef struct FmContextReading
{
	int num_columns;
	FmContextColumn *columns;
	HTAB *known;   /* of combinations */
	int32 *levels; /* capacity × num_columns: indices in the maps, or -1 for NULL */
	int32 capacity;
	FmContexts contexts; /* filled in by fm_number_contexts */
} FmContextReading;

/* Errors unless the columns are there and hold categories. */
extern void fm_check_context_columns(const FmDefinition *definition);

/* Nothing read yet; in the current context. NULL where the definition has no context columns. */
extern FmContextReading *fm_context_reading_create(const FmDefinition *definition);

/* Bytes, about, that it takes; 0 for NULL. */
extern double fm_context_reading_size(const FmContextReading *reading);

/* The number of a combination, of texts or NULLs. */
extern int32 fm_intern_context(FmContextReading *reading, const Datum *values, const bool *nulls);

/*
 * Number levels in the order of their text, combinations in that of their levels, and the combinations of the
 * ratings accordingly.
 */
extern void fm_number_contexts(FmContextReading *reading, FmTriples *triples);

/* The text of a level (of all columns'), or NULL; *column is its column. */
extern char *fm_context_level_name(const FmContextReading *reading, int32 level, int *column);

#endif
