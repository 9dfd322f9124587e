/*
 * Writing the registry's runs: the result of each training, and whether it is good enough to be
 * published.
 *
 * Locking and memory: see registry_sql.c. Runs are numbered under the model's training lock.
 */
#include "registry/registry_runs.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "registry/registry_models.h"
#include "registry/registry_sql.h"
#include "pg/sql.h"
#include "utils/builtins.h"

/* How many runs of a model are kept. */
#define KEPT_RUNS 1000

/* A training that learns nothing is as good as the mean, up to this factor. */
#define MISFIT 1.001

void
fm_registry_number_run(Oid schema, FmRun *run)
{
	FmSqlParameters parameters = {0};

	/* a snapshot older than the last training fails here, as a serialization failure */
	(void) fm_registry_lock_pointer(schema, run->model);
	fm_add_text(&parameters, run->model);
	/* this session holds the training lock, so a run marked as running has lost its connection */
	fm_registry_execute(schema, "fm_run",
						"UPDATE %s SET status = 'failed', message = 'the connection was lost' "
						"WHERE model = $1 AND status = 'running'",
						&parameters);
	fm_registry_execute(schema, "fm_run",
						"SELECT coalesce(max(version), 0) + 1 FROM %s WHERE model = $1",
						&parameters);
	run->version = DatumGetInt32(fm_sql_value(INT4OID));
	run->stamp = fm_registry_next_stamp();
}

void
fm_registry_start_run(Oid schema, const FmRun *run, const FmDefinition *definition)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, run->model);
	fm_add_integer(&parameters, run->version);
	fm_add_bigint(&parameters, run->stamp);
	fm_add_parameter(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(run->started_at), false);
	fm_add_text(&parameters, fm_task_name(definition->task));
	fm_add_text(&parameters, run->by_fold_in ? "fold-in" : fm_solver_name(definition->solver));
	fm_add_integer_or_null(&parameters, definition->num_factors, definition->num_factors == 0);
	fm_registry_execute(schema, "fm_run",
						"INSERT INTO %s (model, version, stamp, status, started_at, task, "
						"solver, num_factors) VALUES ($1, $2, $3, 'running', $4, $5, $6, $7)",
						&parameters);
}

/* Return a number as JSON, which has no NaN. */
static char *
json_number(double value)
{
	return isnan(value) ? "null" : psprintf("%.6g", value);
}

static void
append_metric(StringInfo json, const char *name, double value)
{
	appendStringInfo(json, "%s\"%s\": %s", json->data[json->len - 1] == '{' ? "" : ", ", name,
					 json_number(value));
}

/* Append the metrics of predictions: of labels if there are any, else of ratings. */
static void
append_predictions(StringInfo json, const FmErrorSums *sums, const FmLabelSums *labels)
{
	if (labels != NULL && labels->count > 0)
	{
		append_metric(json, "log_loss", fm_log_loss(labels));
		append_metric(json, "accuracy", fm_accuracy(labels));
		append_metric(json, "f1", fm_f1(labels));
		append_metric(json, "auc", fm_auc(labels));
	}
	else if (sums->weight > 0)
	{
		append_metric(json, "rmse", fm_rmse(sums));
		append_metric(json, "mae", fm_mae(sums));
	}
}

/* Append the metrics of lists. That of all items is a metric of a ranking alone. */
static void
append_lists(StringInfo json, const FmRankingSums *sums, bool is_ranking)
{
	double users = (double) sums->users;

	if (sums->users == 0)
		return;
	append_metric(json, "ndcg_at_10", sums->ndcg / users);
	append_metric(json, "precision_at_10", sums->precision / users);
	append_metric(json, "recall_at_10", sums->recall / users);
	append_metric(json, "map_at_10", sums->map / users);
	append_metric(json, "mrr", sums->mrr / users);
	if (is_ranking)
		append_metric(json, "auc", sums->auc / (double) sums->auc_users);
}

