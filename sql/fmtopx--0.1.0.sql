\echo Use "CREATE EXTENSION fmtopx" to load this file. \quit

---------------------------------------------------------------------------------------------------
-- The registry: one row a model, a run, a written table. Only the C code writes here (in the name of
-- the extension's owner, after its own checks); people read it through the views below.
---------------------------------------------------------------------------------------------------

-- The tables of a model belong to whoever trained it, and their owner is the model's owner. A row whose
-- tables have been dropped is dead: no view shows it, and the next fm_train of that name replaces it. Of an attached
-- model, whose tables are filled from elsewhere, nothing is known but where to look: its version table says what is served.
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
    task              text,
    solver            text,
    num_factors       integer,
    iterations        integer,
    l2_reg_w          real,
    l2_reg_v          real,
    unobserved_weight real,
    init_stdev        real,
    history           boolean,
    test_size         real,
    seed              bigint,
    workers           integer,
    keep_versions     integer NOT NULL DEFAULT 2,
    max_worse         real NOT NULL DEFAULT 'Infinity',
    attached          boolean NOT NULL DEFAULT false,
    CHECK (attached OR num_nulls(active_version, stamp, ratings, task, solver, num_factors, history, test_size, seed) = 0)
);
COMMENT ON TABLE fm_model IS
    'fmtopx: the definition of each model, its tables, and the version being served (read fm_models instead)';
COMMENT ON COLUMN fm_model.stamp IS
    'identifies the contents of the active version: a random number, never drawn twice';

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
    PRIMARY KEY (model, version)
);
COMMENT ON TABLE fm_run IS 'fmtopx: the last 1000 trainings of every model (read fm_runs instead)';

CREATE TABLE fm_target (
    model        text NOT NULL REFERENCES fm_model ON DELETE CASCADE,
    target       regclass NOT NULL,
    x            integer NOT NULL,
    exclude_seen boolean NOT NULL,
    PRIMARY KEY (model, target)
);
COMMENT ON TABLE fm_target IS 'fmtopx: the tables that fm_write_top_x wrote and fm_refresh keeps fresh';

-- Nothing of it means anything in another database: it is not dumped.
CREATE TABLE fm_target_proof (
    model      text NOT NULL,
    target     regclass NOT NULL,
    made_from  text NOT NULL,
    before     bigint NOT NULL,
    written_by bigint NOT NULL,
    seen_rows  bigint NOT NULL,
    recent     integer[] NOT NULL,
    PRIMARY KEY (model, target),
    FOREIGN KEY (model, target) REFERENCES fm_target ON DELETE CASCADE
);
COMMENT ON TABLE fm_target_proof IS 'fmtopx: how these tables were last written, by which lists are known that are right still';

