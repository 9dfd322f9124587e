\echo Use "CREATE EXTENSION fmtopx" to load this file. \quit

---------------------------------------------------------------------------------------------------
-- The registry: a row for each model, training, table of lists and trial. Only the C code writes to
-- it, as the extension's owner and after its own checks. Users read it through the views below.
---------------------------------------------------------------------------------------------------

-- The role that first trains a model owns its tables, and the owner of the tables is the model's
-- owner. A row whose tables have been dropped is dead: no view shows it, and the next fm_train of
-- that name replaces it. The tables of an attached model are filled from elsewhere. Its row only
-- names the tables; the version table says which version is served.
CREATE TABLE fm_model (
    model             text PRIMARY KEY,
    version_table     regclass NOT NULL,
    user_table        regclass NOT NULL,
    item_table        regclass NOT NULL,
    matrix_table      regclass NOT NULL,
    level_table       regclass,
    active_version    integer,
    stamp             bigint,
    ratings           regclass,
    user_column       name NOT NULL,
    item_column       name NOT NULL,
    rating_column     name,
    weight_column     name,
    context_columns   name[],
    user_features     regclass,
    item_features     regclass,
    task              text CHECK (task IN ('regression', 'classification', 'ranking')),
    solver            text CHECK (solver IN ('mcmc', 'als', 'ials', 'import')),
    num_factors       integer CHECK (num_factors BETWEEN 1 AND 1024),
    iterations        integer,
    l2_reg_w          real,
    l2_reg_v          real,
    unobserved_weight real,
    init_stdev        real,
    history           boolean,
    test_size         real,
    seed              bigint,
    workers           integer,
    time_column       name,
    rank_by           text NOT NULL DEFAULT 'auto' CHECK (rank_by IN ('auto', 'interest', 'rating')),
    keep_versions     integer NOT NULL DEFAULT 2 CHECK (keep_versions BETWEEN 1 AND 1000),
    max_worse         real NOT NULL DEFAULT 'Infinity',
    attached          boolean NOT NULL DEFAULT false,
    CHECK (attached OR pg_catalog.num_nulls(active_version, stamp, task, solver, history, test_size,
                                            seed) = 0),
    CHECK (attached OR solver = 'import' OR ratings IS NOT NULL)
);
COMMENT ON TABLE fm_model IS
'fmtopx registry: each model''s definition, its tables, and the version being served. Read the '
'view fm_models instead.';
COMMENT ON COLUMN fm_model.stamp IS
'Identifies the contents of the active version: a random number that is never drawn twice.';

CREATE TABLE fm_run (
    model         text NOT NULL REFERENCES fm_model ON DELETE CASCADE,
    version       integer NOT NULL,
    stamp         bigint NOT NULL,
    status        text NOT NULL CHECK (status IN ('running', 'succeeded', 'refused', 'failed')),
    started_at    timestamptz NOT NULL,
    finished_at   timestamptz,
    task          text,
    solver        text,
    num_factors   integer,
    iterations    integer,
    users         bigint,
    items         bigint,
    features      bigint,
    ratings       bigint,
    skipped       bigint,
    train_metrics jsonb,
    test_metrics  jsonb,
    message       text,
    rows_read     bigint,
    PRIMARY KEY (model, version)
);
COMMENT ON TABLE fm_run IS
'fmtopx registry: the last 1000 trainings of each model. Read the view fm_runs instead.';
COMMENT ON COLUMN fm_run.rows_read IS
'How many rows the ratings relation had. Several of one user and item are one rating.';

-- Arrays by iteration. NULL in test, or for it: no held-out rating was predicted.
CREATE TABLE fm_run_curve (
    model        text NOT NULL,
    version      integer NOT NULL,
    head         text NOT NULL CHECK (head IN ('rating', 'interest', 'ranking')),
    train_metric text NOT NULL,
    test_metric  text NOT NULL,
    seconds      real[] NOT NULL,
    train        real[] NOT NULL,
    test         real[],
    PRIMARY KEY (model, version, head),
    FOREIGN KEY (model, version) REFERENCES fm_run ON DELETE CASCADE
);
COMMENT ON TABLE fm_run_curve IS
'fmtopx registry: what each iteration of each run reached. Read the view fm_curve instead.';

CREATE TABLE fm_target (
    model        text NOT NULL REFERENCES fm_model ON DELETE CASCADE,
    target       regclass NOT NULL,
    kind         text NOT NULL DEFAULT 'top_x' CHECK (kind IN ('top_x', 'similar_items')),
    x            integer NOT NULL CHECK (x >= 0),
    exclude_seen boolean NOT NULL,
    novelty      double precision,
    users        regclass,
    items        regclass,
    context      jsonb,
    version      integer,
    written_at   timestamptz,
    duration     interval,
    rows         bigint,
    PRIMARY KEY (model, target)
);
COMMENT ON TABLE fm_target IS
'The tables of lists that fm_write_top_x or fm_write_similar_items has written and fm_refresh '
'rewrites: one row per table, with its last writing.';
COMMENT ON COLUMN fm_target.model IS 'The model whose lists the table holds.';
COMMENT ON COLUMN fm_target.target IS 'The table of lists.';
COMMENT ON COLUMN fm_target.kind IS
'What the table holds: top_x (lists of users, by fm_write_top_x) or similar_items (lists of items, '
'by fm_write_similar_items).';
COMMENT ON COLUMN fm_target.x IS 'The length of the lists.';
COMMENT ON COLUMN fm_target.exclude_seen IS
'Whether the lists exclude items that the user has already rated.';
COMMENT ON COLUMN fm_target.novelty IS
'How much the lists prefer less popular items; NULL: as each version of the model has it.';
COMMENT ON COLUMN fm_target.users IS
'The relation of the users who have lists, read at each writing; NULL: the users of the model.';
COMMENT ON COLUMN fm_target.items IS
'The relation of the items that may be in lists, read at each writing; NULL: the items of the model.';
COMMENT ON COLUMN fm_target.context IS 'The context that the lists are for, or NULL.';
COMMENT ON COLUMN fm_target.version IS 'The version of the model that the lists were last made from.';
COMMENT ON COLUMN fm_target.written_at IS 'When the table was last written.';
COMMENT ON COLUMN fm_target.duration IS 'How long that took.';
COMMENT ON COLUMN fm_target.rows IS 'The number of rows that the table then had.';

-- Not dumped, because transaction IDs mean nothing in another database.
CREATE TABLE fm_target_proof (
    model      text NOT NULL,
    target     regclass NOT NULL,
    made_from  text NOT NULL,
    before     bigint NOT NULL,
    written_by bigint NOT NULL,
    seen_rows  bigint NOT NULL,
    recent     integer[] NOT NULL,
    items      bytea,
    PRIMARY KEY (model, target),
    FOREIGN KEY (model, target) REFERENCES fm_target ON DELETE CASCADE
);
COMMENT ON TABLE fm_target_proof IS
'fmtopx registry: how each table of lists was last written, from which the next rewrite knows '
'which lists are still right.';

-- A smaller metric is better for a regression or classification, a larger one for a ranking.
CREATE TABLE fm_trial (
    model             text NOT NULL REFERENCES fm_model ON DELETE CASCADE,
    trial             integer NOT NULL,
    key               text NOT NULL,
    started_at        timestamptz NOT NULL,
    finished_at       timestamptz NOT NULL,
    task              text NOT NULL,
    solver            text NOT NULL,
    num_factors       integer,
    l2_reg_w          real,
    l2_reg_v          real,
    unobserved_weight real,
    validation_size   real NOT NULL,
    time_column       name,
    metric            text NOT NULL,
    value             double precision,
    metrics           jsonb,
    users             bigint,
    items             bigint,
    ratings           bigint,
    message           text,
    PRIMARY KEY (model, trial)
);
COMMENT ON TABLE fm_trial IS
'fmtopx registry: the trials of fm_tune. Read the view fm_trials instead.';
COMMENT ON COLUMN fm_trial.key IS
'Identifies what was tried: the definition and the held-out ratings.';

SELECT pg_catalog.pg_extension_config_dump('fm_model', '');
SELECT pg_catalog.pg_extension_config_dump('fm_run', '');
SELECT pg_catalog.pg_extension_config_dump('fm_run_curve', '');
SELECT pg_catalog.pg_extension_config_dump('fm_target', '');
SELECT pg_catalog.pg_extension_config_dump('fm_trial', '');

-- A role that may read a model's version table may read its rows in the registry.
ALTER TABLE fm_model ENABLE ROW LEVEL SECURITY;
ALTER TABLE fm_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE fm_run_curve ENABLE ROW LEVEL SECURITY;
ALTER TABLE fm_target ENABLE ROW LEVEL SECURITY;
ALTER TABLE fm_trial ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON fm_model FOR SELECT
    USING (pg_catalog.has_table_privilege(version_table::oid, 'SELECT'));
CREATE POLICY readable ON fm_run FOR SELECT
    USING (EXISTS (SELECT FROM fm_model m WHERE m.model = fm_run.model));
CREATE POLICY readable ON fm_run_curve FOR SELECT
    USING (EXISTS (SELECT FROM fm_model m WHERE m.model = fm_run_curve.model));
CREATE POLICY readable ON fm_target FOR SELECT
    USING (EXISTS (SELECT FROM fm_model m WHERE m.model = fm_target.model));
CREATE POLICY readable ON fm_trial FOR SELECT
    USING (EXISTS (SELECT FROM fm_model m WHERE m.model = fm_trial.model));
GRANT SELECT ON fm_model, fm_run, fm_run_curve, fm_target, fm_trial TO PUBLIC;

-- What the views show of tables. These functions use subtransactions, so none is safe in a parallel
-- query.
CREATE FUNCTION fm_served_version(version_table regclass) RETURNS integer
LANGUAGE C STABLE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_served_version';

COMMENT ON FUNCTION fm_served_version(regclass) IS
'Returns the version that a model''s version table marks as served: the one activated last. NULL '
'if there is none yet, if the table is not a version table, if it is locked, or if you may not read '
'all of its rows. Used by the views fm_models and fm_health for attached models.';

