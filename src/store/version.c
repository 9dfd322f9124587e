/*
 * A version of a model: its row in the version table, created, inserted and read by one list of
 * columns.
 *
 * Locking: the statements' own; the caller of an insert or an activation has locked the model's
 * pointer. Memory: the current context.
 */
#include "store/version.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "pg/real_array.h"
#include "pg/sql.h"
#include "pg/sql_rows.h"
#include "registry/definition.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* In the order in which the table has them. */
enum
{
	COL_VERSION,
	COL_TASK,
	COL_NUM_FACTORS,
	COL_B,
	COL_RATING_MIN,
	COL_RATING_MAX,
	COL_RATING_MEAN,
	COL_SCORE_VARIANCE,
	COL_USERS,
	COL_ITEMS,
	COL_STAMP,
	COL_ACTIVATION,
	COL_NOISE_VARIANCE,
	COL_USER_MEAN,
	COL_USER_ROOT,
	COL_ITEM_MEAN,
	COL_ITEM_ROOT,
	COL_UNOBSERVED_WEIGHT,
	COL_ITEM_GRAM,
	NUM_FIRST_COLUMNS, /* those of the earliest layout */
	COL_INTEREST_FACTORS = NUM_FIRST_COLUMNS,
	COL_INTEREST_B,
	COL_INTEREST_NOISE_VARIANCE,
	COL_RATING_SHARE,
	COL_MEAN_ITEM_COUNT,
	COL_NOVELTY_UNIT,
	COL_NOVELTY,
	COL_HAS_POPULARITY,
	COL_STRENGTH_KIND,
	COL_STRENGTH_CENTER,
	COL_STRENGTH_DEVIATION,
	COL_STRENGTH_UNIT,
	COL_STRENGTH_SCALE,
	COL_INTEREST_USER_MEAN,
	COL_INTEREST_USER_ROOT,
	COL_INTEREST_ITEM_MEAN,
	COL_INTEREST_ITEM_ROOT,
	COL_REPEAT_CORRELATION,
	COL_WEIGHT_UNIT,
	NUM_COLUMNS
};

static const FmColumn columns[NUM_COLUMNS] = {
	[COL_VERSION] = {"version", INT4OID},
	[COL_TASK] = {"task", TEXTOID},
	[COL_NUM_FACTORS] = {"num_factors", INT4OID},
	[COL_B] = {"b", FLOAT8OID},
	[COL_RATING_MIN] = {"rating_min", FLOAT4OID},
	[COL_RATING_MAX] = {"rating_max", FLOAT4OID},
	[COL_RATING_MEAN] = {"rating_mean", FLOAT8OID},
	[COL_SCORE_VARIANCE] = {"score_variance", FLOAT8OID},
	[COL_USERS] = {"users", INT4OID},
	[COL_ITEMS] = {"items", INT4OID},
	[COL_STAMP] = {"stamp", INT8OID},
	[COL_ACTIVATION] = {"activation", INT8OID},
	[COL_NOISE_VARIANCE] = {"noise_variance", FLOAT8OID},
	[COL_USER_MEAN] = {"user_mean", FLOAT4ARRAYOID},
	[COL_USER_ROOT] = {"user_root", FLOAT4ARRAYOID},
	[COL_ITEM_MEAN] = {"item_mean", FLOAT4ARRAYOID},
	[COL_ITEM_ROOT] = {"item_root", FLOAT4ARRAYOID},
	[COL_UNOBSERVED_WEIGHT] = {"unobserved_weight", FLOAT8OID},
	[COL_ITEM_GRAM] = {"item_gram", FLOAT4ARRAYOID},
	[COL_INTEREST_FACTORS] = {"interest_factors", INT4OID},
	[COL_INTEREST_B] = {"interest_b", FLOAT8OID},
	[COL_INTEREST_NOISE_VARIANCE] = {"interest_noise_variance", FLOAT8OID},
	[COL_RATING_SHARE] = {"rating_share", FLOAT8OID},
	[COL_MEAN_ITEM_COUNT] = {"mean_item_count", FLOAT8OID},
	[COL_NOVELTY_UNIT] = {"novelty_unit", FLOAT8OID},
	[COL_NOVELTY] = {"novelty", FLOAT8OID},
	[COL_HAS_POPULARITY] = {"has_popularity", BOOLOID},
	[COL_STRENGTH_KIND] = {"strength_kind", INT4OID},
	[COL_STRENGTH_CENTER] = {"strength_center", FLOAT8OID},
	[COL_STRENGTH_DEVIATION] = {"strength_deviation", FLOAT8OID},
	[COL_STRENGTH_UNIT] = {"strength_unit", FLOAT8OID},
	[COL_STRENGTH_SCALE] = {"strength_scale", FLOAT8OID},
	[COL_INTEREST_USER_MEAN] = {"interest_user_mean", FLOAT4ARRAYOID},
	[COL_INTEREST_USER_ROOT] = {"interest_user_root", FLOAT4ARRAYOID},
	[COL_INTEREST_ITEM_MEAN] = {"interest_item_mean", FLOAT4ARRAYOID},
	[COL_INTEREST_ITEM_ROOT] = {"interest_item_root", FLOAT4ARRAYOID},
	[COL_REPEAT_CORRELATION] = {"repeat_correlation", FLOAT8OID},
	[COL_WEIGHT_UNIT] = {"weight_unit", FLOAT8OID},
};