-- Regression and classification are the better the less their metric, a ranking the more.
CREATE TABLE fm_trial (
    model             text NOT NULL REFERENCES fm_model ON DELETE CASCADE,
    trial             integer NOT NULL,
    key               text NOT NULL,
    started_at        timestamptz NOT NULL,
    finished_at       timestamptz NOT NULL,
    task              text NOT NULL,
    solver            text NOT NULL,
    num_factors       integer NOT NULL,
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
COMMENT ON TABLE fm_trial IS 'fmtopx: what fm_tune has tried (read fm_trials instead)';

SELECT pg_catalog.pg_extension_config_dump('fm_model', '');
SELECT pg_catalog.pg_extension_config_dump('fm_run', '');
SELECT pg_catalog.pg_extension_config_dump('fm_target', '');
SELECT pg_catalog.pg_extension_config_dump('fm_trial', '');

-- Who may read a model's tables may know of it.
ALTER TABLE fm_model ENABLE ROW LEVEL SECURITY;
ALTER TABLE fm_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE fm_target ENABLE ROW LEVEL SECURITY;
ALTER TABLE fm_trial ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON fm_model FOR SELECT
    USING (has_table_privilege(version_table::oid, 'SELECT'));
CREATE POLICY readable ON fm_run FOR SELECT
    USING (EXISTS (SELECT FROM fm_model m WHERE m.model = fm_run.model));
CREATE POLICY readable ON fm_target FOR SELECT
    USING (EXISTS (SELECT FROM fm_model m WHERE m.model = fm_target.model));
CREATE POLICY readable ON fm_trial FOR SELECT
    USING (EXISTS (SELECT FROM fm_model m WHERE m.model = fm_trial.model));
GRANT SELECT ON fm_model, fm_run, fm_target, fm_trial TO PUBLIC;

CREATE FUNCTION fm_served_version(version_table regclass) RETURNS integer
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'fm_served_version';

COMMENT ON FUNCTION fm_served_version(regclass) IS
'The version that a model''s version table says is served: the one activated last. NULL where there is none yet, and for a table that you may not read or that is no version table. For the views fm_models and fm_health, of attached models.';

-- A view reads with its owner's rights, past the policies, so each states the same rule itself.
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
           m.attached
    FROM fm_model m
    JOIN pg_catalog.pg_class c ON c.oid = m.version_table::oid
    LEFT JOIN fm_run r ON r.model = m.model AND r.version = m.active_version
    WHERE has_table_privilege(m.version_table::oid, 'SELECT');
COMMENT ON VIEW fm_models IS 'the models you may read: what each was trained from, and the version being served';

CREATE VIEW fm_runs WITH (security_barrier) AS
    SELECT r.model, r.version, r.status, r.started_at, r.finished_at, r.task, r.solver, r.num_factors,
           r.iterations, r.users, r.items, r.features, r.ratings, r.skipped,
           r.train_metrics, r.test_metrics, r.message
    FROM fm_run r
    JOIN fm_model m ON m.model = r.model
    WHERE has_table_privilege(m.version_table::oid, 'SELECT');
COMMENT ON VIEW fm_runs IS
    'the last 1000 trainings of each model you may read: sizes, settings, metrics in the units of the rating, outcome';

CREATE VIEW fm_trials WITH (security_barrier) AS
    SELECT t.model, t.trial, t.started_at, t.finished_at - t.started_at AS duration, t.task, t.solver,
           t.num_factors, t.l2_reg_w, t.l2_reg_v, t.unobserved_weight, t.validation_size, t.time_column,
           t.metric, t.value, t.metrics, t.message
    FROM fm_trial t
    JOIN fm_model m ON m.model = t.model
    WHERE has_table_privilege(m.version_table::oid, 'SELECT');
COMMENT ON VIEW fm_trials IS
    'what fm_tune has tried for each model you may read, and what came of it on ratings held out; options that are NULL were at their default';

-- Whether all is well, a row a model. What was trained on is compared with the statistics of the ratings table:
-- for a view or a foreign table, ratings_since is NULL.
CREATE VIEW fm_health WITH (security_barrier) AS
    SELECT m.model, coalesce(m.active_version, fm_served_version(m.version_table)) AS active_version,
           served.finished_at AS trained_at,
           pg_catalog.now() - served.finished_at AS age,
           CASE WHEN source.relkind IN ('r', 'm')
                THEN pg_catalog.pg_stat_get_live_tuples(source.oid) - served.ratings - served.skipped
                     - coalesce((served.test_metrics ->> 'ratings')::bigint, 0) END AS ratings_since,
           last.version AS last_version, last.status AS last_status,
           last.finished_at AS last_finished_at,
           last.finished_at - last.started_at AS last_duration,
           last.message AS last_message,
           (SELECT pg_catalog.count(*) FROM fm_run f
            WHERE f.model = m.model AND f.status IN ('failed', 'refused')
              AND f.version > coalesce((SELECT pg_catalog.max(s.version) FROM fm_run s
                                        WHERE s.model = m.model AND s.status = 'succeeded'), 0)) AS failures,
           (SELECT pg_catalog.count(*) FROM fm_target t WHERE t.model = m.model) AS targets,
           (SELECT pg_catalog.sum(pg_catalog.pg_total_relation_size(c.oid)) FROM pg_catalog.pg_class c
            WHERE c.oid IN (m.version_table::oid, m.user_table::oid, m.item_table::oid, m.matrix_table::oid,
                            m.level_table::oid)
           )::bigint AS size
    FROM fm_model m
    JOIN pg_catalog.pg_class versions ON versions.oid = m.version_table::oid
    LEFT JOIN pg_catalog.pg_class source ON source.oid = m.ratings::oid
    LEFT JOIN fm_run served ON served.model = m.model AND served.version = m.active_version
    LEFT JOIN LATERAL (SELECT * FROM fm_run r WHERE r.model = m.model
                       ORDER BY r.version DESC LIMIT 1) last ON true
    WHERE has_table_privilege(m.version_table::oid, 'SELECT');
COMMENT ON VIEW fm_health IS
    'whether the models you may read are well: the age of the version being served, rows that came since (an estimate), the last training, how many have failed or were refused since the last that succeeded, bytes on disk';

GRANT SELECT ON fm_models, fm_runs, fm_health TO PUBLIC;

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
'Items with ids (bigint, ascending, unique), vectors of 1 to 1024 factors, all of one length, and biases: at least one item, finite single-precision numbers, at most 1 GB. Text form: [[item_id,[v1,...,vk],w],...]. Made by fm_matrix_agg, scanned by fm_matrix_top_x.';

COMMENT ON FUNCTION fm_matrix_in(cstring) IS 'Text input of fm_matrix. An error when the text is not [[item_id,[v1,...,vk],w],...] with ascending ids, finite numbers and vectors of one length.';
COMMENT ON FUNCTION fm_matrix_out(fm_matrix) IS 'Text output of fm_matrix: [[item_id,[v1,...,vk],w],...], each number in the shortest form that reads back the same.';
COMMENT ON FUNCTION fm_matrix_recv(internal) IS 'Binary input of fm_matrix, with the checks of the text input.';
COMMENT ON FUNCTION fm_matrix_send(fm_matrix) IS 'Binary output of fm_matrix, in network byte order.';

CREATE FUNCTION fm_matrix_items(m fm_matrix) RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_items';

COMMENT ON FUNCTION fm_matrix_items(fm_matrix) IS 'The number of items of a matrix; does not read the vectors.';

CREATE FUNCTION fm_matrix_factors(m fm_matrix) RETURNS integer
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_factors';

COMMENT ON FUNCTION fm_matrix_factors(fm_matrix) IS 'The number of factors of a matrix, which is the length of each item''s vector without its bias; does not read the vectors.';

-- The aggregate that makes one.

CREATE FUNCTION fm_matrix_agg_transfn(internal, bigint, real[], real) RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_agg_transfn';

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

COMMENT ON FUNCTION fm_matrix_agg_transfn(internal, bigint, real[], real) IS 'Transition function of fm_matrix_agg.';
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

COMMENT ON AGGREGATE fm_matrix_agg(bigint, real[], real) IS
'The matrix of the items given: one row per item with its id, its vector v (1 to 1024 elements, the same number for every item) and its bias w. The same value whatever the order of the rows. A row with a NULL argument is ignored; without rows the result is NULL. An error for an id that occurs twice, a vector of another length, of more than one dimension or with a NULL, a number that is not finite, and a result above 1 GB.';

-- The scan.

CREATE FUNCTION fm_top_x_support(internal) RETURNS internal
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_top_x_support';

COMMENT ON FUNCTION fm_top_x_support(internal) IS 'Planner support: tells how many rows fm_top_x and fm_matrix_top_x return.';

CREATE FUNCTION fm_matrix_top_x(m fm_matrix, query real[], x integer)
RETURNS TABLE (rank integer, item_id bigint, score real)
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_matrix_top_x';

COMMENT ON FUNCTION fm_matrix_top_x(fm_matrix, real[], integer) IS
'The x items with the highest score, best first, ties by item id; fewer when the matrix has fewer. The score is the inner product of query and v, plus w; a query with one element more than the matrix has factors multiplies w by that element. Exact: always what a scan in double precision gives. No rows when m or query is NULL or x is 0. An error when x is NULL or negative, when query has another length, more than one dimension, a NULL or an element that is not finite, and when a score returned does not fit a real.';

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
    context_columns   name[]   DEFAULT NULL,
    user_features     regclass DEFAULT NULL,
    item_features     regclass DEFAULT NULL,
    task              text     DEFAULT 'regression',
    solver            text     DEFAULT 'auto',
    num_factors       integer  DEFAULT 32,
    iterations        integer  DEFAULT NULL,
    l2_reg_w          real     DEFAULT NULL,
    l2_reg_v          real     DEFAULT NULL,
    unobserved_weight real     DEFAULT NULL,
    init_stdev        real     DEFAULT NULL,
    history           boolean  DEFAULT false,
    test_size         real     DEFAULT 0,
    seed              bigint   DEFAULT 42,
    workers           integer  DEFAULT NULL
) RETURNS fm_runs
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_train';

