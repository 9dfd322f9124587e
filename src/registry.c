/*
 * The registry, written: models, runs, targets and trials.
 *
 * The tables belong to the extension's owner and nobody else may write them, so each function here
 * acts as that role for its one statement. Locking: the RowExclusiveLock of the statements, and their
 * row locks until the end of the transaction; readers see the previous rows meanwhile.
 */
#include "registry.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "core/ials.h"
#include "common/hashfn.h"
#include "sql.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

/* How many trainings of a model fm_runs remembers. */
#define KEPT_RUNS 1000

/* Positional arguments of one statement, collected as they are needed. */
typedef struct Arguments
{
	int count;
	Oid types[32];
	Datum values[32];
	char nulls[32];
} Arguments;

static void
add_argument(Arguments *arguments, Oid type, Datum value, bool isnull)
{
	Assert(arguments->count < lengthof(arguments->types));
	arguments->types[arguments->count] = type;
	arguments->values[arguments->count] = value;
	arguments->nulls[arguments->count] = isnull ? 'n' : ' ';
	arguments->count++;
}

static void
add_text(Arguments *arguments, const char *value)
{
	add_argument(arguments, TEXTOID, value == NULL ? (Datum) 0 : CStringGetTextDatum(value),
				 value == NULL);
}

static void
add_real(Arguments *arguments, float value)
{
	add_argument(arguments, FLOAT4OID, Float4GetDatum(value), isnan(value));
}

static void
add_double(Arguments *arguments, double value)
{
	add_argument(arguments, FLOAT8OID, Float8GetDatum(value), isnan(value));
}

static void
add_integer(Arguments *arguments, int value, bool isnull)
{
	add_argument(arguments, INT4OID, Int32GetDatum(value), isnull);
}

static void
add_bigint(Arguments *arguments, int64 value)
{
	add_argument(arguments, INT8OID, Int64GetDatum(value), false);
}

static void
add_relation(Arguments *arguments, Oid relation)
{
	add_argument(arguments, REGCLASSOID, ObjectIdGetDatum(relation), !OidIsValid(relation));
}

