\echo Use "CREATE EXTENSION fmtopx" to load this file. \quit

---------------------------------------------------------------------------------------------------
-- The registry: one row a model, a run, a written table. Only the C code writes here (in the name of
-- the extension's owner, after its own checks); people read it through the views below.
---------------------------------------------------------------------------------------------------

-- The tables of a model belong to whoever trained it, and their owner is the model's owner. A row whose
-- tables have been dropped is dead: no view shows it, and the next fm_train of that name replaces it.
CREATE TABLE fm_model (
    model             text PRIMARY KEY,
    version_table     regclass NOT NULL,
    user_table        regclass NOT NULL,
    item_table        regclass NOT NULL,
    matrix_table      regclass NOT NULL,
    active_version    integer NOT NULL,
    stamp             bigint NOT NULL,
    ratings           regclass NOT NULL,
    user_column       name NOT NULL,
    item_column       name NOT NULL,
    rating_column     name,
    weight_column     name,
    context_columns   name[],
    user_features     regclass,
    item_features     regclass,
    task              text NOT NULL,
    solver            text NOT NULL,
    num_factors       integer NOT NULL,
    iterations        integer,
    l2_reg_w          real,
    l2_reg_v          real,
    unobserved_weight real,
    init_stdev        real,
    history           boolean NOT NULL,
    test_size         real NOT NULL,
    seed              bigint NOT NULL,
    workers           integer
);
COMMENT ON TABLE fm_model IS
    'fmtopx: the definition of each model, its tables, and the version being served (read fm_models instead)';
COMMENT ON COLUMN fm_model.stamp IS
    'identifies the contents of the active version: never used twice, not even after a rolled-back training';

CREATE TABLE fm_run (
    model         text NOT NULL REFERENCES fm_model ON DELETE CASCADE,
    version       integer NOT NULL,
    stamp         bigint NOT NULL,
    status        text NOT NULL CHECK (status IN ('running', 'succeeded', 'failed')),
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
COMMENT ON TABLE fm_run IS 'fmtopx: every training of every model (read fm_runs instead)';

CREATE TABLE fm_target (
    model        text NOT NULL REFERENCES fm_model ON DELETE CASCADE,
    target       regclass NOT NULL,
    x            integer NOT NULL,
    exclude_seen boolean NOT NULL,
    PRIMARY KEY (model, target)
);
COMMENT ON TABLE fm_target IS 'fmtopx: the tables that fm_write_top_x wrote and fm_refresh keeps fresh';

CREATE SEQUENCE fm_stamp;

SELECT pg_catalog.pg_extension_config_dump('fm_model', '');
SELECT pg_catalog.pg_extension_config_dump('fm_run', '');
SELECT pg_catalog.pg_extension_config_dump('fm_target', '');
SELECT pg_catalog.pg_extension_config_dump('fm_stamp', '');

-- Who may read a model's tables may know of it.
ALTER TABLE fm_model ENABLE ROW LEVEL SECURITY;
ALTER TABLE fm_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE fm_target ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON fm_model FOR SELECT
    USING (has_table_privilege(version_table::oid, 'SELECT'));
CREATE POLICY readable ON fm_run FOR SELECT
    USING (EXISTS (SELECT FROM fm_model m WHERE m.model = fm_run.model));
CREATE POLICY readable ON fm_target FOR SELECT
    USING (EXISTS (SELECT FROM fm_model m WHERE m.model = fm_target.model));
GRANT SELECT ON fm_model, fm_run, fm_target TO PUBLIC;

-- A view reads with its owner's rights, past the policies, so each states the same rule itself.
CREATE VIEW fm_models WITH (security_barrier) AS
    SELECT m.model,
           pg_catalog.pg_get_userbyid(c.relowner) AS owner,
           m.active_version, m.task, m.solver, m.num_factors,
           m.ratings, m.user_column, m.item_column, m.rating_column,
           r.users, r.items, r.ratings AS rating_count,
           r.finished_at AS trained_at,
           m.version_table, m.user_table, m.item_table, m.matrix_table
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
    'every training of the models you may read: sizes, settings, metrics in the units of the rating, outcome';

GRANT SELECT ON fm_models, fm_runs TO PUBLIC;

