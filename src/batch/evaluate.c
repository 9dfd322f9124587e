/*
 * fm_evaluate: how well a model predicts given ratings.
 *
 * The relation is an argument of the call, so it is read as the caller; everything else is read as
 * the model's owner.
 *
 * Errors: if the relation has all of the model's context columns, each row is scored in its
 * context. If it has the model's weight column, the errors are weighted.
 *
 * Lists: they are those of fm_top_x without context, excluding what the user has rated, except
 * that the items of the rows being evaluated stay eligible: a good list should contain them. An
 * item is relevant if its rating is at least the mean rating of the training, or a yes in a
 * classification.
 *
 * Memory: the evaluated rows, in the context of the call.
 */
#include "batch/evaluation.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/bitset.h"
#include "pg/host_pg.h"
#include "registry/progress.h"
#include "serve/items.h"
#include "source/ratings_columns.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(fm_evaluate);

/* Check the type of an id column. Ids of another integer type are read and compared as bigint. */
static void
check_id_type(const FmServing *serving, Oid relation, const char *column, FmIdType *given,
			  const FmIdType *expected)
{
	if (!fm_id_types_match(given->type, expected->type))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of relation \"%s\" is of type %s, but model \"%s\" "
							   "has ids of type %s",
							   column, get_rel_name(relation), format_type_be(given->type),
							   serving->model.name, format_type_be(expected->type)),
						errhint("Make a view of the relation that casts the column.")));
	if (given->typlen != expected->typlen)
		fm_id_type_of_integer(INT8OID, given);
}

/* Return the item's id, as the type in which the rows are read. */
static Datum
item_id(const FmEvaluation *evaluation, int32 item)
{
	const FmLoaded *loaded = evaluation->serving.loaded;
	Datum id = fm_loaded_item_id(loaded, item);

	(void) fm_id_convert(&loaded->item_type, fm_idmap_type(evaluation->reading->items), id, &id);
	return id;
}

/* Read the relation, as the caller. */
static void
read_rows(FmEvaluation *evaluation, Oid relation)
{
	FmServing *serving = &evaluation->serving;
	const FmLoaded *loaded = serving->loaded;
	FmDefinition definition = serving->model.definition;
	FmRoleSwitch owner;
	FmIdType user_type;
	FmIdType item_type;

	definition.ratings = relation;
	definition.task = loaded->version.task;
	if (definition.weight_column != NULL &&
		get_attnum(relation, definition.weight_column) == InvalidAttrNumber)
		definition.weight_column = NULL;
	for (int c = 0; c < definition.num_context_columns; c++)
		if (get_attnum(relation, definition.context_columns[c]) == InvalidAttrNumber)
			definition.num_context_columns = 0;
	fm_check_ratings_relation(&definition, &user_type, &item_type);
	check_id_type(serving, relation, definition.user_column, &user_type, &loaded->user_type);
	check_id_type(serving, relation, definition.item_column, &item_type, &loaded->item_type);
	evaluation->reading = fm_rating_reading_create(&user_type, &item_type, &definition);
	evaluation->reading->center = fm_version_center(&loaded->version);
	for (int32 item = 0; item < loaded->version.num_items; item++)
		if (fm_idmap_intern(evaluation->reading->items, item_id(evaluation, item)) != item)
			fm_model_damaged(&serving->model, "it has an item twice");

	owner = fm_act_as(serving->caller.role);
	fm_read_ratings(&definition, true, evaluation->reading);
	fm_restore_role(&owner);
	if (evaluation->reading->triples.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("relation \"%s\" has no ratings to evaluate", get_rel_name(relation)),
				 errdetail("Rows with NULL in a column that is read do not count.")));
	if (fm_is_classification(loaded->version.task))
		fm_label_ratings(&definition, evaluation->reading, loaded->version.rating_min,
						 loaded->version.rating_max);
	fm_idmap_seal(evaluation->reading->users);
	fm_idmap_seal(evaluation->reading->items);
}

static bool
is_ranking(const FmEvaluation *evaluation)
{
	return fm_is_ranking(evaluation->serving.loaded->version.task);
}