/* NULL for none. */
static void
add_names(Arguments *arguments, char **names, int count)
{
	Datum *values = palloc((count + 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		values[i] = DirectFunctionCall1(namein, CStringGetDatum(names[i]));
	add_argument(arguments, NAMEARRAYOID,
				 PointerGetDatum(
					 construct_array(values, count, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR)),
				 count == 0);
}

/* Run a statement in which the first %s stands for the qualified name of a registry table, and the second
 * for that of fm_model. */
static void
run_as_registry_owner(Oid schema, const char *table, const char *format, Arguments *arguments)
{
	FmRoleSwitch previous = fm_act_as(fm_registry_owner(schema));
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, format, fm_qualified_sql(schema, table),
					 fm_qualified_sql(schema, "fm_model"));
	fm_spi_execute(sql.data, arguments->count, arguments->types, arguments->values,
				   arguments->nulls, false);
	fm_restore_role(&previous);
}

void
fm_registry_lock_name(Oid schema, const char *name)
{
	Oid registry = get_relname_relid("fm_model", schema);

	LockDatabaseObject(registry, hash_bytes((const unsigned char *) name, (int) strlen(name)), 0,
					   ExclusiveLock);
}

int
fm_registry_lock_pointer(Oid schema, const char *name)
{
	Arguments arguments = {0};

	add_text(&arguments, name);
	run_as_registry_owner(schema, "fm_model",
						  "SELECT active_version FROM %s WHERE model = $1 FOR NO KEY UPDATE",
						  &arguments);
	return SPI_processed == 0 ? 0 : DatumGetInt32(fm_spi_value_not_null(0, 1));
}

/* Never drawn twice: not after a rollback, a restore or a promotion, nor in another database. */
static int64
next_stamp(void)
{
	int64 stamp;

	if (!pg_strong_random(&stamp, sizeof(stamp)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate a random number")));
	return stamp;
}

void
fm_registry_notify(const char *name, int version)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"model\": ");
	escape_json(&payload, name);
	appendStringInfo(&payload, ", \"version\": %d}", version);
	Async_Notify("fmtopx", payload.data);
}

int64
fm_registry_activate(Oid schema, const char *name, int version)
{
	Arguments arguments = {0};
	int64 stamp = next_stamp();

	add_text(&arguments, name);
	add_integer(&arguments, version, false);
	add_bigint(&arguments, stamp);
	run_as_registry_owner(schema, "fm_model",
						  "UPDATE %s SET active_version = $2, stamp = $3 WHERE model = $1",
						  &arguments);
	fm_registry_notify(name, version);
	return stamp;
}

void
fm_registry_set_options(Oid schema, const char *name, int keep_versions, float max_worse)
{
	Arguments arguments = {0};

	add_text(&arguments, name);
	add_integer(&arguments, keep_versions, keep_versions == 0);
	add_real(&arguments, max_worse);
	run_as_registry_owner(schema, "fm_model",
						  "UPDATE %s SET keep_versions = coalesce($2, keep_versions), "
						  "max_worse = coalesce($3, max_worse) WHERE model = $1",
						  &arguments);
}

void
fm_registry_number_run(Oid schema, FmRun *run)
{
	Arguments arguments = {0};

	/* a snapshot older than the last training fails here, as a serialization failure */
	(void) fm_registry_lock_pointer(schema, run->model);
	add_text(&arguments, run->model);
	/* the training lock is ours, so whoever was running has died without a word */
	run_as_registry_owner(schema, "fm_run",
						  "UPDATE %s SET status = 'failed', message = 'the connection was lost' "
						  "WHERE model = $1 AND status = 'running'",
						  &arguments);
	run_as_registry_owner(schema, "fm_run",
						  "SELECT coalesce(max(version), 0) + 1 FROM %s WHERE model = $1",
						  &arguments);
	run->version = DatumGetInt32(fm_spi_value_not_null(0, 1));
	run->stamp = next_stamp();
}

static void
add_tables(Arguments *arguments, const FmModel *model)
{
	add_relation(arguments, model->version_table);
	add_relation(arguments, model->user_table);
	add_relation(arguments, model->item_table);
	add_relation(arguments, model->matrix_table);
}

void
fm_registry_attach_model(Oid schema, const FmModel *model)
{
	const FmDefinition *definition = &model->definition;
	Arguments arguments = {0};

	add_text(&arguments, model->name);
	add_tables(&arguments, model);
	add_relation(&arguments, definition->ratings);
	add_text(&arguments, definition->user_column);
	add_text(&arguments, definition->item_column);
	add_text(&arguments, definition->rating_column);
	run_as_registry_owner(schema, "fm_model",
						  "INSERT INTO %s (model, version_table, user_table, item_table, "
						  "matrix_table, ratings, user_column, item_column, rating_column, "
						  "attached) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, true)",
						  &arguments);
}

char *
fm_registry_tables_model(Oid schema, const FmModel *model)
{
	Arguments arguments = {0};

	add_tables(&arguments, model);
	run_as_registry_owner(schema, "fm_model",
						  "SELECT model FROM %s WHERE ARRAY[$1, $2, $3, $4]::oid[] && "
						  "ARRAY[version_table, user_table, item_table, matrix_table]::oid[]",
						  &arguments);
	return SPI_processed == 0 ? NULL
							  : SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

void
fm_registry_save_model(Oid schema, const FmModel *model)
{
	const FmDefinition *definition = &model->definition;
	Arguments arguments = {0};

	add_text(&arguments, model->name);
	add_tables(&arguments, model);
	add_integer(&arguments, model->version, false);
	add_bigint(&arguments, model->stamp);
	add_relation(&arguments, definition->ratings);
	add_text(&arguments, definition->user_column);
	add_text(&arguments, definition->item_column);
	add_text(&arguments, definition->rating_column);
	add_text(&arguments, definition->weight_column);
	add_text(&arguments, definition->task);
	add_text(&arguments, definition->solver);
	add_integer(&arguments, definition->num_factors, false);
	add_integer(&arguments, definition->iterations, definition->iterations == 0);
	add_real(&arguments, definition->l2_reg_w);
	add_real(&arguments, definition->l2_reg_v);
	add_real(&arguments, definition->init_stdev);
	add_real(&arguments, definition->test_size);
	add_bigint(&arguments, definition->seed);
	add_integer(&arguments, definition->workers, definition->workers < 0);
	add_relation(&arguments, definition->features[FM_USERS]);
	add_relation(&arguments, definition->features[FM_ITEMS]);
	add_argument(&arguments, BOOLOID, BoolGetDatum(definition->history), false);
	add_relation(&arguments, model->level_table);
	add_names(&arguments, definition->context_columns, definition->num_context_columns);
	add_real(&arguments, definition->unobserved_weight);
	run_as_registry_owner(
		schema, "fm_model",
		"INSERT INTO %s AS m (model, version_table, user_table, item_table, matrix_table, "
		"active_version, stamp, ratings, user_column, item_column, rating_column, weight_column, "
		"task, solver, num_factors, iterations, l2_reg_w, l2_reg_v, init_stdev, test_size, seed, "
		"workers, user_features, item_features, history, level_table, context_columns, "
		"unobserved_weight) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
		"$19, $20, $21, $22, $23, $24, $25, $26, $27, $28) "
		"ON CONFLICT (model) DO UPDATE SET (version_table, user_table, item_table, matrix_table, "
		"active_version, stamp, ratings, user_column, item_column, rating_column, weight_column, "
		"task, solver, num_factors, iterations, l2_reg_w, l2_reg_v, init_stdev, test_size, seed, "
		"workers, user_features, item_features, history, level_table, context_columns, "
		"unobserved_weight) = "
		"($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
		"$19, $20, $21, $22, $23, $24, $25, $26, $27, $28) WHERE m.version_table = $2",
		&arguments);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" has been created by somebody else meanwhile", model->name),
				 errhint("Train under another name.")));
}