/*
 * Return the constraint of a column. Not every version has an item_gram, nor what later layouts
 * have added.
 */
static const char *
column_constraint(int column)
{
	if (column == COL_VERSION)
		return " PRIMARY KEY";
	return column == COL_ITEM_GRAM || column >= NUM_FIRST_COLUMNS ? "" : " NOT NULL";
}

char *
fm_version_column_definitions(void)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int c = 0; c < NUM_COLUMNS; c++)
		appendStringInfo(&sql, "%s%s %s%s", c > 0 ? ", " : "", columns[c].sql,
						 format_type_be(columns[c].type), column_constraint(c));
	return sql.data;
}

void
fm_version_add_columns(const FmModel *model)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int c = NUM_FIRST_COLUMNS; c < NUM_COLUMNS; c++)
		if (get_attnum(model->version_table, columns[c].sql) == InvalidAttrNumber)
			appendStringInfo(&sql, "%s ADD %s %s", sql.len > 0 ? "," : "", columns[c].sql,
							 format_type_be(columns[c].type));
	if (sql.len > 0)
		fm_sql_run(psprintf("ALTER TABLE %s%s", fm_relation_sql(model->version_table), sql.data),
				   NULL, false);
}

/* Return the SELECT list, with NULL for the columns that a table of an earlier layout lacks. */
static char *
present_columns(const FmModel *model)
{
	StringInfoData sql;

	initStringInfo(&sql);
	fm_append_select_list(&sql, columns, NUM_FIRST_COLUMNS);
	for (int c = NUM_FIRST_COLUMNS; c < NUM_COLUMNS; c++)
		if (get_attnum(model->version_table, columns[c].sql) == InvalidAttrNumber)
			appendStringInfo(&sql, ", NULL::%s AS %s", format_type_be(columns[c].type),
							 columns[c].sql);
		else
			appendStringInfo(&sql, ", %s", columns[c].sql);
	return sql.data;
}

/* Read what orders lists. A version of an earlier layout has none of it. */
static void
read_list_numbers(const FmModel *model, const FmRow *row, FmVersion *version)
{
	version->interest_factors = fm_row_integer_or(row, COL_INTEREST_FACTORS, 0);
	version->interest_b = fm_row_double_or(row, COL_INTEREST_B, 0);
	version->interest_noise_variance = fm_row_double_or(row, COL_INTEREST_NOISE_VARIANCE, 1);
	version->rating_share = fm_row_double_or(row, COL_RATING_SHARE, 1);
	version->mean_item_count = fm_row_double_or(row, COL_MEAN_ITEM_COUNT, 0);
	version->novelty_unit = fm_row_double_or(row, COL_NOVELTY_UNIT, 1);
	version->novelty = fm_row_double_or(row, COL_NOVELTY, 0);
	version->has_popularity = fm_row_boolean_or(row, COL_HAS_POPULARITY, false);
	if (version->interest_factors < 0 || version->interest_factors > FM_MAX_FACTORS ||
		(version->interest_factors > 0 && fm_is_ranking(version->task)) ||
		!isfinite(version->interest_b) || !isfinite(version->interest_noise_variance) ||
		version->interest_noise_variance <= 0 || !isfinite(version->rating_share) ||
		version->rating_share <= 0 || !isfinite(version->novelty_unit) ||
		version->novelty_unit <= 0 || !isfinite(version->novelty) ||
		!isfinite(version->mean_item_count) || version->mean_item_count < 0 ||
		(version->has_popularity && version->mean_item_count == 0))
		fm_model_damaged(model, "its row in the version table is out of range");
}