COMMENT ON FUNCTION fm_train(text, regclass, name, name, name, name, name[], regclass, regclass, text,
    text, integer, integer, real, real, real, real, boolean, real, bigint, integer) IS
'Trains a factorization machine (Rendle 2010) from a ratings relation and publishes the result as the model''s new version, all in the current transaction. The first call defines the model and creates its tables fm_<model>_version, _user, _item and _matrix (and _level with features), owned by the caller; later calls need its owner. With ratings NULL the model is retrained as it was defined, but for options that differ from their defaults. Rows with a NULL user, item or rating are skipped and counted. user_features and item_features are relations with the user or item column, whose other columns are features: float4, float8 and numeric numbers, arrays bags of levels, all else categories; whoever is in them is in the model, rated or not. With history, what has been rated is a feature. context_columns are columns of the ratings relation, of categories, that say in what circumstances each was given. Returns the run as it stands in fm_runs. An error, which leaves the version being served as it was, for a missing or unusable relation, column or option, a rating that is not finite, ratings that are all equal, for task classification, which learns P(larger value) (probit; Albert and Chib 1993), more than two values. Task ranking learns from pairs being there, no rating being read (Hu, Koren and Volinsky 2008).';

CREATE PROCEDURE fm_refresh(model text, on_conflict text DEFAULT 'skip')
LANGUAGE C
AS 'MODULE_PATHNAME', 'fm_refresh';