CREATE FUNCTION fm_disk_size(tables regclass[]) RETURNS bigint
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_disk_size';

COMMENT ON FUNCTION fm_disk_size(regclass[]) IS
'Returns the size of tables on disk, with indexes, in bytes. NULL if one of them is locked. Used by '
'the view fm_health.';

CREATE FUNCTION fm_live_rows(relation regclass, column_name name) RETURNS bigint
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_live_rows';

COMMENT ON FUNCTION fm_live_rows(regclass, name) IS
'Returns the number of rows that a relation has, with its partitions, by the server''s statistics. '
'NULL if these do not tell. The column must be one of the relation. Used by the view fm_health.';

-- A view reads with its owner's privileges, which bypass the policies. So each repeats the rule.
CREATE VIEW fm_models WITH (security_barrier) AS
    SELECT m.model,
           pg_catalog.pg_get_userbyid(c.relowner) AS owner,
           coalesce(m.active_version, fm_served_version(m.version_table)) AS active_version,
           m.task, m.solver, m.num_factors,
           m.ratings, m.user_column, m.item_column,
           CASE WHEN m.task <> 'ranking' THEN m.rating_column END AS rating_column,
           r.users, r.items, r.ratings AS rating_count,
           r.finished_at AS trained_at,
           m.version_table, m.user_table, m.item_table, m.matrix_table,
           m.keep_versions, m.max_worse,
           m.user_features, m.item_features, m.context_columns, m.history, m.level_table,
           m.attached, m.time_column, CASE WHEN m.task <> 'ranking' THEN m.rank_by END AS rank_by
    FROM fm_model m
    JOIN pg_catalog.pg_class c ON c.oid = m.version_table::oid
    LEFT JOIN fm_run r ON r.model = m.model AND r.version = m.active_version
    WHERE pg_catalog.has_table_privilege(m.version_table::oid, 'SELECT');
COMMENT ON VIEW fm_models IS
'Models that you may read: their definitions, their tables and the versions being served.';
COMMENT ON COLUMN fm_models.model IS 'The name of the model.';
COMMENT ON COLUMN fm_models.owner IS 'The role that owns the model and its tables.';
COMMENT ON COLUMN fm_models.active_version IS
'The version being served. NULL for an attached model without one, or whose version table is locked.';
COMMENT ON COLUMN fm_models.task IS 'regression, classification or ranking, as last defined.';
COMMENT ON COLUMN fm_models.solver IS
'mcmc, als or ials, as last defined; import for a model made by fm_import or fm_import_arrays.';
COMMENT ON COLUMN fm_models.num_factors IS
'The length of the factor vectors, as last defined. NULL: chosen by each training.';
COMMENT ON COLUMN fm_models.ratings IS
'The relation that ratings are read from, for training and for exclude_seen. NULL if the model was '
'attached or imported without one.';
COMMENT ON COLUMN fm_models.user_column IS
'The column of user ids in the ratings and user_features relations.';
COMMENT ON COLUMN fm_models.item_column IS
'The column of item ids in the ratings and item_features relations.';
COMMENT ON COLUMN fm_models.rating_column IS 'The column of ratings. NULL for a ranking.';
COMMENT ON COLUMN fm_models.users IS 'Number of users in the version being served.';
COMMENT ON COLUMN fm_models.items IS 'Number of items in the version being served.';
COMMENT ON COLUMN fm_models.rating_count IS
'Number of ratings that the version being served was trained on.';
COMMENT ON COLUMN fm_models.trained_at IS 'When the training of the version being served ended.';
COMMENT ON COLUMN fm_models.version_table IS 'The table with one row per version.';
COMMENT ON COLUMN fm_models.user_table IS 'The table of user biases and factors.';
COMMENT ON COLUMN fm_models.item_table IS 'The table of item biases and factors.';
COMMENT ON COLUMN fm_models.matrix_table IS
'The table of fm_matrix blocks, which lists are computed from.';
COMMENT ON COLUMN fm_models.keep_versions IS 'How many versions a training keeps; see fm_set.';
COMMENT ON COLUMN fm_models.max_worse IS
'By which share a training may be worse than the version being served; see fm_set.';
COMMENT ON COLUMN fm_models.user_features IS 'The relation of user features, or NULL.';
COMMENT ON COLUMN fm_models.item_features IS 'The relation of item features, or NULL.';
COMMENT ON COLUMN fm_models.context_columns IS
'The context columns of the ratings relation, or NULL.';
COMMENT ON COLUMN fm_models.time_column IS
'The column by which newer rows count more in lists, or NULL.';
COMMENT ON COLUMN fm_models.rank_by IS
'What orders lists: auto, interest or rating. NULL for a ranking.';
COMMENT ON COLUMN fm_models.history IS
'Whether the users'' rated items and the items'' raters are features.';
COMMENT ON COLUMN fm_models.level_table IS
'The table of feature and context levels. NULL until the model is trained with features or context '
'columns.';
COMMENT ON COLUMN fm_models.attached IS
'Whether the versions come from elsewhere (fm_attach). Columns about training are then NULL.';

CREATE VIEW fm_runs WITH (security_barrier) AS
    SELECT r.model, r.version, r.status, r.started_at, r.finished_at, r.task, r.solver, r.num_factors,
           r.iterations, r.users, r.items, r.features, r.ratings, r.skipped,
           r.train_metrics, r.test_metrics, r.message
    FROM fm_run r
    JOIN fm_model m ON m.model = r.model
    WHERE pg_catalog.has_table_privilege(m.version_table::oid, 'SELECT');
COMMENT ON VIEW fm_runs IS
'The last 1000 trainings of each model that you may read: settings, sizes, metrics, outcome.';
COMMENT ON COLUMN fm_runs.model IS 'The model that was trained.';
COMMENT ON COLUMN fm_runs.version IS 'The version that the training made, or would have made.';
COMMENT ON COLUMN fm_runs.status IS 'running, succeeded, refused (see fm_set) or failed.';
COMMENT ON COLUMN fm_runs.started_at IS 'When the training started.';
COMMENT ON COLUMN fm_runs.finished_at IS 'When the training ended. NULL while it runs.';
COMMENT ON COLUMN fm_runs.task IS 'regression, classification or ranking.';
COMMENT ON COLUMN fm_runs.solver IS
'mcmc, als or ials; fold-in for a version made by fm_fold_in, import for one by fm_import or '
'fm_import_arrays.';
COMMENT ON COLUMN fm_runs.num_factors IS
'The length of the factor vectors. Those of an interest head have a length of their own.';
COMMENT ON COLUMN fm_runs.iterations IS 'Number of iterations. NULL for fm_fold_in and imports.';
COMMENT ON COLUMN fm_runs.users IS 'Number of users in the version.';
COMMENT ON COLUMN fm_runs.items IS 'Number of items in the version.';
COMMENT ON COLUMN fm_runs.features IS
'Number of features: users, items, and levels of features and context columns. With history, users '
'and items count twice.';
COMMENT ON COLUMN fm_runs.ratings IS 'Number of ratings trained on, without held-out ratings.';
COMMENT ON COLUMN fm_runs.skipped IS
'Number of rows skipped because user, item or rating was NULL or the weight was NULL or 0.';
COMMENT ON COLUMN fm_runs.train_metrics IS
'Metrics on the training ratings, in their units: rmse and mae; for a classification log_loss, '
'accuracy, f1 and auc; and the number of ratings. NULL for a ranking.';
COMMENT ON COLUMN fm_runs.test_metrics IS
'The same metrics on the held-out ratings (test_size), and those of lists: ndcg_at_10, '
'precision_at_10, recall_at_10, map_at_10, mrr and, for a ranking, auc; the numbers of users with '
'a relevant item and of ratings. baseline has the same metrics without a model; see fm_evaluate. '
'Lists are those of at most 3000 users, except for a ranking.';
COMMENT ON COLUMN fm_runs.message IS
'The error of a failed training, the figures of a refused one or of one that is worse than its '
'baseline, what fm_fold_in has changed, or which tables of lists were not written.';

CREATE VIEW fm_curve WITH (security_barrier) AS
    SELECT c.model, c.version, c.head, p.iteration::integer AS iteration,
           pg_catalog.make_interval(secs => p.seconds) AS elapsed,
           c.train_metric, p.train AS train_value,
           CASE WHEN c.test IS NOT NULL THEN c.test_metric END AS test_metric, p.test AS test_value
    FROM fm_run_curve c
    JOIN fm_model m ON m.model = c.model
    CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(c.seconds), pg_catalog.unnest(c.train),
                                  pg_catalog.unnest(c.test))
        WITH ORDINALITY AS p (seconds, train, test, iteration)
    WHERE pg_catalog.has_table_privilege(m.version_table::oid, 'SELECT');
COMMENT ON VIEW fm_curve IS
'Learning curves: what each iteration of each run in fm_runs reached, on the ratings trained on and '
'on some of those held out (test_size).';
COMMENT ON COLUMN fm_curve.model IS 'The model that was trained.';
COMMENT ON COLUMN fm_curve.version IS 'The version that the training made, or would have made.';
COMMENT ON COLUMN fm_curve.head IS
'What was solved: rating or interest, the heads of a model of ratings, or ranking.';
COMMENT ON COLUMN fm_curve.iteration IS 'The number of the iteration, from 1 for each head.';
COMMENT ON COLUMN fm_curve.elapsed IS 'The time from the start of the training to its end.';
COMMENT ON COLUMN fm_curve.train_metric IS
'What train_value is: rmse or log_loss; error for a ranking and an interest head, the root of the '
'weighted squared error of all pairs per observed pair.';
COMMENT ON COLUMN fm_curve.train_value IS
'The error on the ratings trained on. Of mcmc it is that of one sample, not of their mean.';
COMMENT ON COLUMN fm_curve.test_metric IS
'What test_value is: as train_metric; auc for a ranking and an interest head, the share of held-out '
'pairs with a higher score than a random item that the user does not have. NULL if none are held '
'out.';
COMMENT ON COLUMN fm_curve.test_value IS
'The metric on at most 20,000 held-out ratings, or one for twenty trained on, whose user '
'and item have others. Of mcmc it is that of the mean of all samples from the tenth of the '
'iterations on. Metrics of all held-out ratings by the whole version are in fm_metrics.';