/* Read what the strengths of pairs are made of. A version of an earlier layout has equal ones. */
static void
read_strength(const FmModel *model, const FmRow *row, FmStrength *strength)
{
	int kind = fm_row_integer_or(row, COL_STRENGTH_KIND, FM_STRENGTH_EQUAL);

	strength->kind = (FmStrengthKind) kind;
	strength->center = fm_row_double_or(row, COL_STRENGTH_CENTER, 0);
	strength->deviation = fm_row_double_or(row, COL_STRENGTH_DEVIATION, 1);
	strength->unit = fm_row_double_or(row, COL_STRENGTH_UNIT, 0);
	strength->scale = fm_row_double_or(row, COL_STRENGTH_SCALE, 1);
	if (kind < FM_STRENGTH_EQUAL || kind > FM_STRENGTH_BOTH || !isfinite(strength->center) ||
		!isfinite(strength->deviation) || strength->deviation <= 0 || !isfinite(strength->unit) ||
		!isfinite(strength->scale) || strength->scale <= 0)
		fm_model_damaged(model, "its row in the version table is out of range");
}

/* Read how repeats and weights count. In earlier layouts each row counted by itself. */
static void
read_weighting(const FmModel *model, const FmRow *row, FmVersion *version)
{
	version->repeat_correlation = fm_row_double_or(row, COL_REPEAT_CORRELATION, 0);
	version->weight_unit = fm_row_double_or(row, COL_WEIGHT_UNIT, 1);
	if (!(version->repeat_correlation >= 0 && version->repeat_correlation <= 1) ||
		!isfinite(version->weight_unit) || version->weight_unit <= 0)
		fm_model_damaged(model, "its row in the version table is out of range");
}

static void
read_numbers(const FmModel *model, const FmRow *row, FmVersion *version)
{
	version->number = fm_row_integer(row, COL_VERSION);
	version->num_factors = fm_row_integer(row, COL_NUM_FACTORS);
	version->b = fm_row_double(row, COL_B);
	version->rating_min = fm_row_real(row, COL_RATING_MIN);
	version->rating_max = fm_row_real(row, COL_RATING_MAX);
	version->rating_mean = fm_row_double(row, COL_RATING_MEAN);
	version->score_variance = fm_row_double(row, COL_SCORE_VARIANCE);
	version->num_users = fm_row_integer(row, COL_USERS);
	version->num_items = fm_row_integer(row, COL_ITEMS);
	version->noise_variance = fm_row_double(row, COL_NOISE_VARIANCE);
	version->unobserved_weight = fm_row_double(row, COL_UNOBSERVED_WEIGHT);
	if (!fm_find_task(fm_row_text(row, COL_TASK), &version->task) ||
		version->num_factors < FM_MIN_FACTORS || version->num_factors > FM_MAX_FACTORS ||
		!isfinite(version->b) || !isfinite(version->score_variance) ||
		version->score_variance < 0 || !isfinite(version->noise_variance) ||
		version->noise_variance <= 0 || !isfinite(version->unobserved_weight) ||
		version->unobserved_weight < 0 || !isfinite(version->rating_mean) ||
		!isfinite(version->rating_max) || !(version->rating_min <= version->rating_max) ||
		!isfinite(version->rating_min))
		fm_model_damaged(model, "its row in the version table is out of range");
	read_list_numbers(model, row, version);
	read_strength(model, row, &version->strength);
	read_weighting(model, row, version);
}

static float *
read_array(const FmRow *row, int column, size_t length)
{
	float *array = palloc(length * sizeof(float));

	fm_read_real_array(fm_row_value(row, column), (int) length,
					   psprintf("a version's %s", columns[column].sql), array);
	return array;
}