void
fm_registry_start_run(Oid schema, const FmRun *run, const FmDefinition *definition)
{
	Arguments arguments = {0};

	add_text(&arguments, run->model);
	add_integer(&arguments, run->version, false);
	add_bigint(&arguments, run->stamp);
	add_argument(&arguments, TIMESTAMPTZOID, TimestampTzGetDatum(run->started_at), false);
	add_text(&arguments, definition->task);
	add_text(&arguments, definition->solver);
	add_integer(&arguments, definition->num_factors, false);
	run_as_registry_owner(schema, "fm_run",
						  "INSERT INTO %s (model, version, stamp, status, started_at, task, "
						  "solver, num_factors) VALUES ($1, $2, $3, 'running', $4, $5, $6, $7)",
						  &arguments);
}

/* A number in JSON, which has no NaN. */
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

static void
add_metrics(Arguments *arguments, const FmErrorSums *sums, const FmLabelSums *labels,
			const FmRankingSums *ranking)
{
	if (ranking != NULL && ranking->users > 0)
		add_text(arguments, ranking_metrics(ranking, sums->count));
	else if (labels != NULL && labels->count > 0)
		add_text(arguments,
				 psprintf("{\"log_loss\": %s, \"accuracy\": %s, \"f1\": %s, \"auc\": %s, "
						  "\"ratings\": %lld}",
						  json_number(fm_log_loss(labels)), json_number(fm_accuracy(labels)),
						  json_number(fm_f1(labels)), json_number(fm_auc(labels)),
						  (long long) labels->count));
	else if (sums->count == 0)
		add_text(arguments, NULL);
	else
		add_text(arguments, psprintf("{\"rmse\": %.6g, \"mae\": %.6g, \"ratings\": %lld}",
									 fm_rmse(sums), fm_mae(sums), (long long) sums->count));
}

bool
fm_registry_refuse_run(Oid schema, FmRun *run, const FmDefinition *definition, float max_worse)
{
	Arguments arguments = {0};

	run->refused = false;
	if (isinf(max_worse))
		return false;
	add_text(&arguments, run->model);
	add_text(&arguments, definition->task);
	add_metrics(&arguments, &run->test, run->test_labels, &run->test_ranking);
	add_real(&arguments, max_worse);
	/* Folding in has no metrics: what it was made from has. A metric a task, of which less is better, or, of
	 * ndcg_at_10, more. */
	run_as_registry_owner(
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
		&arguments);
	run->refused = SPI_processed > 0;
	if (run->refused)
		strlcpy(run->message, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
				sizeof(run->message));
	return run->refused;
}

/* The oldest runs, but for that of the version being served. */
static void
delete_old_runs(Oid schema, const FmRun *run)
{
	Arguments arguments = {0};

	add_text(&arguments, run->model);
	add_integer(&arguments, run->version - KEPT_RUNS, false);
	run_as_registry_owner(schema, "fm_run",
						  "DELETE FROM %s WHERE model = $1 AND version <= $2 AND version <> "
						  "(SELECT active_version FROM %s WHERE model = $1)",
						  &arguments);
}

