/*
 * Reading the context columns of a ratings relation.
 *
 * The context of a rating is one number, which stands for a combination of values: there are few
 * combinations compared to ratings. Values are read as text, as those of features are
 * (read_features.c). Memory: the context that is current on creation.
 */
#include "source/read_contexts.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "pg/sql.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

/* Memory: the entry in a hash table without its key, and its place in two orders. */
#define BYTES_PER_COMBINATION 48

/* Memory: the entry of a level in its id map and, estimated, its text. */
#define BYTES_PER_LEVEL 128

FmContextReading *
fm_context_reading_create(const FmDefinition *definition)
{
	FmContextReading *reading;
	FmIdType text;
	HASHCTL control = {0};

	if (definition->num_context_columns == 0)
		return NULL;
	reading = palloc0(sizeof(FmContextReading));
	reading->num_columns = definition->num_context_columns;
	reading->columns = palloc0(reading->num_columns * sizeof(FmContextColumn));
	fm_id_type_of_text(C_COLLATION_OID, &text);
	for (int c = 0; c < reading->num_columns; c++)
	{
		reading->columns[c].name = pstrdup(definition->context_columns[c]);
		reading->columns[c].levels = fm_idmap_create(&text, CurrentMemoryContext);
	}
	reading->capacity = 64;
	reading->levels = palloc(reading->capacity * reading->num_columns * sizeof(int32));
	/* the key, followed by the number of the combination */
	control.keysize = reading->num_columns * sizeof(int32);
	control.entrysize = control.keysize + sizeof(int32);
	control.hcxt = CurrentMemoryContext;
	reading->known = hash_create("fmtopx contexts", reading->capacity, &control,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return reading;
}

double
fm_context_reading_size(const FmContextReading *reading)
{
	double levels = 0;

	if (reading == NULL)
		return 0;
	for (int c = 0; c < reading->num_columns; c++)
		levels += fm_idmap_count(reading->columns[c].levels);
	return levels * BYTES_PER_LEVEL +
		   (double) reading->contexts.num_combinations *
			   (BYTES_PER_COMBINATION + 3.0 * reading->num_columns * sizeof(int32));
}

int32
fm_intern_context(FmContextReading *reading, const Datum *values, const bool *nulls)
{
	int n = reading->num_columns;
	FmContexts *contexts = &reading->contexts;
	int32 *key;
	int32 *entry;
	bool found;

	if (contexts->num_combinations == reading->capacity)
	{
		if (reading->capacity > PG_INT32_MAX / 2)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("the context columns have more than %d combinations of values",
								   reading->capacity)));
		reading->capacity *= 2;
		reading->levels = repalloc_huge(reading->levels,
										(Size) reading->capacity * n * sizeof(int32));
	}
	/* build the key in place, as if the combination were new */
	key = reading->levels + (Size) contexts->num_combinations * n;
	for (int c = 0; c < n; c++)
	{
		FmContextColumn *column = &reading->columns[c];

		key[c] = nulls[c] ? -1 : fm_idmap_intern(column->levels, values[c]);
		column->has_null = column->has_null || nulls[c];
	}
	entry = hash_search(reading->known, key, HASH_ENTER, &found);
	if (!found)
		entry[n] = contexts->num_combinations++;
	return entry[n];
}

/* qsort_arg: by levels. */
static int
compare_combinations(const void *a, const void *b, void *arg)
{
	const FmContexts *contexts = arg;
	const int32 *x = contexts->level + (Size) * (const int32 *) a * contexts->num_columns;
	const int32 *y = contexts->level + (Size) * (const int32 *) b * contexts->num_columns;

	for (int c = 0; c < contexts->num_columns; c++)
		if (x[c] != y[c])
			return x[c] < y[c] ? -1 : 1;
	return 0;
}

/* Turn the indices in the maps (reading->levels) into level numbers over all columns. */
static void
number_levels(FmContextReading *reading)
{
	FmContexts *contexts = &reading->contexts;
	Size n = reading->num_columns;
	int64 first = 0;

	contexts->num_columns = reading->num_columns;
	contexts->first_level = palloc((n + 1) * sizeof(int32));
	contexts->level = MemoryContextAllocHuge(CurrentMemoryContext,
											 (contexts->num_combinations * n + 1) * sizeof(int32));
	for (int c = 0; c < n; c++)
	{
		FmContextColumn *column = &reading->columns[c];
		int32 count = fm_idmap_count(column->levels);
		int32 *rank = MemoryContextAllocHuge(CurrentMemoryContext, (count + 1) * sizeof(int32));

		column->order = fm_idmap_order(column->levels);
		for (int32 r = 0; r < count; r++)
			rank[column->order[r]] = r;
		for (Size i = 0; i < contexts->num_combinations; i++)
		{
			int32 level = reading->levels[i * n + c];

			contexts->level[i * n + c] = (int32) first + (level < 0 ? count : rank[level]);
		}
		contexts->first_level[c] = (int32) first;
		first += count + column->has_null;
		if (first > PG_INT32_MAX)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("the context columns have more than %d different values",
								   PG_INT32_MAX)));
		pfree(rank);
	}
	contexts->first_level[n] = contexts->num_levels = (int32) first;
}

void
fm_number_contexts(FmContextReading *reading, FmTriples *triples)
{
	FmContexts *contexts = &reading->contexts;
	Size n = reading->num_columns;
	Size count = contexts->num_combinations;
	int32 *order = MemoryContextAllocHuge(CurrentMemoryContext, (count + 1) * sizeof(int32));
	int32 *rank = MemoryContextAllocHuge(CurrentMemoryContext, (count + 1) * sizeof(int32));

	number_levels(reading);
	for (Size i = 0; i < count; i++)
		order[i] = (int32) i;
	qsort_arg(order, count, sizeof(int32), compare_combinations, contexts);
	for (Size i = 0; i < count; i++)
	{
		rank[order[i]] = (int32) i;
		memcpy(reading->levels + i * n, contexts->level + order[i] * n, n * sizeof(int32));
	}
	memcpy(contexts->level, reading->levels, count * n * sizeof(int32));
	for (int64 r = 0; r < triples->count; r++)
		triples->context[r] = rank[triples->context[r]];
	pfree(order);
	pfree(rank);
}

char *
fm_context_level_name(const FmContextReading *reading, int32 level, int *column)
{
	const FmContexts *contexts = &reading->contexts;
	const FmContextColumn *of;

	*column = 0;
	while (level >= contexts->first_level[*column + 1])
		(*column)++;
	of = &reading->columns[*column];
	level -= contexts->first_level[*column];
	if (level == fm_idmap_count(of->levels))
		return NULL;
	return TextDatumGetCString(fm_idmap_id(of->levels, of->order[level]));
}