CREATE VIEW fm_metrics WITH (security_barrier) AS
    SELECT r.model, r.version, s.set, e.metric, e.value::double precision AS value,
           (s.metrics -> 'baseline'::text ->> e.metric)::double precision AS baseline, r.finished_at
    FROM fm_run r
    JOIN fm_model m ON m.model = r.model
    CROSS JOIN LATERAL (VALUES ('train', r.train_metrics), ('test', r.test_metrics)) AS s (set, metrics)
    CROSS JOIN LATERAL pg_catalog.jsonb_each_text(s.metrics) AS e (metric, value)
    WHERE pg_catalog.has_table_privilege(m.version_table::oid, 'SELECT')
      AND e.metric NOT IN ('ratings', 'users', 'baseline');
COMMENT ON VIEW fm_metrics IS
'The metrics of each run in fm_runs as numbers, one in a row, with what they are without a model.';
COMMENT ON COLUMN fm_metrics.model IS 'The model that was trained.';
COMMENT ON COLUMN fm_metrics.version IS 'The version that the training made, or would have made.';
COMMENT ON COLUMN fm_metrics.set IS
'Which ratings were scored: train, those trained on, or test, those held out (test_size).';
COMMENT ON COLUMN fm_metrics.metric IS 'The name of the metric; see fm_runs.';
COMMENT ON COLUMN fm_metrics.value IS 'Its value. NULL if it is not defined for these ratings.';
COMMENT ON COLUMN fm_metrics.baseline IS
'What the same ratings get without a model; see fm_evaluate. NULL for the ratings trained on.';
COMMENT ON COLUMN fm_metrics.finished_at IS 'When the training ended.';

CREATE VIEW fm_trials WITH (security_barrier) AS
    SELECT t.model, t.trial, t.started_at, t.finished_at - t.started_at AS duration, t.task, t.solver,
           t.num_factors, t.l2_reg_w, t.l2_reg_v, t.unobserved_weight, t.validation_size, t.time_column,
           t.metric, t.value, t.metrics, t.message
    FROM fm_trial t
    JOIN fm_model m ON m.model = t.model
    WHERE pg_catalog.has_table_privilege(m.version_table::oid, 'SELECT');
COMMENT ON VIEW fm_trials IS
'Trials of fm_tune for each model that you may read, with their metrics on held-out ratings.';
COMMENT ON COLUMN fm_trials.model IS 'The model that was tuned.';
COMMENT ON COLUMN fm_trials.trial IS 'The number of the trial, from 1 for each model.';
COMMENT ON COLUMN fm_trials.started_at IS 'When the trial started.';
COMMENT ON COLUMN fm_trials.duration IS 'How long it took.';
COMMENT ON COLUMN fm_trials.task IS 'regression, classification or ranking.';
COMMENT ON COLUMN fm_trials.solver IS 'mcmc, als or ials.';
COMMENT ON COLUMN fm_trials.num_factors IS 'The length of the factor vectors that was tried.';
COMMENT ON COLUMN fm_trials.l2_reg_w IS
'The regularisation of biases that was tried. NULL: the solver''s default.';
COMMENT ON COLUMN fm_trials.l2_reg_v IS
'The regularisation of factors that was tried. NULL: the solver''s default.';
COMMENT ON COLUMN fm_trials.unobserved_weight IS
'The weight of unobserved pairs that was tried. NULL: the solver''s default.';
COMMENT ON COLUMN fm_trials.validation_size IS 'The share of the ratings that was held out.';
COMMENT ON COLUMN fm_trials.time_column IS
'The column by which the latest ratings were held out. NULL: they were drawn at random.';
COMMENT ON COLUMN fm_trials.metric IS
'The metric that trials are compared by: rmse or log_loss (smaller is better) or ndcg_at_10 '
'(larger is better).';
COMMENT ON COLUMN fm_trials.value IS
'The value of that metric on the held-out ratings. NULL if the trial failed.';
COMMENT ON COLUMN fm_trials.metrics IS
'All metrics on the held-out ratings; see fm_runs.test_metrics.';
COMMENT ON COLUMN fm_trials.message IS 'The error of a failed trial.';

-- ratings_since compares the rows read by the training with the statistics of the ratings table.
CREATE VIEW fm_health WITH (security_barrier) AS
    SELECT m.model, coalesce(m.active_version, fm_served_version(m.version_table)) AS active_version,
           served.finished_at AS trained_at,
           pg_catalog.now() - served.finished_at AS age,
           CASE WHEN served.ratings IS NOT NULL
                THEN fm_live_rows(m.ratings, m.user_column)
                     - coalesce(served.rows_read, served.ratings + served.skipped
                                + coalesce((served.test_metrics ->> 'ratings'::text)::bigint, 0))
                END AS ratings_since,
           last.version AS last_version, last.status AS last_status,
           last.finished_at AS last_finished_at,
           last.finished_at - last.started_at AS last_duration,
           last.message AS last_message,
           (SELECT pg_catalog.count(*) FROM fm_run f
            WHERE f.model = m.model AND f.status IN ('failed', 'refused')
              AND f.version > coalesce((SELECT pg_catalog.max(s.version) FROM fm_run s
                                        WHERE s.model = m.model AND s.status = 'succeeded'), 0)) AS failures,
           (SELECT pg_catalog.count(*) FROM fm_target t WHERE t.model = m.model) AS targets,
           fm_disk_size(ARRAY[m.version_table, m.user_table, m.item_table, m.matrix_table,
                              m.level_table]) AS size
    FROM fm_model m
    JOIN pg_catalog.pg_class versions ON versions.oid = m.version_table::oid
    LEFT JOIN fm_run served ON served.model = m.model AND served.version = m.active_version
    LEFT JOIN LATERAL (SELECT * FROM fm_run r WHERE r.model = m.model
                       ORDER BY r.version DESC LIMIT 1) last ON true
    WHERE pg_catalog.has_table_privilege(m.version_table::oid, 'SELECT');
COMMENT ON VIEW fm_health IS
'One row per model that you may read, for monitoring: age of the version being served, the last '
'training, failures, size.';
COMMENT ON COLUMN fm_health.model IS 'The name of the model.';
COMMENT ON COLUMN fm_health.active_version IS 'The version being served; see fm_models.';
COMMENT ON COLUMN fm_health.trained_at IS 'When the training of that version ended.';
COMMENT ON COLUMN fm_health.age IS 'The time since then.';
COMMENT ON COLUMN fm_health.ratings_since IS
'An estimate, from the server''s statistics, of how many rows the ratings table has gained since, '
'with its partitions. NULL if there are none: for a view, a foreign table without ANALYZE, and a '
'table whose rows are on other nodes.';
COMMENT ON COLUMN fm_health.last_version IS
'The version of the last training, whatever its outcome.';
COMMENT ON COLUMN fm_health.last_status IS 'The status of the last training; see fm_runs.';
COMMENT ON COLUMN fm_health.last_finished_at IS 'When the last training ended.';
COMMENT ON COLUMN fm_health.last_duration IS 'How long the last training took.';
COMMENT ON COLUMN fm_health.last_message IS 'The message of the last training; see fm_runs.';
COMMENT ON COLUMN fm_health.failures IS
'Number of failed and refused trainings since the last that succeeded.';
COMMENT ON COLUMN fm_health.targets IS 'Number of tables of lists that fm_refresh rewrites.';
COMMENT ON COLUMN fm_health.size IS 'Size of the model''s tables on disk, with indexes, in bytes. NULL '
'while one of them is locked.';

GRANT SELECT ON fm_models, fm_runs, fm_curve, fm_metrics, fm_trials, fm_health TO PUBLIC;

---------------------------------------------------------------------------------------------------
-- The type fm_matrix: item vectors in one value
---------------------------------------------------------------------------------------------------

CREATE TYPE fm_matrix;

CREATE FUNCTION fm_matrix_in(cstring) RETURNS fm_matrix
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_in';

CREATE FUNCTION fm_matrix_out(fm_matrix) RETURNS cstring
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_out';

CREATE FUNCTION fm_matrix_recv(internal) RETURNS fm_matrix
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_recv';

CREATE FUNCTION fm_matrix_send(fm_matrix) RETURNS bytea
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_send';

CREATE TYPE fm_matrix (
    INPUT = fm_matrix_in,
    OUTPUT = fm_matrix_out,
    RECEIVE = fm_matrix_recv,
    SEND = fm_matrix_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = double,
    STORAGE = external
);

COMMENT ON TYPE fm_matrix IS
'A matrix of items, each with an id (bigint, unique), a vector of factors and a bias. Holds at '
'least one item and at most 1 GB; vectors have 1 to 2050 elements, all the same number; numbers '
'are finite and single-precision; items are in ascending order of id. Text form: '
'[[item_id,[v1,...,vk],w],...]. Made by fm_matrix_agg, scanned by fm_matrix_top_x.';

COMMENT ON FUNCTION fm_matrix_in(cstring) IS
'Text input of fm_matrix. Raises an error unless the text is [[item_id,[v1,...,vk],w],...] with '
'ascending ids, finite numbers and vectors of the same length.';
COMMENT ON FUNCTION fm_matrix_out(fm_matrix) IS
'Text output of fm_matrix: [[item_id,[v1,...,vk],w],...]. Each number has the fewest digits that '
'read back as the same value.';
COMMENT ON FUNCTION fm_matrix_recv(internal) IS
'Binary input of fm_matrix. Makes the same checks as the text input.';
COMMENT ON FUNCTION fm_matrix_send(fm_matrix) IS
'Binary output of fm_matrix, in network byte order.';

CREATE FUNCTION fm_matrix_items(m fm_matrix) RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_items';

COMMENT ON FUNCTION fm_matrix_items(fm_matrix) IS
'Returns the number of items in a matrix, without reading the vectors.';

CREATE FUNCTION fm_matrix_factors(m fm_matrix) RETURNS integer
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_factors';

