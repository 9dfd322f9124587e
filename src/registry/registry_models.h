/*
 * The registry, written: models, runs, targets and trials.
 *
 * All of these need SPI connected, act as the registry's owner, and trust their arguments: checking
 * the caller's rights is the caller's part.
 */
#ifndef FMTOPX_REGISTRY_MODELS_H
#define FMTOPX_REGISTRY_MODELS_H

#include "core/model/metrics.h"
#include "core/data/ratings.h"
#include "registry/model.h"
#include "utils/timestamp.h"

/* ---- Models: registry_models.c ---- */

/*
 * Wait for whoever is creating a model of this name, and keep others from it until the transaction
 * ends.
 */
extern void fm_registry_lock_name(Oid schema, const char *name);

/*
 * Insert the model or replace its definition and active version; an error if the name is another's.
 */
extern void fm_registry_save_model(Oid schema, const FmModel *model);

/* Insert a model whose tables are filled from elsewhere. */
extern void fm_registry_attach_model(Oid schema, const FmModel *model);

/* A model that has one of this model's tables, in the current context, or NULL. */
extern char *fm_registry_tables_model(Oid schema, const FmModel *model);

/*
 * Keep others from moving the model's pointer until the transaction ends; the version it points at,
 * or 0 if there is no such model any more.
 */
extern int fm_registry_lock_pointer(Oid schema, const char *name);

/* Point at another version, under a stamp of its own, which is returned, and tell who listens. */
extern int64 fm_registry_activate(Oid schema, const char *name, int version);

/* NOTIFY fmtopx, when the transaction commits, that a version is being served from then on. */
extern void fm_registry_notify(const char *name, int version);

/* 0 and NaN: as it is. */
extern void fm_registry_set_options(Oid schema, const char *name, int keep_versions,
									float max_worse);

/* Remove a model with its runs, targets and trials; no error if there is none. */
extern void fm_registry_delete_model(Oid schema, const char *name);

/* ---- Runs: registry_runs.c ---- */

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

/* ---- Targets: registry_targets.c ---- */

typedef struct FmTarget
{
	Oid table; /* may have been dropped since */
	int32 x;
	bool exclude_seen;
} FmTarget;

/* Remember, or forget, that a table holds a model's lists, and no other model's. */
extern void fm_registry_save_target(Oid schema, const char *model, Oid target, int32 x,
									bool exclude_seen);
extern void fm_registry_delete_target(Oid schema, const char *model, Oid target);

/* The model that keeps a table fresh, in the current context, or NULL. */
extern char *fm_registry_target_model(Oid schema, Oid target);

/* The targets of a model, in the order of their OIDs; in the given context. */
extern FmTarget *fm_registry_targets(Oid schema, const char *model, MemoryContext context,
									 int *num_targets);

/* How the lists of a target were last written: target_proof.c. */
typedef struct FmListsProof
{
	char made_from[192]; /* from what, and by what rules; empty: unknown */
	int64 before;		 /* xids counted from the first ever */
	int64 written_by;
	int64 seen_rows; /* of the ratings, which are older than `before` */
	int32 *recent;	 /* idx of users with others, in order */
	int32 num_recent;
} FmListsProof;

extern void fm_registry_save_proof(Oid schema, const char *model, Oid target,
								   const FmListsProof *proof);

/* False if there is none. With `recent` in the given context. */
extern bool fm_registry_find_proof(Oid schema, const char *model, Oid target, MemoryContext context,
								   FmListsProof *proof);

/* ---- Trials: registry_trials.c ---- */

/* One trial of fm_tune. */
typedef struct FmTrial
{
	double value; /* of the metric; NaN: it failed */
	double default_unobserved_weight;
} FmTrial;

/* The metric by which models of a task are compared; of a ranking more is better, else less. */
extern const char *fm_metric_name(FmTask task);

/*
 * The trial of this model as it is defined now, on these held-out ratings; false if there is none
 * yet.
 */
extern bool fm_registry_find_trial(Oid schema, const FmModel *model, FmTrial *trial);

/* Write it down: the run's metrics, or why it failed. */
extern void fm_registry_save_trial(Oid schema, const FmModel *model, const FmRun *run,
								   const char *failure);
extern void fm_registry_delete_trials(Oid schema, const char *model);

#endif