COMMENT ON PROCEDURE fm_refresh(text, text) IS
'Retrains a model as it was defined, publishes the new version, then deletes the rows of versions that are not kept in small steps, then rewrites every table that fm_write_top_x wrote for it, committing after each step (unless called inside a transaction block). While it computes it holds no snapshot, so it does not hold back vacuum; before it writes, a background worker vacuums the tables that it writes to (unless inside a transaction block, no worker is to be had, or fmtopx.vacuum is off). A version that fm_set''s max_worse refuses is not published. on_conflict says what to do when the model is being trained already: skip (with a notice), wait, or error. A failure is recorded in fm_runs, raised, and leaves the last good version and tables in place; a table of lists that belongs to another role than the model''s owner only gives a warning. Needs the model''s owner.';

CREATE PROCEDURE fm_tune(model text, validation_size real DEFAULT 0.1, time_column name DEFAULT NULL,
                         trials integer DEFAULT 20, fresh boolean DEFAULT false)
LANGUAGE C
AS 'MODULE_PATHNAME', 'fm_tune';

COMMENT ON PROCEDURE fm_tune(text, real, name, integer, boolean) IS
'Looks for options that train a better model: num_factors, and where the solver has them l2_reg_v, l2_reg_w and unobserved_weight. Each trial is a training as the model is defined, but for those, on all ratings but a share validation_size: the latest by time_column, or without one some drawn at random; the metric (rmse, log_loss, or ndcg_at_10) is of those held out. One option at a time is made larger or smaller for as long as that helps (Hooke and Jeeves 1961), for at most so many trials. Commits after each (unless called inside a transaction block), so that fm_trials shows them, and a search that was cancelled goes on from there when called again; fresh forgets earlier trials. Stores no version and changes nothing that is served: ends with a notice that says what to tell fm_train. Needs the model''s owner.';