COMMENT ON FUNCTION fm_matrix_factors(fm_matrix) IS
'Returns the number of factors of a matrix: the length of each item''s vector, without the bias. '
'Does not read the vectors.';

-- The aggregate that builds a matrix.

CREATE FUNCTION fm_matrix_agg_transfn(internal, bigint, real[], real) RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_agg_transfn';

CREATE FUNCTION fm_matrix_agg_transfn(internal, bigint, double precision[], double precision)
RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_agg_double_transfn';

CREATE FUNCTION fm_matrix_agg_combinefn(internal, internal) RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_agg_combinefn';

CREATE FUNCTION fm_matrix_agg_serialfn(internal) RETURNS bytea
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_agg_serialfn';

CREATE FUNCTION fm_matrix_agg_deserialfn(bytea, internal) RETURNS internal
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_agg_deserialfn';

CREATE FUNCTION fm_matrix_agg_finalfn(internal) RETURNS fm_matrix
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_agg_finalfn';

COMMENT ON FUNCTION fm_matrix_agg_transfn(internal, bigint, real[], real) IS
'Transition function of fm_matrix_agg.';
COMMENT ON FUNCTION fm_matrix_agg_transfn(internal, bigint, double precision[], double precision) IS
'Transition function of fm_matrix_agg for double precision.';
COMMENT ON FUNCTION fm_matrix_agg_combinefn(internal, internal) IS 'Combine function of fm_matrix_agg.';
COMMENT ON FUNCTION fm_matrix_agg_serialfn(internal) IS 'Serialization function of fm_matrix_agg.';
COMMENT ON FUNCTION fm_matrix_agg_deserialfn(bytea, internal) IS 'Deserialization function of fm_matrix_agg.';
COMMENT ON FUNCTION fm_matrix_agg_finalfn(internal) IS 'Final function of fm_matrix_agg.';

CREATE AGGREGATE fm_matrix_agg(item_id bigint, v real[], w real) (
    SFUNC = fm_matrix_agg_transfn,
    STYPE = internal,
    FINALFUNC = fm_matrix_agg_finalfn,
    FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = fm_matrix_agg_combinefn,
    SERIALFUNC = fm_matrix_agg_serialfn,
    DESERIALFUNC = fm_matrix_agg_deserialfn,
    PARALLEL = SAFE
);

