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
	fm_add_integer(&parameters, definition->num_factors);
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

static char *
ranking_metrics(const FmRankingSums *sums, int64 ratings)
{
	double users = (double) sums->users;

	return psprintf(
		"{\"ndcg_at_10\": %s, \"precision_at_10\": %s, \"recall_at_10\": %s, "
		"\"map_at_10\": %s, \"mrr\": %s, \"auc\": %s, \"users\": %lld, \"ratings\": %lld}",
		json_number(sums->ndcg / users), json_number(sums->precision / users),
		json_number(sums->recall / users), json_number(sums->map / users),
		json_number(sums->mrr / users), json_number(sums->auc / (double) sums->auc_users),
		(long long) sums->users, (long long) ratings);
}

void
fm_add_metrics(FmSqlParameters *parameters, const FmErrorSums *sums, const FmLabelSums *labels,
			   const FmRankingSums *ranking)
{
	if (ranking != NULL && ranking->users > 0)
		fm_add_text(parameters, ranking_metrics(ranking, sums->count));
	else if (labels != NULL && labels->count > 0)
		fm_add_text(parameters,
					psprintf("{\"log_loss\": %s, \"accuracy\": %s, \"f1\": %s, \"auc\": %s, "
							 "\"ratings\": %lld}",
							 json_number(fm_log_loss(labels)), json_number(fm_accuracy(labels)),
							 json_number(fm_f1(labels)), json_number(fm_auc(labels)),
							 (long long) labels->count));
	else if (sums->count == 0)
		fm_add_text(parameters, NULL);
	else
		fm_add_text(parameters, psprintf("{\"rmse\": %.6g, \"mae\": %.6g, \"ratings\": %lld}",
										 fm_rmse(sums), fm_mae(sums), (long long) sums->count));
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
	fm_add_metrics(&parameters, &run->test, run->test_labels, &run->test_ranking);
	fm_add_real(&parameters, max_worse);
	/*
	 * Folding in has no metrics, so the last training before it is compared. Each task has one
	 * metric here. Less is better, except with ndcg_at_10.
	 */
	fm_registry_execute(
		schema, "fm_run",
		"SELECT pg_catalog.format('test %%s %%s is worse than %%s of version %%s by more than %%s "
		"%%%%', "
		"n.key, n.value, r.test_metrics ->> n.key, r.version, trim_scale(round((100 * "
		"$4)::numeric, 2))) "
		"FROM (SELECT * FROM %s WHERE model = $1 AND status = 'succeeded' AND solver <> 'fold-in' "
		"AND version <= (SELECT active_version FROM %s WHERE model = $1) "
		"ORDER BY version DESC LIMIT 1) r CROSS JOIN pg_catalog.jsonb_each_text($3::jsonb) n "
		"WHERE r.task = $2 AND n.key IN ('rmse', 'log_loss', 'ndcg_at_10') "
		"AND CASE WHEN n.key = 'ndcg_at_10' "
		"THEN n.value::float8 * (1 + $4::float8) < (r.test_metrics ->> n.key)::float8 "
		"ELSE n.value::float8 > (r.test_metrics ->> n.key)::float8 * (1 + $4::float8) END LIMIT 1",
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
	fm_add_metrics(&parameters, &run->train, run->train_labels, NULL);
	fm_add_metrics(&parameters, &run->test, run->test_labels, &run->test_ranking);
	fm_add_text(&parameters, run->refused ? "refused" : "succeeded");
	fm_add_text(&parameters, run->message[0] != '\0' ? run->message : NULL);
	fm_add_bigint(&parameters, run->features);
	fm_registry_execute(
		schema, "fm_run",
		"UPDATE %s SET status = $11, message = $12, finished_at = $3, iterations = $4, "
		"users = $5, items = $6, features = $13, ratings = $7, skipped = $8, "
		"train_metrics = $9::jsonb, test_metrics = $10::jsonb WHERE model = $1 AND version = $2",
		&parameters);
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