CREATE FUNCTION fm_fold_in(model text) RETURNS fm_runs
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_fold_in';

COMMENT ON FUNCTION fm_fold_in(text) IS
'Takes what has been rated since into the model without a training, and publishes the result as a new version: the vectors of users whose ratings have changed, and of users and items that are new, are solved from their ratings; all others stay as they are, also where the ratings have gone. Returns the run as it stands in fm_runs, with solver fold-in and a message that counts them; when nothing has changed, there is a notice, no new version, and the run of the version being served. Tables of lists are left as they are. Waits for a training of the model. Needs the model''s owner.';

CREATE FUNCTION fm_set(model text, keep_versions integer DEFAULT NULL, max_worse real DEFAULT NULL) RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_set';

COMMENT ON FUNCTION fm_set(text, integer, real) IS
'Sets how a model is kept; an option left out stays as it is. keep_versions (1 to 1000, at first 2): how many versions stay in the model''s tables after a training, the new one and the one served before it first, then the latest. max_worse (0 or more, at first Infinity): a training whose rmse or log_loss on the ratings held out is worse than that of the version being served by more than this share of it is refused, not published; without test_size there is nothing to compare. Needs the model''s owner.';

CREATE FUNCTION fm_activate(model text, version integer) RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_activate';

COMMENT ON FUNCTION fm_activate(text, integer) IS
'Serves another version of the model, older or newer, that is still kept in its tables. Tables of lists are left as they are. Does not wait for a training by fm_refresh, but for the moment in which it publishes. Sends NOTIFY fmtopx. Needs the model''s owner.';

CREATE FUNCTION fm_grant(model text, role name) RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'fm_grant';

COMMENT ON FUNCTION fm_grant(text, name) IS
'Lets a role (or public) use a model: GRANT SELECT on its tables. Taken back by REVOKE. Needs the model''s owner.';

CREATE FUNCTION fm_forget_target(target regclass) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'fm_forget_target';

COMMENT ON FUNCTION fm_forget_target(regclass) IS
'Ends the refreshing of a table that fm_write_top_x wrote; the table stays as it is. True if it was refreshed by a model until now. Needs the owner of the table or of the model.';

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

COMMENT ON FUNCTION fm_attach(text, regclass, name, name, name, regclass, regclass, regclass, regclass) IS
'Makes a model''s tables serve in a database that has not trained it: tables that a logical subscription fills, or that were restored from a dump of their schema. The version served is the one that the version table says was activated last, so what is published or activated at the origin is served here as soon as it arrives. Tables not named are fm_<model>_version, _user, _item and _matrix, as the search_path finds them. ratings is the relation here that exclude_seen reads, with its columns for user and item; it must be given, and NULL means that nothing counts as seen. rating_column is read by fm_evaluate, and for people whom the model does not know, who are folded in from their rows where that column is there. An attached model cannot be trained, set or activated here; fm_drop forgets it and leaves the tables. Needs the owner of all four tables.';

CREATE FUNCTION fm_drop(model text) RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_drop';

COMMENT ON FUNCTION fm_drop(text) IS
'Drops a model: its tables, its versions, its runs. The tables that fm_write_top_x wrote stay. An attached model is only forgotten: its tables stay, too. Needs the model''s owner.';

---------------------------------------------------------------------------------------------------
-- Recommend
---------------------------------------------------------------------------------------------------