CREATE AGGREGATE fm_matrix_agg(item_id bigint, v double precision[], w double precision) (
    SFUNC = fm_matrix_agg_transfn,
    STYPE = internal,
    FINALFUNC = fm_matrix_agg_finalfn,
    FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = fm_matrix_agg_combinefn,
    SERIALFUNC = fm_matrix_agg_serialfn,
    DESERIALFUNC = fm_matrix_agg_deserialfn,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE fm_matrix_agg(bigint, real[], real) IS
'Builds a matrix from one row per item: its id, its vector v (1 to 2050 elements, the same number '
'for every item) and its bias w. The result does not depend on the order of the rows. Rows with a '
'NULL argument are ignored; NULL if there are no rows. Raises an error if an id occurs twice, if a '
'vector has another length, more than one dimension or a NULL element, if a number is not finite, '
'or if the result exceeds 1 GB.';
COMMENT ON AGGREGATE fm_matrix_agg(bigint, double precision[], double precision) IS
'Like fm_matrix_agg(bigint, real[], real). Numbers are stored in single precision.';

CREATE FUNCTION fm_list_vector(v real[], w real, interest_v real[], popularity real,
                               rating_share double precision, novelty_unit double precision)
RETURNS real[]
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_list_vector';

COMMENT ON FUNCTION fm_list_vector(real[], real, real[], real, double precision, double precision) IS
'Returns the vector of an item in the matrix of a model, which orders lists: v; with an interest '
'head, v and w in the scale of rating_share, then interest_v; and, unless it is NULL, popularity in '
'the scale of novelty_unit. Called by trainings, for fm_matrix_agg.';

-- Scanning a matrix.

CREATE FUNCTION fm_top_x_support(internal) RETURNS internal
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_top_x_support';

COMMENT ON FUNCTION fm_top_x_support(internal) IS
'Planner support function: estimates the number of rows that a function with an argument x '
'returns.';

CREATE FUNCTION fm_matrix_top_x(m fm_matrix, query double precision[], x bigint)
RETURNS TABLE (rank integer, item_id bigint, score real)
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_matrix_top_x';

COMMENT ON FUNCTION fm_matrix_top_x(fm_matrix, double precision[], bigint) IS
'Returns the x items with the highest scores, best first, ties by item id; all items if there are '
'fewer than x. The score is the inner product of query and v, plus w. A query may have one element '
'more than the matrix has factors; this element is then multiplied by w. The result is exact: it '
'is always that of a full scan in double precision. No rows if m or query is NULL or x is 0. '
'Raises an error if x is NULL or negative, if query has another length, more than one dimension, '
'or an element that is NULL or not finite, and if a score is out of range for type real.';

---------------------------------------------------------------------------------------------------
-- Train
---------------------------------------------------------------------------------------------------

CREATE FUNCTION fm_train(
    model             text,
    ratings           regclass DEFAULT NULL,
    user_column       name     DEFAULT 'user_id',
    item_column       name     DEFAULT 'item_id',
    rating_column     name     DEFAULT 'rating',
    weight_column     name     DEFAULT NULL,
    time_column       name     DEFAULT NULL,
    context_columns   name[]   DEFAULT NULL,
    user_features     regclass DEFAULT NULL,
    item_features     regclass DEFAULT NULL,
    task              text     DEFAULT 'regression',
    solver            text     DEFAULT 'auto',
    num_factors       integer  DEFAULT NULL,
    iterations        integer  DEFAULT NULL,
    l2_reg_w          double precision DEFAULT NULL,
    l2_reg_v          double precision DEFAULT NULL,
    unobserved_weight double precision DEFAULT NULL,
    init_stdev        double precision DEFAULT NULL,
    history           boolean  DEFAULT false,
    test_size         double precision DEFAULT 0,
    seed              bigint   DEFAULT 42,
    workers           integer  DEFAULT NULL,
    rank_by           text     DEFAULT 'auto',
    schema            name     DEFAULT NULL
) RETURNS fm_runs
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_train';

COMMENT ON FUNCTION fm_train(text, regclass, name, name, name, name, name, name[], regclass, regclass,
    text, text, integer, integer, double precision, double precision, double precision,
    double precision, boolean, double precision, bigint, integer, text, name) IS
'Trains a factorization machine (Rendle 2010) on a relation of ratings and publishes it as the new '
'version of a model, in the current transaction. The first call defines the model and creates its '
'tables fm_<model>_version, _user, _item and _matrix (and _level, if there are features or context '
'columns), owned by the caller, in the given schema or else where CREATE TABLE would put them. '
'Later calls require the model''s owner. If ratings is NULL, the '
'stored definition is used, except for options given with other than their default values. Rows '
'with a NULL user, item or rating are skipped and counted. task is regression; classification, '
'which learns the probability of the larger of two values (probit; Albert and Chib 1993); or '
'ranking, which reads no ratings and learns from which pairs exist (Hu, Koren and Volinsky 2008). '
'user_features and item_features are relations with the user or item column. Their other columns '
'are features: float4, float8 and numeric columns are numbers, arrays are bags of levels, other '
'types are categories. Users and items that occur only there become part of the model, too. With '
'history, the items that a user has rated and the users who have rated an item are features as '
'well. context_columns are columns of the ratings relation with categories, such as the device, '
'that describe the context of each rating. rank_by says what orders lists: interest (auto is the '
'same), which a second model of who rates what predicts, together with the predicted rating; or '
'rating, the predicted rating alone, without a second model. A ranking, and that second model, '
'choose their number of factors and regularisation from the data unless these are given. Rows of '
'the same pair are one rating, or in a ranking add up; weights count in proportion to each other. '
'Rows with newer values in time_column count more in lists. test_size is the share of the pairs of '
'users and items that is held out for test_metrics, which have the same metrics without a model as '
'baseline. Returns the row of fm_runs. Raises an error if a relation, a column or an option is '
'missing or unusable, if a rating is not finite, if all ratings are equal, or if those of a '
'classification have more than two values. The version being served stays unchanged on error.';

CREATE PROCEDURE fm_refresh(model text, on_conflict text DEFAULT 'skip')
LANGUAGE C
AS 'MODULE_PATHNAME', 'fm_refresh';

COMMENT ON PROCEDURE fm_refresh(text, text) IS
'Trains a model again from its stored definition, publishes the new version, deletes versions that '
'are no longer kept, and rewrites the model''s tables of lists (see fm_write_top_x). Commits after '
'each step and between small batches of deletes, unless called in a transaction block. Computing '
'holds no snapshot, so it does not hold back vacuum. Before the tables are written, a background '
'worker vacuums them, unless fmtopx.vacuum is off, no worker is free, or the call is in a '
'transaction block. A version that is worse than max_worse allows (see fm_set) is not published. '
'on_conflict says what to do if the model is already being trained: skip (with a notice), wait, or '
'error. A failure is recorded in fm_runs and then raised; the last good version and lists stay in '
'place. For a table of lists that another role than the model''s owner owns, a failure raises only '
'a warning. Requires the model''s owner.';

CREATE FUNCTION fm_schedule(model text, schedule text DEFAULT '0 4 * * *',
                            on_conflict text DEFAULT 'skip') RETURNS bigint
LANGUAGE C
AS 'MODULE_PATHNAME', 'fm_schedule';

COMMENT ON FUNCTION fm_schedule(text, text, text) IS
'Lets pg_cron call fm_refresh for a model at the times of a cron expression, as the current user, '
'and returns the number of the job. Replaces the model''s earlier schedule. Needs pg_cron, with its '
'jobs in this database; the error says what is missing. A warning says which setting keeps jobs '
'from running. fm_drop ends the schedule. Requires the model''s owner.';

CREATE FUNCTION fm_unschedule(model text) RETURNS boolean
LANGUAGE C
AS 'MODULE_PATHNAME', 'fm_unschedule';

COMMENT ON FUNCTION fm_unschedule(text) IS
'Ends what fm_schedule began. Returns whether there was a schedule. Requires the model''s owner, or '
'your own job if the model is gone.';

CREATE PROCEDURE fm_tune(model text, validation_size double precision DEFAULT 0.1,
                         time_column name DEFAULT NULL, trials integer DEFAULT 20,
                         fresh boolean DEFAULT false)
LANGUAGE C
AS 'MODULE_PATHNAME', 'fm_tune';

COMMENT ON PROCEDURE fm_tune(text, double precision, name, integer, boolean) IS
'Searches for options that make a model more accurate: num_factors and, if the solver has them, '
'l2_reg_v, l2_reg_w and unobserved_weight; of a ranking l2_reg_v only if it is given, since each '
'training finds its own. Each trial trains the model as defined, except for these options and '
'without an interest head, without a share validation_size (above 0, below 1) of the ratings: the '
'latest by time_column or, if that is NULL, a random sample. Trials are compared by rmse, log_loss '
'or ndcg_at_10 on these ratings. One option at a time is increased or decreased as long as that '
'helps (Hooke and Jeeves 1961), for at most trials (1 to 1000) trials. Commits after each trial, '
'unless called in a transaction block, so that fm_trials shows it and the next call continues a '
'search that was cancelled. With fresh, earlier trials are deleted first. Stores no version and '
'does not change what is served; the final notice shows the call of fm_train with the best '
'options. Requires the model''s owner.';

CREATE FUNCTION fm_fold_in(model text) RETURNS fm_runs
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_fold_in';

COMMENT ON FUNCTION fm_fold_in(text) IS
'Adds ratings that have arrived since the training to a model, without a training, and publishes '
'the result as a new version. Solved from their ratings are the vectors of users whose ratings '
'have changed, and of users and items of which the training had no ratings, in both heads of the '
'version if it has two. All other vectors stay the same, even if their ratings have been deleted. '
'Returns the row of fm_runs, with solver fold-in and a message that counts what was solved. If '
'nothing has changed, raises a notice, makes no version, and returns the run of the version being '
'served. Does not rewrite tables of lists. Waits while the model is being trained. Requires the '
'model''s owner.';

CREATE FUNCTION fm_import(
    model         text,
    artefact      bytea,
    users         regclass,
    items         regclass,
    ratings       regclass DEFAULT NULL,
    user_column   name     DEFAULT 'user_id',
    item_column   name     DEFAULT 'item_id',
    rating_column name     DEFAULT 'rating',
    task          text     DEFAULT 'regression',
    rating_min    double precision DEFAULT NULL,
    rating_max    double precision DEFAULT NULL,
    unobserved_weight double precision DEFAULT NULL,
    row_column    name     DEFAULT 'idx',
    format        text     DEFAULT 'auto',
    normalised    boolean  DEFAULT true,
    ignore_others boolean  DEFAULT false,
    schema        name     DEFAULT NULL
) RETURNS fm_runs
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_import';

COMMENT ON FUNCTION fm_import(text, bytea, regclass, regclass, regclass, name, name, name, text,
                              double precision, double precision, double precision, name, text,
                              boolean, boolean, name) IS
'Makes a model, or a new version of it, from a file of another system: the artefact of Amazon '
'SageMaker''s factorization machines (model.tar.gz, the ZIP in it, or a list of arrays), libFM''s '
'text, or xLearn''s. format: auto, sagemaker, libfm or xlearn. users and items are relations that '
'say whose the rows of the model are: user_column or item_column, and row_column, which counts from '
'0. Rows that are neither are an error unless ignore_others. ratings is the relation that seen items '
'and users to fold in are read from; it gives the range of the ratings, too, unless rating_min and '
'rating_max do. task: regression, classification or ranking, which has an unobserved_weight for '
'folding in. normalised says that xLearn has normalised its instances, as it does by default. '
'schema: where a new model''s tables are made. Returns the row of fm_runs, with the metrics on the '
'ratings. Requires the model''s owner if the model exists.';

CREATE FUNCTION fm_import_arrays(
    model         text,
    users         regclass,
    items         regclass,
    ratings       regclass DEFAULT NULL,
    user_column   name     DEFAULT 'user_id',
    item_column   name     DEFAULT 'item_id',
    rating_column name     DEFAULT 'rating',
    task          text     DEFAULT 'regression',
    rating_min    double precision DEFAULT NULL,
    rating_max    double precision DEFAULT NULL,
    unobserved_weight double precision DEFAULT NULL,
    vector_column name     DEFAULT 'v',
    bias_column   name     DEFAULT NULL,
    global_bias   double precision DEFAULT 0,
    schema        name     DEFAULT NULL
) RETURNS fm_runs
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_import_arrays';

COMMENT ON FUNCTION fm_import_arrays(text, regclass, regclass, regclass, name, name, name, text,
                                     double precision, double precision, double precision, name,
                                     name, double precision, name) IS
'Makes a model, or a new version of it, from arrays: a row of users for each user, with user_column, '
'vector_column and, if it is given and users has it, bias_column; items likewise. A rating is '
'predicted as global_bias, both biases and the inner product of both vectors. The other arguments '
'are those of fm_import. Requires the model''s owner if the model exists.';

CREATE FUNCTION fm_set(model text, keep_versions integer DEFAULT NULL,
                       max_worse double precision DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_set';

COMMENT ON FUNCTION fm_set(text, integer, double precision) IS
'Sets options of a model; NULL leaves an option unchanged. keep_versions (1 to 1000, initially 2) '
'is the number of versions that a training keeps: the new one, the one served before, then the '
'latest others. max_worse (0 or more, initially Infinity) is a quality gate: a training is '
'refused, not published, if its rmse, log_loss or ndcg_at_10 on held-out ratings is worse than '
'that of the version being served by more than this share. It takes effect only if the model has a '
'test_size. Requires the model''s owner.';

CREATE FUNCTION fm_activate(model text, version integer) RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_activate';

COMMENT ON FUNCTION fm_activate(text, integer) IS
'Makes another version the one being served: an older or newer one that is still in the model''s '
'tables. Does not rewrite tables of lists. Does not wait for a training by fm_refresh, except for '
'the moment in which it publishes. Sends NOTIFY fmtopx. Requires the model''s owner.';

CREATE FUNCTION fm_grant(model text, role name) RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'fm_grant';

COMMENT ON FUNCTION fm_grant(text, name) IS
'Lets a role (or public) use a model, by GRANT SELECT on its tables. Use REVOKE to undo it. '
'Requires the model''s owner.';

CREATE FUNCTION fm_forget_target(target regclass) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'fm_forget_target';

COMMENT ON FUNCTION fm_forget_target(regclass) IS
'Stops fm_refresh from rewriting a table of lists. The table itself stays. Returns whether a model '
'was registered for it. Requires the owner of the table or of the model.';

CREATE FUNCTION fm_attach(
    model         text,
    ratings       regclass,
    user_column   name     DEFAULT 'user_id',
    item_column   name     DEFAULT 'item_id',
    rating_column name     DEFAULT 'rating',
    version_table regclass DEFAULT NULL,
    user_table    regclass DEFAULT NULL,
    item_table    regclass DEFAULT NULL,
    matrix_table  regclass DEFAULT NULL
) RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_attach';

COMMENT ON FUNCTION fm_attach(text, regclass, name, name, name, regclass, regclass, regclass,
    regclass) IS
'Registers a model whose tables were not filled by a training in this database, but by a logical '
'subscription or by restoring a dump of their schema. Served is the version that the version table '
'marks as activated last, so a version that is published or activated at the origin is served here '
'as soon as it arrives. Tables that are NULL are found in the search_path as fm_<model>_version, '
'_user, _item and _matrix. ratings is the local relation, with columns user_column and '
'item_column, that exclude_seen reads; NULL means that no item counts as seen. rating_column is '
'used by fm_evaluate and to fold in users whom the model does not know. An attached model cannot '
'be trained, set or activated here; fm_drop forgets it and leaves the tables. Requires the owner '
'of all four tables.';

CREATE FUNCTION fm_drop(model text) RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_drop';

COMMENT ON FUNCTION fm_drop(text) IS
'Drops a model with its tables, versions and runs. Its tables of lists stay. An attached model is '
'only forgotten; its tables stay, too. Requires the model''s owner.';

---------------------------------------------------------------------------------------------------
-- Recommend
---------------------------------------------------------------------------------------------------

CREATE FUNCTION fm_top_x(
    user_id      bigint,
    x            bigint   DEFAULT 10,
    model        text     DEFAULT NULL,
    exclude_seen boolean  DEFAULT true,
    candidates   bigint[] DEFAULT NULL,
    exclude      bigint[] DEFAULT NULL,
    context      jsonb    DEFAULT NULL,
    novelty      double precision DEFAULT NULL
) RETURNS TABLE (rank integer, item_id bigint, score real, rating real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_top_x_bigint';

CREATE FUNCTION fm_top_x(
    user_id      text,
    x            bigint   DEFAULT 10,
    model        text     DEFAULT NULL,
    exclude_seen boolean  DEFAULT true,
    candidates   text[]   DEFAULT NULL,
    exclude      text[]   DEFAULT NULL,
    context      jsonb    DEFAULT NULL,
    novelty      double precision DEFAULT NULL
) RETURNS TABLE (rank integer, item_id text, score real, rating real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_top_x_text';

COMMENT ON FUNCTION fm_top_x(bigint, bigint, text, boolean, bigint[], bigint[], jsonb,
    double precision) IS
'Returns the x best items for a user, best first, ties by item id; fewer if fewer are eligible. '
'The result is exact: it is always that of a full scan in double precision. score is what the '
'list is ordered by: the interest, plus a share of the predicted rating, minus novelty times '
'popularity; or with rank_by => ''rating'' the predicted rating before clipping, or a probability. '
'rating is what fm_predict returns for the pair, a rating or the probability '
'of yes; NULL in a ranking. exclude_seen excludes items that the ratings relation now holds for '
'the user. candidates limits the list to these items; exclude excludes items. context gives '
'levels of context columns, as {"column": "level"}. novelty prefers less popular items, the more '
'the greater it is, and more popular ones if it is negative; 0 orders as the model has learnt; '
'NULL means what the version has. model NULL means the setting fmtopx.model or else the only '
'model that you may read. A user without ratings in the training is folded in: their vector is '
'solved from their current ratings and from the features that the model knows, with the items '
'unchanged. Without either, the list is that of an average user. Raises an error if the '
'model''s ids are not integers; use the text overload then.';
COMMENT ON FUNCTION fm_top_x(text, bigint, text, boolean, text[], text[], jsonb,
    double precision) IS
'Like fm_top_x(bigint, ...), for ids of any type, given and returned in their text form.';

CREATE FUNCTION fm_top_x_for(
    items        bigint[],
    ratings      double precision[] DEFAULT NULL,
    x            bigint   DEFAULT 10,
    model        text     DEFAULT NULL,
    exclude_seen boolean  DEFAULT true,
    candidates   bigint[] DEFAULT NULL,
    exclude      bigint[] DEFAULT NULL,
    context      jsonb    DEFAULT NULL,
    novelty      double precision DEFAULT NULL
) RETURNS TABLE (rank integer, item_id bigint, score real, rating real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_top_x_for_bigint';

CREATE FUNCTION fm_top_x_for(
    items        text[],
    ratings      double precision[] DEFAULT NULL,
    x            bigint   DEFAULT 10,
    model        text     DEFAULT NULL,
    exclude_seen boolean  DEFAULT true,
    candidates   text[]   DEFAULT NULL,
    exclude      text[]   DEFAULT NULL,
    context      jsonb    DEFAULT NULL,
    novelty      double precision DEFAULT NULL
) RETURNS TABLE (rank integer, item_id text, score real, rating real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_top_x_for_text';

COMMENT ON FUNCTION fm_top_x_for(bigint[], double precision[], bigint, text, boolean, bigint[], bigint[],
    jsonb, double precision) IS
'Returns the x best items for a user who is in no table but has given these ratings to these '
'items: the list that fm_top_x returns for a new user with the same ratings. ratings has one '
'element per item. It may be NULL in a classification, where it means yes to all items, and must '
'be NULL in a ranking. exclude_seen excludes the given items; candidates, exclude, context and '
'novelty are as in fm_top_x. Items that the model does not know are ignored. With no known items, '
'the list is that of an average user. Raises an error if an array contains NULL, if '
'the numbers of items and ratings differ, and if a rating is not finite, is farther outside the '
'range of the training''s ratings than that is wide, or, in a classification, is not one of the two '
'values.';
COMMENT ON FUNCTION fm_top_x_for(text[], double precision[], bigint, text, boolean, text[], text[], jsonb,
    double precision) IS
'Like fm_top_x_for(bigint[], ...), for ids of any type, given and returned in their text form.';

-- An untyped basket is text. Without this overload a call with one would be ambiguous.
CREATE FUNCTION fm_top_x_for(
    items        text,
    ratings      double precision[] DEFAULT NULL,
    x            bigint   DEFAULT 10,
    model        text     DEFAULT NULL,
    exclude_seen boolean  DEFAULT true,
    candidates   text[]   DEFAULT NULL,
    exclude      text[]   DEFAULT NULL,
    context      jsonb    DEFAULT NULL,
    novelty      double precision DEFAULT NULL
) RETURNS TABLE (rank integer, item_id text, score real, rating real)
LANGUAGE SQL STABLE PARALLEL RESTRICTED COST 10000 ROWS 10
AS $$
    SELECT t.rank, t.item_id, t.score, t.rating
    FROM @extschema@.fm_top_x_for(items::pg_catalog.text[], ratings, x, model, exclude_seen, candidates,
                                  exclude, context, novelty) t
$$;

COMMENT ON FUNCTION fm_top_x_for(text, double precision[], bigint, text, boolean, text[], text[], jsonb,
    double precision) IS
'Like fm_top_x_for(text[], ...), for items given as the text of an array, such as ''{42,7}''.';

CREATE FUNCTION fm_top_x_all(
    x            bigint   DEFAULT 10,
    model        text     DEFAULT NULL,
    exclude_seen boolean  DEFAULT true,
    users        regclass DEFAULT NULL,
    items        regclass DEFAULT NULL,
    context      jsonb    DEFAULT NULL,
    novelty      double precision DEFAULT NULL
) RETURNS TABLE (user_id text, rank integer, item_id text, score real, rating real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 100000
AS 'MODULE_PATHNAME', 'fm_top_x_all';

COMMENT ON FUNCTION fm_top_x_all(bigint, text, boolean, regclass, regclass, jsonb, double precision) IS
'Returns the list of fm_top_x for every user of the model, in the order of user ids, with ids as '
'text. Made for COPY (SELECT ...) TO. With users, a relation that has the model''s user column, the '
'lists are for its users instead; those new to the model are folded in from their ratings and come '
'last. With items, a relation that has the model''s item column, lists hold only its items. Both are '
'read as the caller. context is as in fm_top_x.';

CREATE FUNCTION fm_write_top_x(
    target       text,
    x            bigint   DEFAULT 10,
    model        text     DEFAULT NULL,
    exclude_seen boolean  DEFAULT true,
    users        regclass DEFAULT NULL,
    items        regclass DEFAULT NULL,
    context      jsonb    DEFAULT NULL,
    novelty      double precision DEFAULT NULL
) RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_write_top_x';

COMMENT ON FUNCTION fm_write_top_x(text, bigint, text, boolean, regclass, regclass, jsonb,
                                   double precision) IS
'Writes the lists of fm_top_x_all, with the same arguments, into the table target and registers the '
'table with the model, so that fm_refresh rewrites it. Creates the table if it does not exist, '
'with columns user_id, rank, item_id, score and rating, primary key (user_id, rank), and id types '
'as in the ratings relation; an existing table needs only the first three. Later rewrites use the '
'same arguments, and read users and items anew, as the owner of the table. Does not touch rows that '
'have not changed. Readers are never blocked; they see either all old lists or all new ones. Returns '
'the number of rows in the table. Requires the owner of an existing table.';

---------------------------------------------------------------------------------------------------
-- Ask
---------------------------------------------------------------------------------------------------

CREATE FUNCTION fm_write_similar_items(target text, x bigint DEFAULT 10, model text DEFAULT NULL,
                                       items regclass DEFAULT NULL)
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_write_similar_items';

COMMENT ON FUNCTION fm_write_similar_items(text, bigint, text, regclass) IS
'Writes the list of fm_similar_items for every item of the model into the table target and registers '
'the table with the model, so that fm_refresh rewrites it. Creates the table if it does not exist, '
'with columns item_id, rank, similar_item_id and score, primary key (item_id, rank), and id types as '
'in the ratings relation; an existing table needs the first three and its owner. Only rows that '
'differ are changed. items is a relation with the item column of the ratings, read anew at each '
'rewrite: only its items have lists, and are in lists. Returns the number of rows that the table '
'then has.';

CREATE FUNCTION fm_predict(user_id bigint, item_id bigint, model text DEFAULT NULL,
    context jsonb DEFAULT NULL)
RETURNS double precision
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000
AS 'MODULE_PATHNAME', 'fm_predict_bigint';

CREATE FUNCTION fm_predict(user_id text, item_id text, model text DEFAULT NULL,
    context jsonb DEFAULT NULL)
RETURNS double precision
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000
AS 'MODULE_PATHNAME', 'fm_predict_text';

COMMENT ON FUNCTION fm_predict(bigint, bigint, text, jsonb) IS
'Returns the expected rating of an item by a user, clipped to the range of the ratings in the '
'training. For a classification, returns the probability of yes; for a ranking, the preference, '
'which without novelty is the score of fm_top_x. A user without ratings in the training is folded '
'in from their current ratings, as in fm_top_x. An unknown user contributes nothing. NULL if the '
'user or item is NULL, and for an item that the model does not know.';
COMMENT ON FUNCTION fm_predict(text, text, text, jsonb) IS
'Like fm_predict(bigint, ...), for ids of any type, given in their text form.';

CREATE FUNCTION fm_similar_items(item_id bigint, x bigint DEFAULT 10, model text DEFAULT NULL,
                                 candidates bigint[] DEFAULT NULL, exclude bigint[] DEFAULT NULL)
RETURNS TABLE (rank integer, item_id bigint, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_similar_items_bigint';

CREATE FUNCTION fm_similar_items(item_id text, x bigint DEFAULT 10, model text DEFAULT NULL,
                                 candidates text[] DEFAULT NULL, exclude text[] DEFAULT NULL)
RETURNS TABLE (rank integer, item_id text, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_similar_items_text';

COMMENT ON FUNCTION fm_similar_items(bigint, bigint, text, bigint[], bigint[]) IS
'Returns the x items most similar to an item, most similar first, ties by item id, without the '
'item itself. score is the cosine of the two factor vectors (without the biases), those of the '
'interest head if the version has one, from -1 to 1; it is 0 if a vector is zero. candidates, if '
'given, are the only items that may be in the list; exclude are items that may not. The result is '
'exact. No rows for an item that the model does not know.';
COMMENT ON FUNCTION fm_similar_items(text, bigint, text, text[], text[]) IS
'Like fm_similar_items(bigint, ...), for ids of any type, given and returned in their text form.';

CREATE FUNCTION fm_top_users(item_id bigint, x bigint DEFAULT 10, model text DEFAULT NULL,
                             candidates bigint[] DEFAULT NULL, exclude bigint[] DEFAULT NULL,
                             exclude_seen boolean DEFAULT false)
RETURNS TABLE (rank integer, user_id bigint, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_top_users_bigint';

CREATE FUNCTION fm_top_users(item_id text, x bigint DEFAULT 10, model text DEFAULT NULL,
                             candidates text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
                             exclude_seen boolean DEFAULT false)
RETURNS TABLE (rank integer, user_id text, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_top_users_text';

COMMENT ON FUNCTION fm_top_users(bigint, bigint, text, bigint[], bigint[], boolean) IS
'Returns the x users of the model with the highest scores for an item, best first, ties by user '
'id. score is that of fm_top_x. candidates, if given, are the only users who may be in the list; '
'exclude are users who may not; exclude_seen leaves out those who have rated the item, as the '
'ratings relation is now. The result is exact. Reads the whole user table, or with candidates '
'their rows. No rows for an item that the model does not know.';
COMMENT ON FUNCTION fm_top_users(text, bigint, text, text[], text[], boolean) IS
'Like fm_top_users(bigint, ...), for ids of any type, given and returned in their text form.';

CREATE FUNCTION fm_explain(user_id bigint, item_id bigint, model text DEFAULT NULL)
RETURNS TABLE (term text, contribution double precision)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 4
AS 'MODULE_PATHNAME', 'fm_explain_bigint';

CREATE FUNCTION fm_explain(user_id text, item_id text, model text DEFAULT NULL)
RETURNS TABLE (term text, contribution double precision)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 4
AS 'MODULE_PATHNAME', 'fm_explain_text';

COMMENT ON FUNCTION fm_explain(bigint, bigint, text) IS
'Returns the terms of which a user''s score for an item is made. They sum to the score that '
'fm_top_x shows without arguments for novelty and context. Term bias is the global bias; user and '
'item are their biases; "user x item" is the inner product of their factors. With features, the '
'contribution of each feature column is a term of its own, such as item.genre or "user x '
'item.genre". With an interest head, these are its terms, and those of the rating, in the scale in '
'which it counts, have "rating: " before their names. Term popularity is what novelty takes off. '
'An unknown user contributes 0. No rows for an item that the model does not know. For a '
'classification without an interest head the sum is a probit: the probability is the standard '
'normal distribution function of it.';
COMMENT ON FUNCTION fm_explain(text, text, text) IS
'Like fm_explain(bigint, ...), for ids of any type, given in their text form.';

CREATE FUNCTION fm_evaluate(
    ratings    regclass,
    model      text    DEFAULT NULL,
    x          bigint  DEFAULT 10
) RETURNS TABLE (metric text, value double precision, baseline double precision)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 8
AS 'MODULE_PATHNAME', 'fm_evaluate';

COMMENT ON FUNCTION fm_evaluate(regclass, text, bigint) IS
'Returns the metrics of a model on a relation of ratings that has the columns that the model was '
'trained with. Metrics of single predictions, before clipping, are rmse and mae, or log_loss, '
'accuracy, f1 and auc for a classification. Metrics of lists of length x are precision_at_x, '
'recall_at_x, ndcg_at_x, map_at_x and mrr: means over the users with at least one relevant row. A '
'row is relevant if its rating is at least the mean rating of the training or, in a '
'classification, yes. coverage is the share of the items that occur in at least one list. Lists '
'exclude what the user has rated in the ratings relation of the model, except for the rows being '
'evaluated. Metrics of lists are NULL if no row is relevant. In a ranking auc is that of whole '
'lists, of about 3000 users if there are more. baseline is what the same rows get without a model, '
'from what the ratings relation holds now: damped means for rmse and mae; the share of yes in the '
'training for log_loss, accuracy and f1; lists of the most popular items that the user has not '
'rated. It is NULL for an attached model without a ratings relation.';

CREATE FUNCTION fm_predictions(
    ratings    regclass DEFAULT NULL,
    model      text     DEFAULT NULL,
    rows       bigint   DEFAULT 10000
) RETURNS TABLE (user_id text, item_id text, rating double precision, prediction double precision)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 10000
AS 'MODULE_PATHNAME', 'fm_predictions';

COMMENT ON FUNCTION fm_predictions(regclass, text, bigint) IS
'Returns a sample of at most so many rows of a relation of ratings, by default the model''s own, '
'beside what fm_predict says of them: NULL for an item that the model does not know. In a '
'classification rating is 1 (yes) or 0 and prediction the probability of yes. The sample is the '
'same each time: the rows with the least hash of user and item, of a part of the blocks of a large '
'table. Requires SELECT on the relation.';

-- Which rows are read and what they are predicted is up to fm_predictions.
CREATE FUNCTION fm_calibration(
    ratings    regclass DEFAULT NULL,
    model      text     DEFAULT NULL,
    bins       integer  DEFAULT 10,
    rows       bigint   DEFAULT 10000
) RETURNS TABLE (bin integer, predicted double precision, observed double precision,
    standard_error double precision, ratings_in_bin bigint)
LANGUAGE SQL STABLE PARALLEL RESTRICTED COST 1000000 ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.bin, avg(b.prediction), avg(b.rating), stddev_samp(b.rating) / sqrt(count(*)), count(*)
    FROM (SELECT p.prediction, p.rating,
                 ntile(least(greatest(bins, 1), 10000))
                     OVER (ORDER BY p.prediction, p.user_id, p.item_id) AS bin
          FROM @extschema@.fm_predictions(ratings, model, rows) p
          WHERE p.prediction IS NOT NULL) b
    GROUP BY b.bin
    ORDER BY b.bin
$$;

COMMENT ON FUNCTION fm_calibration(regclass, text, integer, bigint) IS
'Returns, for bins of equally many ratings in ascending order of their prediction, the mean of '
'predictions and of ratings, in a classification the share of yes. They agree if predictions are '
'calibrated. standard_error is that of observed. The ratings are those of fm_predictions.';

CREATE FUNCTION fm_rating_distribution(
    ratings    regclass DEFAULT NULL,
    model      text     DEFAULT NULL,
    bins       integer  DEFAULT 20,
    rows       bigint   DEFAULT 10000
) RETURNS TABLE (bin integer, lower_bound double precision, upper_bound double precision,
    ratings_in_bin bigint, predictions_in_bin bigint)
LANGUAGE SQL STABLE PARALLEL RESTRICTED COST 1000000 ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
    WITH p AS MATERIALIZED (SELECT q.rating, q.prediction
                            FROM @extschema@.fm_predictions(ratings, model, rows) q
                            WHERE q.prediction IS NOT NULL),
         r AS (SELECT min(p.rating) AS lowest, max(p.rating) - min(p.rating) AS width,
                      least(greatest(bins, 1), 10000) AS bins
               FROM p),
         b AS (SELECT least(greatest(floor((v.value - r.lowest) / nullif(r.width, 0) * r.bins), 0),
                            r.bins - 1) AS bin,
                      v.is_rating
               FROM p CROSS JOIN r
               CROSS JOIN LATERAL (VALUES (p.rating, true), (p.prediction, false)) v (value, is_rating))
    SELECT g.bin + 1, r.lowest + r.width * g.bin / r.bins, r.lowest + r.width * (g.bin + 1) / r.bins,
           count(*) FILTER (WHERE b.is_rating), count(*) FILTER (WHERE NOT b.is_rating)
    FROM r
    CROSS JOIN LATERAL generate_series(0, r.bins - 1) g (bin)
    LEFT JOIN b ON b.bin = g.bin
    WHERE r.lowest IS NOT NULL
    GROUP BY g.bin, r.lowest, r.width, r.bins
    ORDER BY g.bin
$$;

COMMENT ON FUNCTION fm_rating_distribution(regclass, text, integer, bigint) IS
'Returns, for bins of equal width from the lowest to the highest rating, how many ratings and how '
'many of their predictions are in each; an upper bound is in the bin only in the last one. '
'Predictions beyond the first and last bin count there. The ratings are those of fm_predictions.';

CREATE FUNCTION fm_popularity(
    model      text     DEFAULT NULL,
    x          bigint   DEFAULT 10
) RETURNS TABLE (least_ratings bigint, most_ratings bigint, items bigint, items_listed bigint,
    entries bigint, share_of_items double precision, share_of_lists double precision)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 20
AS 'MODULE_PATHNAME', 'fm_popularity';

COMMENT ON FUNCTION fm_popularity(text, bigint) IS
'Returns what the lists of x items are made of, in bins of how many ratings an item had in the '
'training: none, 1, 2 to 3, 4 to 7 and so on. items are all in the bin, items_listed those in at '
'least one list, entries the places in lists; then the shares of all items and of all entries. '
'The lists are those of fm_top_x_all, of all users or of about 2000 chosen by a hash. Bounds are '
'NULL if the version does not know how many ratings items had.';

CREATE FUNCTION fm_report(
    model        text     DEFAULT NULL,
    titles       regclass DEFAULT NULL,
    title_column name     DEFAULT 'title',
    id_column    name     DEFAULT NULL,
    ratings      regclass DEFAULT NULL,
    examples     bigint   DEFAULT 3
) RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000
AS 'MODULE_PATHNAME', 'fm_report';

COMMENT ON FUNCTION fm_report(text, regclass, name, name, regclass, bigint) IS
'Returns what there is to see of a model as one HTML page without external resources: metrics '
'beside baselines, learning curves, calibration and residuals, what is recommended, a map of the '
'items, lists of some users (examples), recent runs. Titles of items are in a column of a relation '
'(titles), by an id_column, which is by default named as in the ratings relation. Predictions are '
'compared with other ratings than the model''s own if a relation is given. Reads as the caller, '
'and leaves out what does not apply or cannot be read, and says so.';

CREATE FUNCTION fm_user_vectors(model text DEFAULT NULL)
RETURNS TABLE (id text, vector real[])
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10000
AS 'MODULE_PATHNAME', 'fm_user_vectors';

COMMENT ON FUNCTION fm_user_vectors(text) IS
'Returns the vector of each user that orders lists. With one head and without popularity it has '
'num_factors + 1 elements: the factors, followed by 1. Its inner product with the vectors of '
'fm_item_vectors orders items as fm_top_x does.';

CREATE FUNCTION fm_item_vectors(model text DEFAULT NULL)
RETURNS TABLE (id text, vector real[])
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10000
AS 'MODULE_PATHNAME', 'fm_item_vectors';

COMMENT ON FUNCTION fm_item_vectors(text) IS
'Returns the vector of each item that orders lists, as in the matrix of the model. With one head '
'and without popularity it has num_factors + 1 elements: the factors, followed by the bias. Its '
'inner product with the vectors of fm_user_vectors orders items as fm_top_x does.';

CREATE FUNCTION fm_export_libfm(model text DEFAULT NULL) RETURNS SETOF text
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10000
AS 'MODULE_PATHNAME', 'fm_export_libfm';

COMMENT ON FUNCTION fm_export_libfm(text) IS
'Returns the lines of the model as libFM writes it: the global bias, the biases of all users and then '
'of all items, and their factors, each in the order of idx. The numbers are as exact as those of the '
'model. Of a model with an interest head, the text has the rating head only.';

CREATE FUNCTION fm_export_npz(model text DEFAULT NULL) RETURNS bytea
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000
AS 'MODULE_PATHNAME', 'fm_export_npz';

COMMENT ON FUNCTION fm_export_npz(text) IS
'Returns the arrays of a model as a file for NumPy (.npz): user_id, user_w and user_v in the order of '
'idx, user_list as fm_user_vectors has them, the same of items, and the global bias b. Ids that are '
'not integers are byte strings. The file must be smaller than 1 GB.';

CREATE FUNCTION fm_export_jsonl(model text DEFAULT NULL, x bigint DEFAULT 10,
                                exclude_seen boolean DEFAULT true)
RETURNS SETOF text
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 10000
AS 'MODULE_PATHNAME', 'fm_export_jsonl';

COMMENT ON FUNCTION fm_export_jsonl(text, bigint, boolean) IS
'Returns the lists of fm_top_x_all as JSON, a line for each user who has a list, in the form of the '
'batch output of Amazon SageMaker''s k-NN with the user''s id besides: user_id, predicted_label (the '
'best item), distances (scores, best first) and labels (items).';

---------------------------------------------------------------------------------------------------
-- Watch
---------------------------------------------------------------------------------------------------

CREATE FUNCTION fm_progress_rows()
RETURNS TABLE (pid integer, model text, phase text, iteration integer, iterations integer,
    metric double precision, started_at timestamptz, elapsed interval, time_left interval)
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'fm_progress_rows';

COMMENT ON FUNCTION fm_progress_rows() IS 'Underlies the view fm_progress.';

CREATE VIEW fm_progress AS SELECT * FROM fm_progress_rows();

COMMENT ON VIEW fm_progress IS
'Trainings that are running or waiting in this database, and lists of all users being computed or '
'written: your own, or all of them for members of pg_read_all_stats.';
COMMENT ON COLUMN fm_progress.pid IS 'The process that trains or computes lists.';
COMMENT ON COLUMN fm_progress.model IS 'The model being trained, or whose lists are being computed.';
COMMENT ON COLUMN fm_progress.phase IS
'Of a training: loading ratings, training, writing version, or waiting for the process that has '
'locked the model. Of lists: loading ratings, computing lists, writing lists.';
COMMENT ON COLUMN fm_progress.iteration IS
'Number of iterations done; while lists are computed, number of users whose list is done.';
COMMENT ON COLUMN fm_progress.iterations IS
'Number of iterations in total; while lists are computed, number of users.';
COMMENT ON COLUMN fm_progress.metric IS
'The error on the training ratings after the last iteration: rmse, for a classification log_loss, '
'for a ranking the root of the weighted squared error of all pairs per observed pair. NULL for '
'lists.';
COMMENT ON COLUMN fm_progress.started_at IS
'When the training, its wait, or the computing of the lists started.';
COMMENT ON COLUMN fm_progress.elapsed IS 'The time since then.';
COMMENT ON COLUMN fm_progress.time_left IS
'How long the remaining iterations, or lists, will take at the pace so far.';

GRANT SELECT ON fm_progress TO PUBLIC;

CREATE FUNCTION fm_schedule_rows()
RETURNS TABLE (model text, job_id bigint, schedule text, active boolean, role name,
    started_at timestamptz, finished_at timestamptz, status text, message text)
LANGUAGE C STABLE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'fm_schedule_rows';

COMMENT ON FUNCTION fm_schedule_rows() IS 'Underlies the view fm_schedules.';

-- pg_cron notes the start of a job when its process is there, which may already be at work by then.
CREATE VIEW fm_schedules WITH (security_barrier) AS
    SELECT s.model, s.job_id, s.schedule, s.active, s.role, s.started_at, s.finished_at, s.status,
           s.message, made.version, last.version AS last_version, last.status AS last_status,
           last.finished_at AS last_finished_at, last.message AS last_message
    FROM fm_schedule_rows() s
    LEFT JOIN LATERAL (SELECT r.version FROM fm_run r
                       WHERE r.model = s.model AND r.started_at >= s.started_at - interval '1 second'
                         AND (s.finished_at IS NULL OR r.started_at <= s.finished_at)
                       ORDER BY pg_catalog.abs(extract(epoch FROM r.started_at - s.started_at))
                       LIMIT 1) made ON true
    LEFT JOIN LATERAL (SELECT * FROM fm_run r WHERE r.model = s.model
                       ORDER BY r.version DESC LIMIT 1) last ON true;

COMMENT ON VIEW fm_schedules IS
'One row per job that fm_schedule has made for a model that you may read: its schedule, how pg_cron '
'last ran it, and the model''s last training. Empty where pg_cron keeps no jobs in this database.';
COMMENT ON COLUMN fm_schedules.model IS 'The model that the job refreshes.';
COMMENT ON COLUMN fm_schedules.job_id IS 'The number of the job in cron.job.';
COMMENT ON COLUMN fm_schedules.schedule IS 'The cron expression.';
COMMENT ON COLUMN fm_schedules.active IS 'Whether the job is run.';
COMMENT ON COLUMN fm_schedules.role IS 'The role that the job runs as.';
COMMENT ON COLUMN fm_schedules.started_at IS 'When pg_cron last started the job.';
COMMENT ON COLUMN fm_schedules.finished_at IS 'When that ended.';
COMMENT ON COLUMN fm_schedules.status IS 'The outcome, as pg_cron has it: succeeded, failed, running.';
COMMENT ON COLUMN fm_schedules.message IS 'The error, or what the statement returned.';
COMMENT ON COLUMN fm_schedules.version IS
'The version of the training that the job then made; see fm_runs. NULL if it made none.';
COMMENT ON COLUMN fm_schedules.last_version IS
'The version of the model''s last training, whoever made it and whatever its outcome.';
COMMENT ON COLUMN fm_schedules.last_status IS 'The status of that training; see fm_runs.';
COMMENT ON COLUMN fm_schedules.last_finished_at IS 'When that training ended.';
COMMENT ON COLUMN fm_schedules.last_message IS 'The message of that training; see fm_runs.';

GRANT SELECT ON fm_schedules TO PUBLIC;

CREATE FUNCTION fm_simd()
RETURNS TABLE (kernel text, in_use boolean)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10 ROWS 4
AS 'MODULE_PATHNAME', 'fm_simd';

COMMENT ON FUNCTION fm_simd() IS
'Returns the kernels that can scan item vectors on this server''s CPU, best first, and which one '
'this session uses: the first one, unless the setting fmtopx.simd names another. All give the same '
'results.';

CREATE FUNCTION fm_cache_rows()
RETURNS TABLE (database name, matrix_table oid, version integer, shared boolean, size bigint,
    hits bigint, in_use integer, loaded_at timestamptz)
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10
AS 'MODULE_PATHNAME', 'fm_cache_rows';

COMMENT ON FUNCTION fm_cache_rows() IS 'Underlies the view fm_cache.';

CREATE VIEW fm_cache AS
    SELECT c.database, m.model, c.version, c.shared, c.size, c.hits, c.in_use, c.loaded_at
    FROM fm_cache_rows() c
    LEFT JOIN fm_model m ON m.matrix_table::oid = c.matrix_table
                        AND c.database = pg_catalog.current_database();

COMMENT ON VIEW fm_cache IS
'Model versions in memory: those of models that you may read in this database, or all in the '
'cluster for members of pg_read_all_stats.';
COMMENT ON COLUMN fm_cache.database IS 'The database of the model.';
COMMENT ON COLUMN fm_cache.model IS 'The name of the model. NULL if it is in another database.';
COMMENT ON COLUMN fm_cache.version IS 'The version in memory.';
COMMENT ON COLUMN fm_cache.shared IS
'Whether it is in shared memory. Otherwise it is this connection''s own copy; those of other '
'connections are not shown.';
COMMENT ON COLUMN fm_cache.size IS 'Size in bytes.';
COMMENT ON COLUMN fm_cache.hits IS 'Number of calls that it has served.';
COMMENT ON COLUMN fm_cache.in_use IS 'Number of calls that it is serving.';
COMMENT ON COLUMN fm_cache.loaded_at IS 'When it was loaded.';

GRANT SELECT ON fm_cache TO PUBLIC;

---------------------------------------------------------------------------------------------------
-- The extension is trusted. Whoever may create objects in the database may install it, and into a
-- schema with functions and operators of their own, but the script runs as a superuser. So functions
-- of PostgreSQL are qualified above, and operators have operands of exactly their types. This makes
-- sure that nothing else was taken for one of them.
---------------------------------------------------------------------------------------------------

SET LOCAL search_path = pg_catalog, pg_temp;
DO $$
DECLARE
    taken text;
BEGIN
    WITH member AS (SELECT classid, objid FROM pg_depend
                    WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
                      AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fmtopx')),
         part AS (TABLE member UNION -- a view's rule, a table's constraint, ...
                  SELECT d.classid, d.objid FROM pg_depend d
                  JOIN member m ON (m.classid, m.objid) = (d.refclassid, d.refobjid)
                  WHERE d.deptype IN ('a', 'i'))
    SELECT pg_describe_object(d.refclassid, d.refobjid, 0) INTO taken
    FROM pg_depend d JOIN part USING (classid, objid)
    WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
      AND (d.refclassid, d.refobjid) NOT IN (TABLE member)
    LIMIT 1;
    IF taken IS NOT NULL THEN
        RAISE EXCEPTION '% hides a function or an operator that the extension needs', taken
            USING HINT = 'Install the extension into a schema without it.';
    END IF;
END $$;
