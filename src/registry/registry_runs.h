/*
 * The registry's runs, written: how each training went. The rules of registry_models.h hold.
 */
#ifndef FMTOPX_REGISTRY_RUNS_H
#define FMTOPX_REGISTRY_RUNS_H

#include "core/model/metrics.h"
#include "pg/sql_parameters.h"
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
	int iterations;
	int64 users;
	int64 items;
	int64 features; /* columns of the factorization machine: ids, levels, what has been rated */
	int64 ratings;	/* trained on: those held out are not among them */
	int64 skipped;
	FmErrorSums train;
	FmErrorSums test;		   /* count 0: nothing was held out */
	FmLabelSums *train_labels; /* instead, of a classification; or NULL */
	FmLabelSums *test_labels;
	FmRankingSums test_ranking; /* instead, of a ranking, but for the count in test */
	bool refused;				/* not published, for the reason in message */
	char message[200];			/* or what there is to say of another; may be empty */
} FmRun;

/*
 * The version and stamp of the next training. The model must be locked: runs left running are
 * failed.
 */
extern void fm_registry_number_run(Oid schema, FmRun *run);

/* Record a training that has begun. The caller holds the model's training lock. */
extern void fm_registry_start_run(Oid schema, const FmRun *run, const FmDefinition *definition);
extern void fm_registry_finish_run(Oid schema, const FmRun *run); /* also deletes the oldest */
extern void fm_registry_fail_run(Oid schema, const FmRun *run, const char *message);

/* What went wrong after the version was published. */
extern void fm_registry_note_run(Oid schema, const FmRun *run, const char *message);

/*
 * Whether the run is worse on the ratings held out than the version being served by more than the
 * share max_worse; if so, marks it as refused and says why. False where there is nothing to
 * compare.
 */
extern bool fm_registry_refuse_run(Oid schema, FmRun *run, const FmDefinition *definition,
								   float max_worse);

/*
 * The metrics of one set of ratings as JSON: of a ranking, else of labels, else of errors; NULL of
 * no ratings.
 */
extern void fm_add_metrics(FmSqlParameters *parameters, const FmErrorSums *sums,
						   const FmLabelSums *labels, const FmRankingSums *ranking);

#endif