CREATE FUNCTION fm_top_x(
    user_id      bigint,
    x            integer  DEFAULT 10,
    model        text     DEFAULT NULL,
    exclude_seen boolean  DEFAULT true,
    candidates   bigint[] DEFAULT NULL,
    exclude      bigint[] DEFAULT NULL,
    context      jsonb    DEFAULT NULL
) RETURNS TABLE (rank integer, item_id bigint, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_top_x_bigint';

CREATE FUNCTION fm_top_x(
    user_id      text,
    x            integer  DEFAULT 10,
    model        text     DEFAULT NULL,
    exclude_seen boolean  DEFAULT true,
    candidates   text[]   DEFAULT NULL,
    exclude      text[]   DEFAULT NULL,
    context      jsonb    DEFAULT NULL
) RETURNS TABLE (rank integer, item_id text, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_top_x_text';

COMMENT ON FUNCTION fm_top_x(bigint, integer, text, boolean, bigint[], bigint[], jsonb) IS
'The x best items for a user, best first, ties by item id: exactly those of a scan of all items in double precision. score is what fm_predict says before clipping, in the units of the rating, or the probability of yes. exclude_seen leaves out what the ratings relation holds for the user now; candidates, when given, are the only items considered; exclude names items never to show. Fewer rows where fewer items are eligible. For a user the model does not know but the ratings relation does, the same from what it holds for him now (his vector is solved from it, starting from his features if the model knows these, all items being as they are); for others, the items by their bias. An error when the model''s ids are not integers: use the overload for text.';
COMMENT ON FUNCTION fm_top_x(text, integer, text, boolean, text[], text[], jsonb) IS
'As fm_top_x(bigint, ...), for ids of any type, given and returned in their text form.';

CREATE FUNCTION fm_top_x_for(
    items        bigint[],
    ratings      real[]   DEFAULT NULL,
    x            integer  DEFAULT 10,
    model        text     DEFAULT NULL,
    exclude_seen boolean  DEFAULT true,
    candidates   bigint[] DEFAULT NULL,
    exclude      bigint[] DEFAULT NULL,
    context      jsonb    DEFAULT NULL
) RETURNS TABLE (rank integer, item_id bigint, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_top_x_for_bigint';

CREATE FUNCTION fm_top_x_for(
    items        text[],
    ratings      real[]   DEFAULT NULL,
    x            integer  DEFAULT 10,
    model        text     DEFAULT NULL,
    exclude_seen boolean  DEFAULT true,
    candidates   text[]   DEFAULT NULL,
    exclude      text[]   DEFAULT NULL,
    context      jsonb    DEFAULT NULL
) RETURNS TABLE (rank integer, item_id text, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_top_x_for_text';

COMMENT ON FUNCTION fm_top_x_for(bigint[], real[], integer, text, boolean, bigint[], bigint[], jsonb) IS
'The x best items for somebody who is in no table but has rated these items so: what fm_top_x says for a user who is new to the model and has the same ratings. In a classification, ratings NULL means a yes to each item; in a ranking they must be NULL. exclude_seen leaves these items out; candidates and exclude as for fm_top_x. Items that the model does not know contribute nothing; of an empty basket it says the items by their bias. An error for a NULL in either array, for another number of ratings than of items, and for a rating that is not finite or, in a classification, neither label.';
COMMENT ON FUNCTION fm_top_x_for(text[], real[], integer, text, boolean, text[], text[], jsonb) IS
'As fm_top_x_for(bigint[], ...), for ids of any type, given and returned in their text form.';

CREATE FUNCTION fm_top_x_all(
    x            integer DEFAULT 10,
    model        text    DEFAULT NULL,
    exclude_seen boolean DEFAULT true
) RETURNS TABLE (user_id text, rank integer, item_id text, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 100000
AS 'MODULE_PATHNAME', 'fm_top_x_all';

COMMENT ON FUNCTION fm_top_x_all(integer, text, boolean) IS
'fm_top_x for every user of the model, in the order of the user ids, with ids as text: for COPY (SELECT ...) TO.';

CREATE FUNCTION fm_write_top_x(
    target       text,
    x            integer DEFAULT 10,
    model        text    DEFAULT NULL,
    exclude_seen boolean DEFAULT true
) RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'fm_write_top_x';

COMMENT ON FUNCTION fm_write_top_x(text, integer, text, boolean) IS
'Writes fm_top_x for every user of the model into the table target, which is created if it does not exist: user_id, rank, item_id, score, primary key (user_id, rank), ids typed like the source. Rows that did not change are not touched; readers are never blocked and see either the old lists or the new ones. Registers the target with the model, so that fm_refresh keeps it fresh. Returns the number of rows it now holds. Needs the owner of an existing target.';

---------------------------------------------------------------------------------------------------
-- Ask
---------------------------------------------------------------------------------------------------

CREATE FUNCTION fm_predict(user_id bigint, item_id bigint, model text DEFAULT NULL, context jsonb DEFAULT NULL)
RETURNS double precision
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000
AS 'MODULE_PATHNAME', 'fm_predict_bigint';

CREATE FUNCTION fm_predict(user_id text, item_id text, model text DEFAULT NULL, context jsonb DEFAULT NULL)
RETURNS double precision
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000
AS 'MODULE_PATHNAME', 'fm_predict_text';

COMMENT ON FUNCTION fm_predict(bigint, bigint, text, jsonb) IS
'The rating the model expects of the user for the item, clipped to the range of the ratings it was trained on, or the probability of yes. A user whom only the ratings relation knows is fitted to what it holds for him now. What is not known contributes nothing. NULL for a NULL user or item.';
COMMENT ON FUNCTION fm_predict(text, text, text, jsonb) IS
'As fm_predict(bigint, ...), for ids of any type, given in their text form.';

CREATE FUNCTION fm_similar_items(item_id bigint, x integer DEFAULT 10, model text DEFAULT NULL)
RETURNS TABLE (rank integer, item_id bigint, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_similar_items_bigint';

CREATE FUNCTION fm_similar_items(item_id text, x integer DEFAULT 10, model text DEFAULT NULL)
RETURNS TABLE (rank integer, item_id text, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_similar_items_text';

COMMENT ON FUNCTION fm_similar_items(bigint, integer, text) IS
'The x items most like an item, most alike first, ties by item id: score is the cosine of their vectors (v, without the bias), from -1 to 1, and 0 where a vector is all zero. The item itself is not among them. Exact. No rows for an item that the model does not know.';
COMMENT ON FUNCTION fm_similar_items(text, integer, text) IS
'As fm_similar_items(bigint, ...), for ids of any type, given and returned in their text form.';

CREATE FUNCTION fm_top_users(item_id bigint, x integer DEFAULT 10, model text DEFAULT NULL)
RETURNS TABLE (rank integer, user_id bigint, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_top_users_bigint';

CREATE FUNCTION fm_top_users(item_id text, x integer DEFAULT 10, model text DEFAULT NULL)
RETURNS TABLE (rank integer, user_id text, score real)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10 SUPPORT fm_top_x_support
AS 'MODULE_PATHNAME', 'fm_top_users_text';

COMMENT ON FUNCTION fm_top_users(bigint, integer, text) IS
'The x users of the model who would like an item best, best first, ties by user id, whether they have rated it or not. score is that of fm_top_x. Exact; reads the whole user table. No rows for an item that the model does not know.';
COMMENT ON FUNCTION fm_top_users(text, integer, text) IS
'As fm_top_users(bigint, ...), for ids of any type, given and returned in their text form.';

CREATE FUNCTION fm_explain(user_id bigint, item_id bigint, model text DEFAULT NULL)
RETURNS TABLE (term text, contribution double precision)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 4
AS 'MODULE_PATHNAME', 'fm_explain_bigint';

CREATE FUNCTION fm_explain(user_id text, item_id text, model text DEFAULT NULL)
RETURNS TABLE (term text, contribution double precision)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 4
AS 'MODULE_PATHNAME', 'fm_explain_text';

COMMENT ON FUNCTION fm_explain(bigint, bigint, text) IS
'Why a user gets the score that he gets for an item: its terms, which sum to the score of fm_top_x. bias is the same for all, user and item are how much above it these are, "user x item" is how well the two go together. With features, what a column adds stands apart: item.genre beside item, user x item.genre beside user x item. What is not known contributes 0. In a classification the sum is a probit: the probability is its place in the standard normal distribution.';
COMMENT ON FUNCTION fm_explain(text, text, text) IS
'As fm_explain(bigint, ...), for ids of any type, given in their text form.';

CREATE FUNCTION fm_evaluate(
    ratings    regclass,
    model      text    DEFAULT NULL,
    x          integer DEFAULT 10
) RETURNS TABLE (metric text, value double precision)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 8
AS 'MODULE_PATHNAME', 'fm_evaluate';

COMMENT ON FUNCTION fm_evaluate(regclass, text, integer) IS
'Scores a model on ratings, in a relation with the columns the model was trained with: rmse and mae of the predictions before clipping, or of a classification log_loss, accuracy, f1 and auc; precision_at_x, recall_at_x, ndcg_at_x, map_at_x and mrr of the lists of length x, means over the users with at least one relevant row, a row being relevant when its rating is at least the mean rating of the training, or yes; coverage, the share of the items that are in at least one list. Lists leave out what the user has rated in the training relation, but for the rows being evaluated. Ranking metrics are NULL when no row is relevant.';

CREATE FUNCTION fm_user_vectors(model text DEFAULT NULL)
RETURNS TABLE (id text, vector real[])
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10000
AS 'MODULE_PATHNAME', 'fm_user_vectors';

COMMENT ON FUNCTION fm_user_vectors(text) IS
'Each user''s vector: V_u followed by 1, num_factors + 1 elements. Its inner product with an item''s vector orders the items as fm_top_x does.';

CREATE FUNCTION fm_item_vectors(model text DEFAULT NULL)
RETURNS TABLE (id text, vector real[])
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10000
AS 'MODULE_PATHNAME', 'fm_item_vectors';

COMMENT ON FUNCTION fm_item_vectors(text) IS
'Each item''s vector: V_i followed by its bias w_i, num_factors + 1 elements. Its inner product with a user''s vector orders the items as fm_top_x does.';

---------------------------------------------------------------------------------------------------
-- Watch
---------------------------------------------------------------------------------------------------

CREATE FUNCTION fm_progress_rows()
RETURNS TABLE (pid integer, model text, phase text, iteration integer, iterations integer,
    metric double precision, started_at timestamptz, elapsed interval, time_left interval)
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'fm_progress_rows';

COMMENT ON FUNCTION fm_progress_rows() IS 'What the view fm_progress shows.';

CREATE VIEW fm_progress AS SELECT * FROM fm_progress_rows();

COMMENT ON VIEW fm_progress IS
'Trainings that are running in this database, yours or, with the rights of pg_read_all_stats, anybody''s: phase (loading ratings, training, writing version), iteration, metric (the RMSE on the training ratings after it), time elapsed, and time the remaining iterations will take at the pace so far.';

GRANT SELECT ON fm_progress TO PUBLIC;

CREATE FUNCTION fm_simd()
RETURNS TABLE (kernel text, in_use boolean)
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10 ROWS 4
AS 'MODULE_PATHNAME', 'fm_simd';

COMMENT ON FUNCTION fm_simd() IS
'The kernels that can scan item vectors on this server''s CPU, best first, and which of them this session uses: the first, unless fmtopx.simd names another. All give the same results.';

CREATE FUNCTION fm_cache_rows()
RETURNS TABLE (database name, matrix_table oid, version integer, shared boolean, size bigint,
    hits bigint, in_use integer, loaded_at timestamptz)
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10
AS 'MODULE_PATHNAME', 'fm_cache_rows';

COMMENT ON FUNCTION fm_cache_rows() IS 'What the view fm_cache shows.';

CREATE VIEW fm_cache AS
    SELECT c.database, m.model, c.version, c.shared, c.size, c.hits, c.in_use, c.loaded_at
    FROM fm_cache_rows() c
    LEFT JOIN fm_model m ON m.matrix_table::oid = c.matrix_table AND c.database = pg_catalog.current_database();

COMMENT ON VIEW fm_cache IS
'Model versions in memory, of the models you may read in this database or, with the rights of pg_read_all_stats, of all in the cluster (model is NULL for another database''s): shared, or this connection''s own; size in bytes; hits, the calls served; in_use, the calls being served; loaded_at.';

GRANT SELECT ON fm_cache TO PUBLIC;
