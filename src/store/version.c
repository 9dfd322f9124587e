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
};

/* Return the constraint of a column. Only a ranking has an item_gram. */
static const char *
column_constraint(int column)
{
	return column == COL_VERSION ? " PRIMARY KEY" : column == COL_ITEM_GRAM ? "" : " NOT NULL";
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
}

void
fm_version_read(const FmModel *model, bool read_only, FmVersion *version, FmVersionArrays *arrays)
{
	FmSqlParameters parameters = {0};
	FmRows rows;

	fm_add_integer(&parameters, model->version);
	fm_sql_run(psprintf("SELECT %s FROM %s WHERE version = $1",
						fm_select_list(columns, NUM_COLUMNS),
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

/* Set the parameters of the INSERT, by column. */
static void
set_values(const FmVersion *version, const FmVersionArrays *arrays, int64 stamp, Datum *values)
{
	int k = version->num_factors;
	size_t root_length = fm_prior_root_length(k);

	values[COL_VERSION] = Int32GetDatum(version->number);
	values[COL_TASK] = CStringGetTextDatum(fm_task_name(version->task));
	values[COL_NUM_FACTORS] = Int32GetDatum(k);
	values[COL_B] = Float8GetDatum(version->b);
	values[COL_RATING_MIN] = Float4GetDatum(version->rating_min);
	values[COL_RATING_MAX] = Float4GetDatum(version->rating_max);
	values[COL_RATING_MEAN] = Float8GetDatum(version->rating_mean);
	values[COL_SCORE_VARIANCE] = Float8GetDatum(version->score_variance);
	values[COL_USERS] = Int32GetDatum(version->num_users);
	values[COL_ITEMS] = Int32GetDatum(version->num_items);
	values[COL_STAMP] = Int64GetDatum(stamp);
	values[COL_NOISE_VARIANCE] = Float8GetDatum(version->noise_variance);
	values[COL_USER_MEAN] = finite_array(version, COL_USER_MEAN, arrays->user_prior.mean, k + 1);
	values[COL_USER_ROOT] = finite_array(version, COL_USER_ROOT, arrays->user_prior.root,
										 root_length);
	values[COL_ITEM_MEAN] = finite_array(version, COL_ITEM_MEAN, arrays->item_prior.mean, k + 1);
	values[COL_ITEM_ROOT] = finite_array(version, COL_ITEM_ROOT, arrays->item_prior.root,
										 root_length);
	values[COL_UNOBSERVED_WEIGHT] = Float8GetDatum(version->unobserved_weight);
	if (arrays->item_gram != NULL)
		values[COL_ITEM_GRAM] = finite_array(version, COL_ITEM_GRAM, arrays->item_gram,
											 fm_all_pairs_length(k));
}

void
fm_version_insert(const FmModel *model, const FmVersion *version, const FmVersionArrays *arrays,
				  int64 stamp)
{
	FmSqlParameters parameters = {0};

	for (int c = 0; c < NUM_COLUMNS; c++)
		fm_add_parameter(&parameters, columns[c].type, (Datum) 0,
						 c == COL_ACTIVATION || (c == COL_ITEM_GRAM && arrays->item_gram == NULL));
	set_values(version, arrays, stamp, parameters.values);
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
