/*
 * The curves of a training: recorded while it computes, saved with its run.
 *
 * Locking: see registry_sql.c. Memory: the arrays are in the context where recording began.
 */
#include "registry/curve.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "pg/sql_parameters.h"
#include "registry/progress.h"
#include "registry/registry_sql.h"
#include "utils/array.h"
#include "utils/memutils.h"

#define FIRST_SIZE 256

/* How long after a notice the next one is sent, in microseconds. */
#define NOTICE_INTERVAL (3 * USECS_PER_SEC)

static void
grow(FmCurve *curve)
{
	float **arrays[] = {&curve->seconds, &curve->error, &curve->test};
	Size size;

	curve->size = curve->size == 0 ? FIRST_SIZE : curve->size * 2;
	size = curve->size * sizeof(float);
	for (int i = 0; i < lengthof(arrays); i++)
		*arrays[i] = *arrays[i] == NULL ? MemoryContextAlloc(curve->context, size)
										: repalloc(*arrays[i], size);
}

/* What the errors of a head are. */
static const char *
error_name(FmTask task)
{
	return task == FM_TASK_RANKING ? "error" : task == FM_TASK_CLASSIFICATION ? "log_loss" : "rmse";
}

static const char *
test_name(FmTask task)
{
	return task == FM_TASK_RANKING ? "auc" : error_name(task);
}

/* Tell the user of the latest iteration, unless they have just been told of another. */
static void
send_notice(FmCurve *curve, int iteration, int iterations)
{
	int last = curve->count - 1;
	TimestampTz now = GetCurrentTimestamp();
	const char *test = "";
	double left;

	if (iteration < iterations && now - Max(curve->noticed, curve->since) < NOTICE_INTERVAL)
		return;
	curve->noticed = now;
	left = last > 0 ? (curve->seconds[last] - curve->seconds[0]) / last * (iterations - iteration)
					: 0;
	if (!isnan(curve->test[last]))
		test = psprintf(", test %s %.4g", test_name(curve->task), curve->test[last]);
	ereport(NOTICE, (errmsg("model \"%s\": iteration %d of %d, %s %.4g%s, about %.0f s left",
							curve->model, iteration, iterations, error_name(curve->task),
							curve->error[last], test, left)));
}

/* FmHost.progress */
static void
record(void *ctx, const char *solver, int iteration, int iterations, double error, double test)
{
	FmCurve *curve = ctx;

	fm_progress_iteration(iteration, iterations, error);
	if (curve->count == curve->size)
		grow(curve);
	curve->seconds[curve->count] = (float) ((double) (GetCurrentTimestamp() - curve->since) /
											USECS_PER_SEC);
	curve->error[curve->count] = (float) error;
	curve->test[curve->count] = (float) test;
	curve->count++;
	if (fm_progress_notices)
		send_notice(curve, iteration, iterations);
}

void
fm_curve_record(FmCurve *curve, FmTask task, const char *model, TimestampTz since, FmHost *host)
{
	curve->model = model;
	curve->context = CurrentMemoryContext;
	curve->task = task;
	curve->since = since;
	host->progress = record;
	host->progress_ctx = curve;
}

/* Add an array of real in which a NaN is NULL; NULL if there is nothing else. */
static void
add_reals(FmSqlParameters *parameters, const float *values, int count)
{
	Datum *elements = palloc(count * sizeof(Datum));
	bool *nulls = palloc(count * sizeof(bool));
	int length = count, first = 1, known = 0;
	ArrayType *array;

	for (int i = 0; i < count; i++)
	{
		elements[i] = Float4GetDatum(values[i]);
		nulls[i] = isnan(values[i]);
		known += !nulls[i];
	}
	array = construct_md_array(elements, nulls, 1, &length, &first, FLOAT4OID, sizeof(float), true,
							   TYPALIGN_INT);
	fm_add_parameter(parameters, FLOAT4ARRAYOID, PointerGetDatum(array), known == 0);
}

void
fm_registry_save_curve(Oid schema, const char *model, int version, const char *head,
					   const FmCurve *curve)
{
	FmSqlParameters parameters = {0};

	if (curve->count == 0)
		return;
	fm_add_text(&parameters, model);
	fm_add_integer(&parameters, version);
	fm_add_text(&parameters, head);
	fm_add_text(&parameters, error_name(curve->task));
	fm_add_text(&parameters, test_name(curve->task));
	add_reals(&parameters, curve->seconds, curve->count);
	add_reals(&parameters, curve->error, curve->count);
	add_reals(&parameters, curve->test, curve->count);
	fm_registry_execute(schema, "fm_run_curve",
						"INSERT INTO %s (model, version, head, train_metric, test_metric, seconds, "
						"train, test) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
						&parameters);
}