void
fm_registry_finish_run(Oid schema, const FmRun *run)
{
	Arguments arguments = {0};

	add_text(&arguments, run->model);
	add_integer(&arguments, run->version, false);
	add_argument(&arguments, TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp()), false);
	add_integer(&arguments, run->iterations, run->iterations == 0);
	add_bigint(&arguments, run->users);
	add_bigint(&arguments, run->items);
	add_bigint(&arguments, run->ratings);
	add_bigint(&arguments, run->skipped);
	add_metrics(&arguments, &run->train, run->train_labels, NULL);
	add_metrics(&arguments, &run->test, run->test_labels, &run->test_ranking);
	add_text(&arguments, run->refused ? "refused" : "succeeded");
	add_text(&arguments, run->message[0] != '\0' ? run->message : NULL);
	add_bigint(&arguments, run->features);
	run_as_registry_owner(
		schema, "fm_run",
		"UPDATE %s SET status = $11, message = $12, finished_at = $3, iterations = $4, "
		"users = $5, items = $6, features = $13, ratings = $7, skipped = $8, "
		"train_metrics = $9::jsonb, test_metrics = $10::jsonb WHERE model = $1 AND version = $2",
		&arguments);
	delete_old_runs(schema, run);
}

void
fm_registry_fail_run(Oid schema, const FmRun *run, const char *message)
{
	Arguments arguments = {0};

	add_text(&arguments, run->model);
	add_integer(&arguments, run->version, false);
	add_argument(&arguments, TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp()), false);
	add_text(&arguments, message);
	run_as_registry_owner(schema, "fm_run",
						  "UPDATE %s SET status = 'failed', finished_at = $3, message = $4 "
						  "WHERE model = $1 AND version = $2",
						  &arguments);
}

void
fm_registry_note_run(Oid schema, const FmRun *run, const char *message)
{
	Arguments arguments = {0};

	add_text(&arguments, run->model);
	add_integer(&arguments, run->version, false);
	add_text(&arguments, message);
	run_as_registry_owner(schema, "fm_run",
						  "UPDATE %s SET message = $3 WHERE model = $1 AND version = $2",
						  &arguments);
}

void
fm_registry_delete_model(Oid schema, const char *name)
{
	Arguments arguments = {0};

	add_text(&arguments, name);
	run_as_registry_owner(schema, "fm_model", "DELETE FROM %s WHERE model = $1", &arguments);
}

void
fm_registry_save_target(Oid schema, const char *model, Oid target, int32 x, bool exclude_seen)
{
	Arguments arguments = {0};

	add_text(&arguments, model);
	add_relation(&arguments, target);
	add_integer(&arguments, x, false);
	add_argument(&arguments, BOOLOID, BoolGetDatum(exclude_seen), false);
	/* what another model wrote there is gone */
	run_as_registry_owner(schema, "fm_target", "DELETE FROM %s WHERE target = $2 AND model <> $1",
						  &arguments);
	run_as_registry_owner(schema, "fm_target",
						  "INSERT INTO %s VALUES ($1, $2, $3, $4) ON CONFLICT (model, target) "
						  "DO UPDATE SET x = excluded.x, exclude_seen = excluded.exclude_seen",
						  &arguments);
}

void
fm_registry_delete_target(Oid schema, const char *model, Oid target)
{
	Arguments arguments = {0};

	add_text(&arguments, model);
	add_relation(&arguments, target);
	run_as_registry_owner(schema, "fm_target", "DELETE FROM %s WHERE model = $1 AND target = $2",
						  &arguments);
}

char *
fm_registry_target_model(Oid schema, Oid target)
{
	Arguments arguments = {0};

	add_relation(&arguments, target);
	run_as_registry_owner(schema, "fm_target", "SELECT model FROM %s WHERE target = $1",
						  &arguments);
	return SPI_processed == 0 ? NULL
							  : SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

FmTarget *
fm_registry_targets(Oid schema, const char *model, MemoryContext context, int *num_targets)
{
	Arguments arguments = {0};
	FmTarget *targets;

	add_text(&arguments, model);
	run_as_registry_owner(
		schema, "fm_target",
		"SELECT target, x, exclude_seen FROM %s WHERE model = $1 ORDER BY target::oid", &arguments);
	*num_targets = (int) SPI_processed;
	targets = MemoryContextAllocZero(context, (SPI_processed + 1) * sizeof(FmTarget));
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		targets[r].table = DatumGetObjectId(fm_spi_value_not_null(r, 1));
		targets[r].x = DatumGetInt32(fm_spi_value_not_null(r, 2));
		targets[r].exclude_seen = DatumGetBool(fm_spi_value_not_null(r, 3));
	}
	return targets;
}

