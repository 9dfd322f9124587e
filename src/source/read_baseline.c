/*
 * Baselines from what a ratings relation holds now (core/model/baseline.h).
 *
 * The relation is read once for the items and, if ratings are predicted, once more for the users. A
 * value that a training would refuse is left out. Memory: that of the host; it does not grow with
 * the number of ratings. Locking: that of the queries.
 */
#include "source/read_baseline.h"

#include <math.h>

#include "pg/sql.h"
#include "registry/definition.h"
#include "source/ratings_columns.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* What is read of a row; the value only if there are ratings. */
enum
{
	BASELINE_USER,
	BASELINE_ITEM,
	BASELINE_VALUE,
	NUM_BASELINE_COLUMNS
};

typedef struct Reading
{
	const FmBaselineSource *source;
	const FmRatingReading *evaluated;
	FmBaseline *baseline;
} Reading;

/* Return the model's index of the row's item, or -1. */
static int32
row_item(const Reading *reading, const FmRow *row)
{
	int32 item;

	if (fm_row_is_null(row, BASELINE_USER) || fm_row_is_null(row, BASELINE_ITEM))
		return -1;
	item = fm_idmap_find(reading->evaluated->items, fm_row_value(row, BASELINE_ITEM));
	return item < reading->source->num_items ? item : -1;
}

/* Take the rating as the model has it, 1 or 0 in a classification; false if it does not count. */
static bool
take_value(const Reading *reading, const FmRow *row, double *value)
{
	const FmBaselineSource *source = reading->source;

	if (!source->has_ratings || fm_row_is_null(row, BASELINE_VALUE))
		return false;
	*value = fm_row_double(row, BASELINE_VALUE);
	if (!isfinite((float) *value))
		return false;
	if (!fm_is_classification(source->definition->task))
		*value -= reading->evaluated->center;
	else if ((float) *value != source->no && (float) *value != source->yes)
		return false;
	else
		*value = (float) *value == source->yes;
	return true;
}

/* FmRowReader */
static bool
add_to_item(void *state, const FmRow *row)
{
	const Reading *reading = state;
	int32 item = row_item(reading, row);
	double value;

	if (item < 0)
		return true;
	fm_baseline_count(reading->baseline, item);
	if (take_value(reading, row, &value))
		fm_baseline_add_item(reading->baseline, item, value);
	return true;
}

/* FmRowReader */
static bool
add_to_user(void *state, const FmRow *row)
{
	const Reading *reading = state;
	int32 item = row_item(reading, row);
	int32 user = -1;
	double value;

	if (item >= 0)
		user = fm_idmap_find(reading->evaluated->users, fm_row_value(row, BASELINE_USER));
	if (user >= 0 && take_value(reading, row, &value))
		fm_baseline_add_user(reading->baseline, user, item, value);
	return true;
}

static FmColumn
id_column(const FmDefinition *definition, const char *column, const FmIdMap *ids)
{
	return fm_id_column(psprintf("r.%s", quote_identifier(column)),
						get_atttype(definition->ratings, get_attnum(definition->ratings, column)),
						fm_idmap_type(ids));
}

static void
scan(Reading *reading, FmRowReader reader)
{
	FmDefinition definition = *reading->source->definition;
	FmColumn columns[NUM_BASELINE_COLUMNS] = {
		[BASELINE_USER] = id_column(&definition, definition.user_column, reading->evaluated->users),
		[BASELINE_ITEM] = id_column(&definition, definition.item_column,
									reading->evaluated->items)};
	int count = BASELINE_VALUE;

	definition.weight_column = NULL;
	if (reading->source->has_ratings)
		count += fm_value_columns(&definition, columns + BASELINE_VALUE);
	fm_sql_scan(psprintf("SELECT %s FROM %s r", fm_select_list(columns, count),
						 fm_relation_sql(definition.ratings)),
				NULL, reading->source->read_only, columns, count, reader, reading);
}

FmBaseline *
fm_read_baseline(const FmBaselineSource *source, const FmRatingReading *evaluated, double mean,
				 const FmHost *host)
{
	FmBaseline *baseline = fm_baseline_create(fm_idmap_count(evaluated->users), source->num_items,
											  host);
	Reading reading = {source, evaluated, baseline};

	scan(&reading, add_to_item);
	fm_baseline_finish_items(baseline, host);
	if (baseline->num_ratings > 0)
		scan(&reading, add_to_user);
	else
		baseline->mean = mean;
	return baseline;
}