static void
read_arrays(const FmRow *row, const FmVersion *version, FmVersionArrays *arrays)
{
	int k = version->num_factors;

	*arrays = (FmVersionArrays){0};
	arrays->user_prior.mean = read_array(row, COL_USER_MEAN, k + 1);
	arrays->user_prior.root = read_array(row, COL_USER_ROOT, fm_prior_root_length(k));
	arrays->item_prior.mean = read_array(row, COL_ITEM_MEAN, k + 1);
	arrays->item_prior.root = read_array(row, COL_ITEM_ROOT, fm_prior_root_length(k));
	if (fm_is_ranking(version->task))
		arrays->item_gram = read_array(row, COL_ITEM_GRAM, fm_all_pairs_length(k));
	if (version->interest_factors == 0)
		return;
	k = version->interest_factors;
	arrays->item_gram = read_array(row, COL_ITEM_GRAM, fm_all_pairs_length(k));
	arrays->interest_user_prior.mean = read_array(row, COL_INTEREST_USER_MEAN, k + 1);
	arrays->interest_user_prior.root = read_array(row, COL_INTEREST_USER_ROOT,
												  fm_prior_root_length(k));
	arrays->interest_item_prior.mean = read_array(row, COL_INTEREST_ITEM_MEAN, k + 1);
	arrays->interest_item_prior.root = read_array(row, COL_INTEREST_ITEM_ROOT,
												  fm_prior_root_length(k));
}

void
fm_version_read(const FmModel *model, bool read_only, FmVersion *version, FmVersionArrays *arrays)
{
	FmSqlParameters parameters = {0};
	FmRows rows;

	fm_add_integer(&parameters, model->version);
	fm_sql_run(psprintf("SELECT %s FROM %s WHERE version = $1", present_columns(model),
						fm_relation_sql(model->version_table)),
			   &parameters, read_only);
	fm_rows_begin(&rows, columns, NUM_COLUMNS);
	if (rows.count != 1 || !fm_rows_next(&rows))
		fm_model_damaged(model, "its row in the version table is missing");
	read_numbers(model, &rows.row, version);
	read_arrays(&rows.row, version, arrays);
	fm_rows_end(&rows);
}

/* Return SQL for the activation of the version that is activated next. */
static char *
next_activation(const FmModel *model)
{
	return psprintf("(SELECT coalesce(max(activation), 0) + 1 FROM %s)",
					fm_relation_sql(model->version_table));
}

/* "$1, $2, ...", one for each column, but an expression for the activation. */
static char *
values_list(const FmModel *model)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int c = 0; c < NUM_COLUMNS; c++)
		if (c == COL_ACTIVATION)
			appendStringInfo(&sql, ", %s", next_activation(model));
		else
			appendStringInfo(&sql, "%s$%d", c > 0 ? ", " : "", c + 1);
	return sql.data;
}

/* Return an array as a parameter. It is an error if an element does not fit the type real. */
static Datum
finite_array(const FmVersion *version, int column, const float *values, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isfinite(values[i]))
			ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							errmsg("the %s of version %d is out of range for type real",
								   columns[column].sql, version->number),
							errhint("Train on ratings of a smaller scale.")));
	return fm_real_array(values, (int) length);
}

/* Set the parameters of an array that a version may lack. */
static void
set_array(const FmVersion *version, int column, const float *array, size_t length,
		  FmSqlParameters *parameters)
{
	if (array == NULL)
		return;
	parameters->values[column] = finite_array(version, column, array, length);
	parameters->nulls[column] = ' ';
}

