/*
 * Writing the registry's trials: what fm_tune has tried. The key of a trial is a text of all that
 * it depends on. Locking and memory: see registry_sql.c; trials are numbered while the model's
 * pointer is locked.
 */
#include "registry/registry_trials.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/train/ials.h"
#include "registry/registry_models.h"
#include "registry/registry_runs.h"
#include "registry/registry_sql.h"
#include "pg/sql.h"
#include "utils/timestamp.h"

static double
metric_value(const FmRun *run, FmTask task)
{
	if (fm_is_ranking(task))
		return run->test_lists.lists.ndcg / (double) run->test_lists.lists.users;
	return fm_is_classification(task) ? fm_log_loss(run->test_labels) : fm_rmse(&run->test);
}

/* Return a text of all that a trial depends on, except the rows of the relations. */
static char *
trial_key(const FmDefinition *d)
{
	StringInfoData contexts;

	initStringInfo(&contexts);
	for (int c = 0; c < d->num_context_columns; c++)
		appendStringInfo(&contexts, " %s", d->context_columns[c]);
	return psprintf("%u %u %u %d, %s %s %s %s%s, %s %s %d %d, %g %g %g %g, %g %s %lld", d->ratings,
					d->features[FM_USERS], d->features[FM_ITEMS], d->history, d->user_column,
					d->item_column, d->rating_column, d->weight_column ? d->weight_column : "",
					contexts.data, fm_task_name(d->task), fm_solver_name(d->solver), d->num_factors,
					d->iterations, d->l2_reg_w, d->l2_reg_v, d->unobserved_weight, d->init_stdev,
					d->test_size, d->split_column ? d->split_column : "", (long long) d->seed);
}

bool
fm_registry_find_trial(Oid schema, const FmModel *model, FmTrial *trial)
{
	enum
	{
		VALUE,
		NUM_FACTORS,
		RATINGS,
		USERS,
		ITEMS
	};
	static const FmColumn columns[] = {[VALUE] = {"value", FLOAT8OID},
									   [NUM_FACTORS] = {"num_factors", INT4OID},
									   [RATINGS] = {"ratings::float8", FLOAT8OID},
									   [USERS] = {"users::float8", FLOAT8OID},
									   [ITEMS] = {"items::float8", FLOAT8OID}};
	FmSqlParameters parameters = {0};
	FmRows rows;
	bool found;

	fm_add_text(&parameters, model->name);
	fm_add_text(&parameters, trial_key(&model->definition));
	fm_registry_execute(schema, "fm_trial",
						psprintf("SELECT %s FROM %%s WHERE model = $1 AND key = $2 "
								 "ORDER BY trial DESC LIMIT 1",
								 fm_select_list(columns, lengthof(columns))),
						&parameters);
	fm_rows_begin(&rows, columns, lengthof(columns));
	found = fm_rows_next(&rows);
	if (found)
	{
		trial->value = fm_row_double_or(&rows.row, VALUE, NAN);
		trial->num_factors = fm_row_integer_or(&rows.row, NUM_FACTORS, 0);
		if (!fm_row_is_null(&rows.row, VALUE))
			trial->default_unobserved_weight =
				fm_ials_unobserved_weight(-1, fm_row_double(&rows.row, RATINGS),
										  fm_row_double(&rows.row, USERS) *
											  fm_row_double(&rows.row, ITEMS));
	}
	fm_rows_end(&rows);
	return found;
}

void
fm_registry_save_trial(Oid schema, const FmModel *model, const FmRun *run, const char *failure)
{
	const FmDefinition *definition = &model->definition;
	const char *metric = fm_metric_name(definition->task);
	int factors = failure == NULL ? run->num_factors : definition->num_factors;
	FmSqlParameters parameters = {0};

	(void) fm_registry_lock_pointer(schema, model->name); /* so that the number is unique */
	fm_add_text(&parameters, model->name);
	fm_add_text(&parameters, trial_key(definition));
	fm_add_parameter(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(run->started_at), false);
	fm_add_parameter(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp()),
					 false);
	fm_add_text(&parameters, fm_task_name(definition->task));
	fm_add_text(&parameters, fm_solver_name(definition->solver));
	fm_add_integer_or_null(&parameters, factors, factors == 0);
	fm_add_real(&parameters, definition->l2_reg_w);
	fm_add_real(&parameters, definition->l2_reg_v);
	fm_add_real(&parameters, definition->unobserved_weight);
	fm_add_real(&parameters, definition->test_size);
	fm_add_text(&parameters, definition->split_column);
	fm_add_text(&parameters, metric);
	fm_add_double(&parameters, failure == NULL ? metric_value(run, definition->task) : NAN);
	fm_add_test_metrics(&parameters, run);
	fm_add_bigint(&parameters, run->users);
	fm_add_bigint(&parameters, run->items);
	fm_add_bigint(&parameters, run->ratings);
	fm_add_text(&parameters, failure);
	fm_registry_execute(
		schema, "fm_trial",
		"INSERT INTO %1$s (trial, model, key, started_at, finished_at, task, solver, num_factors, "
		"l2_reg_w, l2_reg_v, unobserved_weight, validation_size, time_column, metric, value, "
		"metrics, users, items, ratings, message) "
		"SELECT (SELECT coalesce(max(trial), 0) + 1 FROM %1$s WHERE model = $1), $1, $2, $3, $4, "
		"$5, $6, $7, $8, $9, $10, $11, $12::text::name, $13, $14, $15::jsonb, $16, $17, $18, $19",
		&parameters);
}

void
fm_registry_delete_trials(Oid schema, const char *model)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, model);
	fm_registry_execute(schema, "fm_trial", "DELETE FROM %s WHERE model = $1", &parameters);
}