void
fm_add_train_metrics(FmSqlParameters *parameters, const FmRun *run)
{
	int64 count = run->train_labels != NULL ? run->train_labels->count : run->train.count;
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	append_predictions(&json, &run->train, run->train_labels);
	appendStringInfo(&json, ", \"ratings\": %lld}", (long long) count);
	fm_add_text(parameters, count > 0 ? json.data : NULL);
}

void
fm_add_test_metrics(FmSqlParameters *parameters, const FmRun *run)
{
	int64 count = run->test_labels != NULL ? run->test_labels->count : run->test.count;
	bool is_ranking = run->test_labels == NULL && run->test.weight == 0;
	const FmListSums *lists = &run->test_lists;
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	append_predictions(&json, &run->test, run->test_labels);
	append_lists(&json, &lists->lists, is_ranking);
	append_metric(&json, "users", (double) lists->lists.users);
	append_metric(&json, "ratings", (double) count);
	appendStringInfoString(&json, ", \"baseline\": {");
	append_predictions(&json, &run->baseline, run->baseline_labels);
	append_lists(&json, &lists->baseline, is_ranking);
	appendStringInfoString(&json, "}}");
	fm_add_text(parameters, count > 0 ? json.data : NULL);
}

bool
fm_run_loses(FmRun *run)
{
	const FmListSums *lists = &run->test_lists;
	bool is_label = run->test_labels != NULL;
	char *predictions = "";
	char *found = "";

	if (fm_is_worse(&run->worse))
		predictions = psprintf(
			"test %s %s is worse than %s of %s", is_label ? "log_loss" : "rmse",
			json_number(is_label ? fm_log_loss(run->test_labels) : fm_rmse(&run->test)),
			json_number(is_label ? fm_log_loss(run->baseline_labels) : fm_rmse(&run->baseline)),
			is_label ? "the base rate" : "damped means");
	if (fm_is_worse(&lists->worse))
		found = psprintf("test ndcg_at_10 %s is worse than %s of the most popular items",
						 json_number(lists->lists.ndcg / (double) lists->lists.users),
						 json_number(lists->baseline.ndcg / (double) lists->baseline.users));
	if (predictions[0] == '\0' && found[0] == '\0')
		return false;
	snprintf(run->message, sizeof(run->message), "%s%s%s", predictions,
			 predictions[0] != '\0' && found[0] != '\0' ? "; " : "", found);
	return true;
}

bool
fm_run_misfits(FmRun *run)
{
	bool is_label = run->train_labels != NULL;
	double loss = is_label ? fm_log_loss(run->train_labels) : fm_rmse(&run->train);

	/* a baseline of 0 means that there is nothing to learn, or that the task is a ranking */
	if (run->train_baseline == 0 || !(loss > run->train_baseline * MISFIT))
		return false;
	snprintf(run->message, sizeof(run->message), "train %s %s exceeds %s, that of %s",
			 is_label ? "log_loss" : "rmse", json_number(loss), json_number(run->train_baseline),
			 is_label ? "the base rate" : "the mean rating");
	return true;
}

const char *
fm_metric_name(FmTask task)
{
	return fm_is_ranking(task) ? "ndcg_at_10" : fm_is_classification(task) ? "log_loss" : "rmse";
}

