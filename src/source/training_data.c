/*
 * Everything that a training reads, with indices in the order of the ids.
 *
 * The result is in the context that is current on entry. Locking: AccessShareLock by the queries.
 */
#include "source/training_data.h"

#include <math.h>

#include "common/hashfn.h"
#include "common/pg_lzcompress.h"
#include "pg/sql.h"
#include "source/budget.h"
#include "source/ratings_columns.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* What a B-tree takes of an id: a third of a page, less the version beside it and headers. */
#define LONGEST_ID 2600

/* Replace indices, which are in order of appearance, by ranks in the order of the ids. */
static void
rank_indices(int32 *indices, int64 count, const int32 *order, int32 num_ids)
{
	int32 *rank = MemoryContextAllocHuge(CurrentMemoryContext, Max(num_ids, 1) * sizeof(int32));

	for (int32 r = 0; r < num_ids; r++)
		rank[order[r]] = r;
	for (int64 i = 0; i < count; i++)
		indices[i] = rank[indices[i]];
	pfree(rank);
}

static void
check_something_read(const FmDefinition *definition, const FmRatingReading *reading)
{
	const char *relation = get_rel_name(definition->ratings);
	StringInfoData columns;

	if (reading->triples.count == 0 && reading->skipped == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("relation \"%s\" has no rows to train on", relation)));
	if (reading->triples.count == 0)
	{
		initStringInfo(&columns);
		appendStringInfo(&columns, "\"%s\"", definition->user_column);
		if (fm_is_ranking(definition->task))
			appendStringInfo(&columns, " or \"%s\"", definition->item_column);
		else
			appendStringInfo(&columns, ", \"%s\" or \"%s\"", definition->item_column,
							 definition->rating_column);
		if (definition->weight_column != NULL)
			appendStringInfo(&columns, ", or no weight in column \"%s\"",
							 definition->weight_column);
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("relation \"%s\" has no ratings to train on", relation),
						errdetail("Each of its %lld rows has NULL in column %s.",
								  (long long) reading->skipped, columns.data)));
	}
	if (fm_is_classification(definition->task) && reading->min == reading->max &&
		reading->least < reading->greatest)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("column \"%s\" of relation \"%s\" has values that type real cannot "
						"tell apart: %.17g and %.17g",
						definition->rating_column, relation, reading->least, reading->greatest),
				 errhint("Make a view of the relation that says 0 for no and 1 for yes.")));
	if (reading->least == reading->greatest && !fm_is_ranking(definition->task))
		ereport(
			ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("all %lld ratings of relation \"%s\" are %g: there is nothing to learn",
					(long long) reading->triples.count, relation, reading->least),
			 fm_is_classification(definition->task)
				 ? errhint("task => 'classification' needs two: the larger means yes, the smaller "
						   "no. With one value only, learn from the existence of rows with "
						   "task => 'ranking'.")
				 : errhint("task => 'regression' needs ratings that differ. With one value only, "
						   "learn from the existence of rows with task => 'ranking'.")));
}

/* Return the smallest rating above `floor`, or infinity. */
static float
next_rating(const FmTriples *triples, float floor)
{
	float next = INFINITY;

	for (int64 r = 0; r < triples->count; r++)
		if (triples->value[r] > floor && triples->value[r] < next)
			next = triples->value[r];
	return next;
}

static void
check_two_labels(const FmDefinition *definition, const FmRatingReading *reading)
{
	float second = next_rating(&reading->triples, reading->min);
	float third = next_rating(&reading->triples, second);

	if (third == INFINITY)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("column \"%s\" of relation \"%s\" has more than two values: %g, %g, %g%s",
					definition->rating_column, get_rel_name(definition->ratings), reading->min,
					second, third, third < reading->max ? " and more" : ""),
			 errhint(
				 "task => 'classification' needs two: the larger means yes, the smaller no. Make "
				 "a view of the relation that says, for example, rating >= 4 AS rating.")));
}

void
fm_rank_ratings(FmTrainingData *data)
{
	FmRatingReading *reading = data->ratings;
	FmTriples *triples = &reading->triples;

	data->user_order = fm_idmap_order(reading->users);
	data->item_order = fm_idmap_order(reading->items);
	rank_indices(triples->user, triples->count, data->user_order, fm_idmap_count(reading->users));
	rank_indices(triples->item, triples->count, data->item_order, fm_idmap_count(reading->items));
}