/* Set the parameters of the INSERT, by column. */
static void
set_numbers(const FmVersion *version, int64 stamp, Datum *values)
{
	values[COL_VERSION] = Int32GetDatum(version->number);
	values[COL_TASK] = CStringGetTextDatum(fm_task_name(version->task));
	values[COL_NUM_FACTORS] = Int32GetDatum(version->num_factors);
	values[COL_B] = Float8GetDatum(version->b);
	values[COL_RATING_MIN] = Float4GetDatum(version->rating_min);
	values[COL_RATING_MAX] = Float4GetDatum(version->rating_max);
	values[COL_RATING_MEAN] = Float8GetDatum(version->rating_mean);
	values[COL_SCORE_VARIANCE] = Float8GetDatum(version->score_variance);
	values[COL_USERS] = Int32GetDatum(version->num_users);
	values[COL_ITEMS] = Int32GetDatum(version->num_items);
	values[COL_STAMP] = Int64GetDatum(stamp);
	values[COL_NOISE_VARIANCE] = Float8GetDatum(version->noise_variance);
	values[COL_UNOBSERVED_WEIGHT] = Float8GetDatum(version->unobserved_weight);
	values[COL_INTEREST_FACTORS] = Int32GetDatum(version->interest_factors);
	values[COL_INTEREST_B] = Float8GetDatum(version->interest_b);
	values[COL_INTEREST_NOISE_VARIANCE] = Float8GetDatum(version->interest_noise_variance);
	values[COL_RATING_SHARE] = Float8GetDatum(version->rating_share);
	values[COL_MEAN_ITEM_COUNT] = Float8GetDatum(version->mean_item_count);
	values[COL_NOVELTY_UNIT] = Float8GetDatum(version->novelty_unit);
	values[COL_NOVELTY] = Float8GetDatum(version->novelty);
	values[COL_HAS_POPULARITY] = BoolGetDatum(version->has_popularity);
	values[COL_STRENGTH_KIND] = Int32GetDatum(version->strength.kind);
	values[COL_STRENGTH_CENTER] = Float8GetDatum(version->strength.center);
	values[COL_STRENGTH_DEVIATION] = Float8GetDatum(version->strength.deviation);
	values[COL_STRENGTH_UNIT] = Float8GetDatum(version->strength.unit);
	values[COL_STRENGTH_SCALE] = Float8GetDatum(version->strength.scale);
	values[COL_REPEAT_CORRELATION] = Float8GetDatum(version->repeat_correlation);
	values[COL_WEIGHT_UNIT] = Float8GetDatum(version->weight_unit);
}

static void
set_arrays(const FmVersion *version, const FmVersionArrays *arrays, FmSqlParameters *parameters)
{
	bool is_two = version->interest_factors > 0;
	int k = version->num_factors, interest = version->interest_factors;
	size_t root_length = fm_prior_root_length(k), interest_root = fm_prior_root_length(interest);
	const struct
	{
		int column;
		const float *array;
		size_t length;
	} all[] = {{COL_USER_MEAN, arrays->user_prior.mean, k + 1},
			   {COL_USER_ROOT, arrays->user_prior.root, root_length},
			   {COL_ITEM_MEAN, arrays->item_prior.mean, k + 1},
			   {COL_ITEM_ROOT, arrays->item_prior.root, root_length},
			   {COL_ITEM_GRAM, arrays->item_gram, fm_all_pairs_length(is_two ? interest : k)},
			   {COL_INTEREST_USER_MEAN, arrays->interest_user_prior.mean, interest + 1},
			   {COL_INTEREST_USER_ROOT, arrays->interest_user_prior.root, interest_root},
			   {COL_INTEREST_ITEM_MEAN, arrays->interest_item_prior.mean, interest + 1},
			   {COL_INTEREST_ITEM_ROOT, arrays->interest_item_prior.root, interest_root}};

	for (int i = 0; i < lengthof(all); i++)
		set_array(version, all[i].column, all[i].array, all[i].length, parameters);
}

void
fm_version_insert(const FmModel *model, const FmVersion *version, const FmVersionArrays *arrays,
				  int64 stamp)
{
	FmSqlParameters parameters = {0};

	for (int c = 0; c < NUM_COLUMNS; c++)
		fm_add_parameter(&parameters, columns[c].type, (Datum) 0,
						 c == COL_ACTIVATION || columns[c].type == FLOAT4ARRAYOID);
	set_numbers(version, stamp, parameters.values);
	set_arrays(version, arrays, &parameters);
	fm_sql_run(psprintf("INSERT INTO %s (%s) VALUES (%s)", fm_relation_sql(model->version_table),
						fm_select_list(columns, NUM_COLUMNS), values_list(model)),
			   &parameters, false);
}

void
fm_version_activate(const FmModel *model, int32 number, int64 stamp)
{
	FmSqlParameters parameters = {0};

	fm_add_integer(&parameters, number);
	fm_add_bigint(&parameters, stamp);
	fm_sql_run(psprintf("UPDATE %s SET stamp = $2, activation = %s WHERE version = $1",
						fm_relation_sql(model->version_table), next_activation(model)),
			   &parameters, false);
}

bool
fm_version_exists(const FmModel *model, int32 number)
{
	FmSqlParameters parameters = {0};

	fm_add_integer(&parameters, number);
	fm_sql_run(psprintf("SELECT FROM %s WHERE version = $1", fm_relation_sql(model->version_table)),
			   &parameters, false);
	return SPI_processed > 0;
}