const char *
fm_metric_name(const char *task)
{
	return fm_is_ranking(task) ? "ndcg_at_10" : fm_is_classification(task) ? "log_loss" : "rmse";
}

static double
metric_value(const FmRun *run, const char *task)
{
	if (fm_is_ranking(task))
		return run->test_ranking.ndcg / (double) run->test_ranking.users;
	return fm_is_classification(task) ? fm_log_loss(run->test_labels) : fm_rmse(&run->test);
}

/* All that a trial depends on, but for the rows of the relations. */
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
					contexts.data, d->task, d->solver, d->num_factors, d->iterations, d->l2_reg_w,
					d->l2_reg_v, d->unobserved_weight, d->init_stdev, d->test_size,
					d->time_column ? d->time_column : "", (long long) d->seed);
}

bool
fm_registry_find_trial(Oid schema, const FmModel *model, FmTrial *trial)
{
	Arguments arguments = {0};
	bool failed;

	add_text(&arguments, model->name);
	add_text(&arguments, trial_key(&model->definition));
	run_as_registry_owner(schema, "fm_trial",
						  "SELECT value, ratings::float8, users::float8, items::float8 FROM %s "
						  "WHERE model = $1 AND key = $2 ORDER BY trial DESC LIMIT 1",
						  &arguments);
	if (SPI_processed == 0)
		return false;
	trial->value = DatumGetFloat8(fm_spi_value(0, 1, &failed));
	if (failed)
		trial->value = NAN;
	else
		trial->default_unobserved_weight =
			fm_ials_unobserved_weight(-1, DatumGetFloat8(fm_spi_value_not_null(0, 2)),
									  DatumGetFloat8(fm_spi_value_not_null(0, 3)) *
										  DatumGetFloat8(fm_spi_value_not_null(0, 4)));
	return true;
}

void
fm_registry_save_trial(Oid schema, const FmModel *model, const FmRun *run, const char *failure)
{
	const FmDefinition *definition = &model->definition;
	const char *metric = fm_metric_name(definition->task);
	Arguments arguments = {0};

	(void) fm_registry_lock_pointer(schema, model->name); /* the number is ours */
	add_text(&arguments, model->name);
	add_text(&arguments, trial_key(definition));
	add_argument(&arguments, TIMESTAMPTZOID, TimestampTzGetDatum(run->started_at), false);
	add_argument(&arguments, TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp()), false);
	add_text(&arguments, definition->task);
	add_text(&arguments, definition->solver);
	add_integer(&arguments, definition->num_factors, false);
	add_real(&arguments, definition->l2_reg_w);
	add_real(&arguments, definition->l2_reg_v);
	add_real(&arguments, definition->unobserved_weight);
	add_real(&arguments, definition->test_size);
	add_text(&arguments, definition->time_column);
	add_text(&arguments, metric);
	add_double(&arguments, failure == NULL ? metric_value(run, definition->task) : NAN);
	add_metrics(&arguments, &run->test, run->test_labels, &run->test_ranking);
	add_bigint(&arguments, run->users);
	add_bigint(&arguments, run->items);
	add_bigint(&arguments, run->ratings);
	add_text(&arguments, failure);
	run_as_registry_owner(
		schema, "fm_trial",
		"INSERT INTO %1$s (trial, model, key, started_at, finished_at, task, solver, num_factors, "
		"l2_reg_w, l2_reg_v, unobserved_weight, validation_size, time_column, metric, value, "
		"metrics, users, items, ratings, message) "
		"SELECT (SELECT coalesce(max(trial), 0) + 1 FROM %1$s WHERE model = $1), $1, $2, $3, $4, "
		"$5, $6, $7, $8, $9, $10, $11, $12::text::name, $13, $14, $15::jsonb, $16, $17, $18, $19",
		&arguments);
}

void
fm_registry_delete_trials(Oid schema, const char *model)
{
	Arguments arguments = {0};

	add_text(&arguments, model);
	run_as_registry_owner(schema, "fm_trial", "DELETE FROM %s WHERE model = $1", &arguments);
}