int64 *
fm_digest_ratings(const FmTrainingData *data, int side)
{
	const FmRatingReading *reading = data->ratings;
	const FmTriples *triples = &reading->triples;
	const FmIdMap *others = side == FM_USERS ? reading->items : reading->users;
	const int32 *other_order = side == FM_USERS ? data->item_order : data->user_order;
	const int32 *own = side == FM_USERS ? triples->user : triples->item;
	const int32 *other = side == FM_USERS ? triples->item : triples->user;
	int32 num_own = fm_idmap_count(side == FM_USERS ? reading->users : reading->items);
	int32 num_others = fm_idmap_count(others);
	uint64 *digest = MemoryContextAllocExtended(CurrentMemoryContext,
												Max(num_own, 1) * sizeof(uint64),
												MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	uint32 *hash = MemoryContextAllocHuge(CurrentMemoryContext,
										  Max(num_others, 1) * sizeof(uint32));

	for (int32 e = 0; e < num_others; e++)
		hash[e] = fm_idmap_hash(others, other_order[e]);
	for (int64 r = 0; r < triples->count; r++)
	{
		struct
		{
			uint32 other;
			float value;
			float weight;
		} row = {hash[other[r]], triples->value[r],
				 triples->weight != NULL ? triples->weight[r] : 1};

		digest[own[r]] += hash_bytes_extended((const unsigned char *) &row, sizeof(row), 0);
		if (r % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	pfree(hash);
	return (int64 *) digest;
}

/* Read the features of one side. Ids that have no ratings are added to the map of that side. */
static FmFeatureReading *
read_features(const FmDefinition *definition, FmRatingReading *reading, int side)
{
	const char *key = side == FM_USERS ? definition->user_column : definition->item_column;
	FmIdMap *ids = side == FM_USERS ? reading->users : reading->items;

	if (!OidIsValid(definition->features[side]))
		return NULL;
	return fm_read_features(definition, definition->features[side], key, ids,
							fm_ratings_in_memory(definition, reading->triples.count,
												 fm_idmap_count(reading->users),
												 fm_idmap_count(reading->items)));
}

/* Return the size of an id in an index, which compresses long values. */
static Size
size_in_index(Datum id)
{
	const char *data = VARDATA_ANY(DatumGetPointer(id));
	int32 length = VARSIZE_ANY_EXHDR(DatumGetPointer(id));
	char *compressed;
	int32 size;

	if (length <= LONGEST_ID)
		return length;
	compressed = palloc(PGLZ_MAX_OUTPUT(length));
	size = pglz_compress(data, length, compressed, PGLZ_strategy_default);
	pfree(compressed);
	return size < 0 ? length : size;
}

/* Raise an error if an id is too long for the key of the model's table. */
static void
check_id_lengths(const FmIdMap *ids, Oid relation, const char *column)
{
	if (fm_idmap_type(ids)->typlen != -1)
		return;
	for (int32 i = 0; i < fm_idmap_count(ids); i++)
		if (size_in_index(fm_idmap_id(ids, i)) > LONGEST_ID)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("column \"%s\" of relation \"%s\" holds an id of %zu bytes", column,
							get_rel_name(relation),
							(Size) VARSIZE_ANY_EXHDR(DatumGetPointer(fm_idmap_id(ids, i)))),
					 errdetail("An id may take %d bytes in an index.", LONGEST_ID),
					 errhint("Make a view of the relation that shortens it, for example to its "
							 "md5().")));
}

/* Read the ratings again, relative to their mean, if reals cannot tell them apart otherwise. */
static void
center_ratings(const FmDefinition *definition, FmRatingReading *reading)
{
	double center;

	if (!(reading->least < reading->greatest))
		return;
	center = fm_rating_center(definition->task, reading->min, reading->max,
							  fm_rating_reading_mean(reading));
	if (center == 0)
		return;
	fm_rating_reading_rewind(reading, center);
	fm_read_ratings(definition, false, reading);
	check_something_read(definition, reading);
}

void
fm_read_training_data(const FmDefinition *definition, FmTrainingData *data)
{
	FmRatingReading *reading;
	FmIdType user_type;
	FmIdType item_type;

	fm_check_ratings_relation(definition, &user_type, &item_type);
	fm_check_budget_to_read(definition);
	data->ratings = reading = fm_rating_reading_create(&user_type, &item_type, definition);
	reading->is_training = true;
	if (definition->split_column != NULL)
		reading->is_late = palloc(reading->capacity * sizeof(bool));
	fm_read_ratings(definition, false, reading);
	check_something_read(definition, reading);
	center_ratings(definition, reading);
	if (fm_is_classification(definition->task))
	{
		check_two_labels(definition, reading);
		fm_label_ratings(definition, reading, reading->min, reading->max);
	}

	for (int side = 0; side < 2; side++)
		data->features[side] = read_features(definition, reading, side);
	check_id_lengths(reading->users, definition->ratings, definition->user_column);
	check_id_lengths(reading->items, definition->ratings, definition->item_column);
	if (reading->contexts != NULL)
		fm_number_contexts(reading->contexts, &reading->triples);
	fm_rank_ratings(data);
	if (data->features[FM_USERS] != NULL)
		rank_indices(data->features[FM_USERS]->entries.entity,
					 data->features[FM_USERS]->entries.count, data->user_order,
					 fm_idmap_count(reading->users));
	if (data->features[FM_ITEMS] != NULL)
		rank_indices(data->features[FM_ITEMS]->entries.entity,
					 data->features[FM_ITEMS]->entries.count, data->item_order,
					 fm_idmap_count(reading->items));
}
