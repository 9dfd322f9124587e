/*
 * Writing the registry's runs: the result of each training. The rules of registry_models.h apply.
 */
#ifndef FMTOPX_REGISTRY_RUNS_H
#define FMTOPX_REGISTRY_RUNS_H

#include "core/model/ranking.h"
#include "pg/sql_parameters.h"
#include "registry/curve.h"
#include "registry/model.h"
#include "utils/timestamp.h"

/* One training, as fm_runs shows it. */
typedef struct FmRun
{
	const char *model;
	int version;
	int64 stamp;
	TimestampTz started_at;
	bool by_fold_in; /* made by fm_fold_in, not by a solver */
	int num_factors; /* of the version */
	int iterations;
	int64 users;
	int64 items;
	int64 features; /* columns of the factorization machine: ids, levels, history */
	int64 ratings;	/* pairs, without those held out */
	int64 repeats;	/* rows besides the first of each pair */
	int64 skipped;
	int64 rows_read;	   /* of the ratings relation: several of one pair are one rating */
	double train_baseline; /* what train and train_labels get if all are predicted alike */
	FmErrorSums train;
	FmErrorSums test;		   /* count 0: no ratings are held out */
	FmLabelSums *train_labels; /* replaces train in a classification; else NULL */
	FmLabelSums *test_labels;  /* replaces test in a classification; else NULL */
	FmListSums test_lists;	   /* no users: no held-out rating is relevant */
	FmErrorSums baseline;	   /* replace test and test_labels by those of the baseline */
	FmLabelSums *baseline_labels;
	FmDifference worse; /* by how much the losses of test exceed those of the baseline */
	bool refused;		/* is not published; message says why */
	char message[200];	/* may be empty */
	FmCurve curve;		/* of the rating head, or of a ranking */
	FmCurve interest_curve;
} FmRun;

/*
 * Set the version and the stamp of the next training. The caller holds the model's training lock,
 * so a run that is still marked as running has lost its connection, and is marked as failed.
 */
extern void fm_registry_number_run(Oid schema, FmRun *run);

/* Record that a training starts, finishes or fails. The caller holds the training lock. */
extern void fm_registry_start_run(Oid schema, const FmRun *run, const FmDefinition *definition);
extern void fm_registry_finish_run(Oid schema, const FmRun *run); /* deletes the oldest runs, too */
extern void fm_registry_fail_run(Oid schema, const FmRun *run, const char *message);

/* Record what went wrong after the version was published. */
extern void fm_registry_note_run(Oid schema, const FmRun *run, const char *message);

/*
 * Return whether the run's metric on held-out ratings is worse than that of the version being
 * served by more than the share max_worse. If it is, mark the run as refused and say why in its
 * message. False if there is nothing to compare.
 */
extern bool fm_registry_refuse_run(Oid schema, FmRun *run, const FmDefinition *definition,
								   float max_worse);

/*
 * Return the metric by which models of a task are compared. With the metric of a ranking more is
 * better, else less.
 */
extern const char *fm_metric_name(FmTask task);

/* Add the metrics of the training or of the held-out ratings, as JSON; NULL if there are none. */
extern void fm_add_train_metrics(FmSqlParameters *parameters, const FmRun *run);
extern void fm_add_test_metrics(FmSqlParameters *parameters, const FmRun *run);

/*
 * If held-out ratings are predicted or found worse than without a model, by more than chance
 * explains, say so in the run's message. Return whether they are.
 */
extern bool fm_run_loses(FmRun *run);

/*
 * If even the ratings trained on are predicted worse than by their mean, say so in the run's
 * message. Return whether they are.
 */
extern bool fm_run_misfits(FmRun *run);

#endif