static double
coverage(const FmEvaluation *evaluation, const uint64 *recommended)
{
	int32 num_items = evaluation->serving.loaded->version.num_items;
	int64 count = 0;

	for (int32 item = 0; item < num_items; item++)
		count += fm_bitset_has(recommended, item);
	return (double) count / num_items;
}

/* Return a row. NaN stands for NULL. */
static void
put_metric(const FmEvaluation *evaluation, ReturnSetInfo *result, const char *name, double value,
		   double baseline)
{
	bool no_baseline = evaluation->baseline == NULL || isnan(baseline);
	Datum values[] = {CStringGetTextDatum(name), Float8GetDatum(value), Float8GetDatum(baseline)};
	bool nulls[] = {false, isnan(value), no_baseline};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_predictions(const FmEvaluation *evaluation, ReturnSetInfo *result)
{
	const FmLabelSums *labels = evaluation->model.labels;
	const FmLabelSums *others = evaluation->simple.labels;
	const FmErrorSums *errors = &evaluation->simple.errors;

	if (labels != NULL)
	{
		put_metric(evaluation, result, "log_loss", fm_log_loss(labels), fm_log_loss(others));
		put_metric(evaluation, result, "accuracy", fm_accuracy(labels), fm_accuracy(others));
		put_metric(evaluation, result, "f1", fm_f1(labels), fm_f1(others));
		put_metric(evaluation, result, "auc", fm_auc(labels), fm_auc(others));
	}
	else if (!is_ranking(evaluation))
	{
		put_metric(evaluation, result, "rmse", fm_rmse(&evaluation->model.errors), fm_rmse(errors));
		put_metric(evaluation, result, "mae", fm_mae(&evaluation->model.errors), fm_mae(errors));
	}
}

/* Return a metric of lists; NULL if no user had a relevant item. */
static void
put_list_metric(const FmEvaluation *evaluation, ReturnSetInfo *result, const char *name, double sum,
				double baseline_sum)
{
	double users = evaluation->model.lists.users == 0 ? NAN
													  : (double) evaluation->model.lists.users;

	put_metric(evaluation, result, name, sum / users, baseline_sum / users);
}

static void
put_lists(const FmEvaluation *evaluation, ReturnSetInfo *result)
{
	const FmRankingSums *sums = &evaluation->model.lists;
	const FmRankingSums *others = &evaluation->simple.lists;
	double curves = sums->auc_users == 0 ? NAN : (double) sums->auc_users;
	double lists = sums->users == 0 ? NAN : 1;

	put_list_metric(evaluation, result, "precision_at_x", sums->precision, others->precision);
	put_list_metric(evaluation, result, "recall_at_x", sums->recall, others->recall);
	put_list_metric(evaluation, result, "ndcg_at_x", sums->ndcg, others->ndcg);
	put_list_metric(evaluation, result, "map_at_x", sums->map, others->map);
	put_list_metric(evaluation, result, "mrr", sums->mrr, others->mrr);
	if (is_ranking(evaluation))
		put_metric(evaluation, result, "auc", sums->auc / curves, others->auc / curves);
	put_metric(evaluation, result, "coverage",
			   lists * coverage(evaluation, evaluation->model.recommended),
			   lists * coverage(evaluation, evaluation->simple.recommended));
}

Datum
fm_evaluate(PG_FUNCTION_ARGS)
{
	FmEvaluation evaluation = {0};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FmOuterProgress outer;

	fm_require_argument(fcinfo, 0, "ratings");
	evaluation.x = fm_x_argument(fcinfo, 2);
	if (evaluation.x == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("x must be at least 1, but is 0")));
	fm_init_materialized_srf(fcinfo);
	fm_serve_begin(&evaluation.serving, fcinfo, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1),
				   FM_IDS_TEXT, CurrentMemoryContext);
	evaluation.host = fm_pg_host(CurrentMemoryContext);
	fm_progress_begin_lists(evaluation.serving.model.name, &outer);
	read_rows(&evaluation, PG_GETARG_OID(0));
	fm_evaluation_run(&evaluation);
	fm_progress_end_lists(&outer);
	put_predictions(&evaluation, result);
	put_lists(&evaluation, result);
	fm_serve_end(&evaluation.serving);
	return (Datum) 0;
}