bool
fm_registry_refuse_run(Oid schema, FmRun *run, const FmDefinition *definition, float max_worse)
{
	FmSqlParameters parameters = {0};

	run->refused = false;
	if (isinf(max_worse))
		return false;
	fm_add_text(&parameters, run->model);
	fm_add_text(&parameters, fm_task_name(definition->task));
	fm_add_test_metrics(&parameters, run);
	fm_add_text(&parameters, fm_metric_name(definition->task));
	fm_add_real(&parameters, max_worse);
	/*
	 * Folding in has no metrics, so the last training before it is compared. Less is better, except
	 * with ndcg_at_10.
	 */
	fm_registry_execute(
		schema, "fm_run",
		"SELECT pg_catalog.format('test %%s %%s is worse than %%s of version %%s by more than %%s "
		"%%%%', "
		"n.key, n.value, r.test_metrics ->> n.key, r.version, trim_scale(round((100 * "
		"$5)::numeric, 2))) "
		"FROM (SELECT * FROM %s WHERE model = $1 AND status = 'succeeded' AND solver <> 'fold-in' "
		"AND version <= (SELECT active_version FROM %s WHERE model = $1) "
		"ORDER BY version DESC LIMIT 1) r CROSS JOIN pg_catalog.jsonb_each_text($3::jsonb) n "
		"WHERE r.task = $2 AND n.key = $4 "
		"AND CASE WHEN n.key = 'ndcg_at_10' "
		"THEN n.value::float8 * (1 + $5::float8) < (r.test_metrics ->> n.key)::float8 "
		"ELSE n.value::float8 > (r.test_metrics ->> n.key)::float8 * (1 + $5::float8) END LIMIT 1",
		&parameters);
	run->refused = SPI_processed > 0;
	if (run->refused)
		strlcpy(run->message, fm_sql_text(), sizeof(run->message));
	return run->refused;
}

/* Delete the oldest runs, except that of the version being served. */
static void
delete_old_runs(Oid schema, const FmRun *run)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, run->model);
	fm_add_integer(&parameters, run->version - KEPT_RUNS);
	fm_registry_execute(schema, "fm_run",
						"DELETE FROM %s WHERE model = $1 AND version <= $2 AND version <> "
						"(SELECT active_version FROM %s WHERE model = $1)",
						&parameters);
}

void
fm_registry_finish_run(Oid schema, const FmRun *run)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, run->model);
	fm_add_integer(&parameters, run->version);
	fm_add_parameter(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp()),
					 false);
	fm_add_integer_or_null(&parameters, run->iterations, run->iterations == 0);
	fm_add_bigint(&parameters, run->users);
	fm_add_bigint(&parameters, run->items);
	fm_add_bigint(&parameters, run->ratings);
	fm_add_bigint(&parameters, run->skipped);
	fm_add_train_metrics(&parameters, run);
	fm_add_test_metrics(&parameters, run);
	fm_add_text(&parameters, run->refused ? "refused" : "succeeded");
	fm_add_text(&parameters, run->message[0] != '\0' ? run->message : NULL);
	fm_add_bigint(&parameters, run->features);
	fm_add_bigint(&parameters, run->rows_read);
	fm_add_integer(&parameters, run->num_factors);
	fm_registry_execute(
		schema, "fm_run",
		"UPDATE %s SET status = $11, message = $12, finished_at = $3, iterations = $4, "
		"users = $5, items = $6, features = $13, ratings = $7, skipped = $8, rows_read = $14, "
		"num_factors = $15, "
		"train_metrics = $9::jsonb, test_metrics = $10::jsonb WHERE model = $1 AND version = $2",
		&parameters);
	fm_registry_save_curve(schema, run->model, run->version,
						   run->curve.task == FM_TASK_RANKING ? "ranking" : "rating", &run->curve);
	fm_registry_save_curve(schema, run->model, run->version, "interest", &run->interest_curve);
	delete_old_runs(schema, run);
}

void
fm_registry_fail_run(Oid schema, const FmRun *run, const char *message)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, run->model);
	fm_add_integer(&parameters, run->version);
	fm_add_parameter(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp()),
					 false);
	fm_add_text(&parameters, message);
	fm_registry_execute(schema, "fm_run",
						"UPDATE %s SET status = 'failed', finished_at = $3, message = $4 "
						"WHERE model = $1 AND version = $2",
						&parameters);
}

void
fm_registry_note_run(Oid schema, const FmRun *run, const char *message)
{
	FmSqlParameters parameters = {0};

	fm_add_text(&parameters, run->model);
	fm_add_integer(&parameters, run->version);
	fm_add_text(&parameters, message);
	fm_registry_execute(schema, "fm_run",
						"UPDATE %s SET message = $3 WHERE model = $1 AND version = $2",
						&parameters);
}
