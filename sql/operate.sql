-- Operating models: versions, the quality gate, tables of lists that fail, grants.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fmtopx;
DROP ROLE IF EXISTS fm_operate_reader;
CREATE ROLE fm_operate_reader;
CREATE SCHEMA operate;
SET search_path = operate, public;
RESET client_min_messages;

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 40) u, generate_series(1, 30) i WHERE (u * 7 + i) % 3 <> 0;
SELECT version FROM fm_train('m', 'ratings', num_factors => 4, iterations => 10, test_size => 0.2);
CREATE VIEW lists AS SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) AS md5 FROM fm_top_x_all(5, 'm') t;
CREATE VIEW kept AS
SELECT (SELECT array_agg(version ORDER BY version) FROM fm_m_version) AS versions,
       (SELECT array_agg(DISTINCT version ORDER BY version) FROM fm_m_user) AS users,
       (SELECT array_agg(DISTINCT version ORDER BY version) FROM fm_m_item) AS items,
       (SELECT array_agg(DISTINCT version ORDER BY version) FROM fm_m_matrix) AS matrices,
       (SELECT active_version FROM fm_models WHERE model = 'm') AS active;

-- Two versions are kept initially, and later as many as fm_set says.
SELECT keep_versions, max_worse FROM fm_models WHERE model = 'm';
SELECT version FROM fm_train('m', seed => 2);
CALL fm_refresh('m');
SELECT * FROM kept;
SELECT fm_set('m', keep_versions => 3);
SELECT version FROM fm_train('m', seed => 4);
CALL fm_refresh('m');
SELECT * FROM kept;
SELECT keep_versions, max_worse FROM fm_models WHERE model = 'm';

-- Back and forth: each version serves the same lists as before.
CREATE TABLE given AS SELECT 5 AS version, md5 FROM lists;
SELECT fm_activate('m', 3);
INSERT INTO given SELECT 3, md5 FROM lists;
SELECT active FROM kept;
SELECT fm_activate('m', 5);
SELECT (SELECT md5 FROM lists) = md5 AS same FROM given WHERE version = 5;
BEGIN;
SELECT fm_activate('m', 3);
SELECT (SELECT md5 FROM lists) = md5 AS same FROM given WHERE version = 3;
ROLLBACK;
SELECT (SELECT md5 FROM lists) = md5 AS same FROM given WHERE version = 5;
SELECT count(DISTINCT md5) FROM given;
SELECT fm_activate('m', 5);
SELECT fm_activate('m', 1);
SELECT fm_activate('m', NULL);
SELECT fm_activate('nosuch', 1);

-- The version that was being served is kept, even if it is not one of the latest.
SELECT fm_activate('m', 3);
CALL fm_refresh('m');
SELECT * FROM kept;
SELECT fm_set('m', keep_versions => 1);
CALL fm_refresh('m');
SELECT * FROM kept;
SELECT fm_set('m', keep_versions => 0);
SELECT fm_set('m', keep_versions => 1001);
SELECT fm_set('m', max_worse => -0.1);
SELECT fm_set('m', max_worse => 'NaN');
SELECT fm_set('nosuch');
SELECT fm_set(NULL);

-- The quality gate. A refused training is recorded, and the version before is still served.
SELECT fm_set('m', max_worse => 0.05, keep_versions => 2);
SELECT keep_versions, max_worse FROM fm_models WHERE model = 'm';
CALL fm_refresh('m');
SELECT version, status, message FROM fm_runs WHERE model = 'm' ORDER BY version DESC LIMIT 1;
CREATE TABLE before AS SELECT * FROM kept, lists;
UPDATE ratings SET rating = CASE WHEN hashint8extended(user_id * 1000 + item_id, 1) % 2 = 0 THEN 1 ELSE 5 END;
\set VERBOSITY terse
CALL fm_refresh('m');
SELECT version, status FROM fm_train('m', num_factors => 3);
\set VERBOSITY default
SELECT version, status, finished_at IS NOT NULL AS ended, r.users, regexp_replace(message, '[0-9.]+ is worse than [0-9.]+', 'x is worse than y') AS message,
       (test_metrics ->> 'rmse')::real > 1.05 * (SELECT (s.test_metrics ->> 'rmse')::real FROM fm_runs s WHERE s.model = 'm' AND s.version = active_version) AS worse
FROM fm_runs r JOIN fm_models USING (model) WHERE model = 'm' ORDER BY version DESC LIMIT 2;
SELECT num_factors FROM fm_models WHERE model = 'm';
SELECT before = now AS unchanged FROM before, (SELECT * FROM kept, lists) now;
-- What monitoring shows.
SELECT model, last_version, last_status, failures, targets, age < interval '1 hour' AS young, size > 0 AS has_size FROM fm_health WHERE model = 'm';
INSERT INTO ratings SELECT 100 + i, i, 3 FROM generate_series(1, 30) i;
SELECT pg_sleep(1.1) IS NULL AS slept;
SELECT ratings_since BETWEEN 29 AND 31 AS thirty FROM fm_health WHERE model = 'm';
DELETE FROM ratings WHERE user_id > 100;
-- Nothing is compared without held-out ratings, or between tasks. Without a limit, all are published.
SELECT fm_set('m', max_worse => 'Infinity');
CALL fm_refresh('m');
SELECT status FROM fm_runs WHERE model = 'm' ORDER BY version DESC LIMIT 1;
SELECT fm_set('m', max_worse => 0);
SELECT status FROM fm_train('m', 'ratings', num_factors => 4, iterations => 10);

-- Old runs are deleted, but not that of the version being served.
SELECT count(*) FROM fm_runs WHERE model = 'm';
INSERT INTO fm_run (model, version, stamp, status, started_at) SELECT 'm', v, 0, 'failed', now() FROM generate_series(100, 1200) v;
CALL fm_refresh('m');
SELECT count(*), min(version), max(version) FROM fm_runs WHERE model = 'm';

-- A table of lists that fails does not keep the others from being rewritten. The run has the error.
SELECT fm_write_top_x('good', 3, 'm'), fm_write_top_x('bad', 3, 'm'), fm_write_top_x('worse', 3, 'm');
ALTER TABLE bad ADD CONSTRAINT negative CHECK (score < 0) NOT VALID;
ALTER TABLE worse DROP COLUMN rank;
UPDATE ratings SET rating = 6 - rating;
\set VERBOSITY terse
CALL fm_refresh('m');
\set VERBOSITY default
SELECT status, message FROM fm_runs WHERE model = 'm' ORDER BY version DESC LIMIT 1;
SELECT count(*) AS stale FROM (SELECT user_id::text, rank, item_id::text, score, rating FROM good EXCEPT ALL SELECT * FROM fm_top_x_all(3, 'm')) t;
SELECT fm_forget_target('bad'), fm_forget_target('worse'), fm_forget_target('ratings');
CALL fm_refresh('m');
SELECT status, message FROM fm_runs WHERE model = 'm' ORDER BY version DESC LIMIT 1;
SELECT target, x FROM fm_target WHERE model = 'm';

-- Failing with another role's table is a warning. After fm_forget_target there is none.
SELECT fm_grant('m', 'fm_operate_reader');
GRANT ALL ON SCHEMA operate TO fm_operate_reader;
SET ROLE fm_operate_reader;
SELECT fm_write_top_x('theirs', 2, 'm');
SELECT count(*) FROM fm_top_x(1, 5, 'm');
SELECT fm_forget_target('good');
SELECT fm_set('m', keep_versions => 5);
SELECT fm_activate('m', 1);
SELECT fm_grant('m', 'public');
RESET ROLE;
REVOKE SELECT ON fm_m_user FROM fm_operate_reader;
\set VERBOSITY terse
CALL fm_refresh('m');
\set VERBOSITY default
SELECT status, message FROM fm_runs WHERE model = 'm' ORDER BY version DESC LIMIT 1;
SELECT fm_forget_target('theirs');
CALL fm_refresh('m');
SELECT fm_grant('m', 'public');
SET ROLE fm_operate_reader;
SELECT count(*) FROM fm_top_x(1, 5, 'm');
RESET ROLE;
SELECT fm_grant('m', 'no such role');

-- Temporary relations: nothing that outlives the session can depend on them.
CREATE TEMP TABLE passing AS TABLE ratings;
CREATE TEMP VIEW passing_view AS TABLE ratings;
SELECT fm_train('t', 'passing');
SELECT fm_train('m', 'passing_view');
SET search_path = pg_temp, operate, public;
SELECT fm_train('t', 'operate.ratings');
SET search_path = operate, public;
SELECT fm_write_top_x('pg_temp.lists', 2, 'm');
SELECT count(*) FROM fm_evaluate('passing', 'm');
DROP VIEW kept;

-- An attached model: tables that are filled from elsewhere, here by hand.
CREATE TABLE fm_copy_version (LIKE fm_m_version INCLUDING ALL);
CREATE TABLE fm_copy_user (LIKE fm_m_user INCLUDING ALL);
CREATE TABLE fm_copy_item (LIKE fm_m_item INCLUDING ALL);
SELECT fm_attach('copy', NULL);
CREATE TABLE fm_copy_matrix (LIKE fm_m_matrix INCLUDING ALL);
SELECT fm_attach('copy', 'ratings', rating_column => NULL);
SELECT fm_attach('copy', 'ratings', item_column => 'rating');
SELECT fm_attach('copy', 'ratings', version_table => 'fm_m_version');
SELECT fm_attach('m', 'ratings', version_table => 'fm_copy_version', user_table => 'fm_copy_user',
                 item_table => 'fm_copy_item', matrix_table => 'fm_copy_matrix');
SELECT fm_attach('copy', 'ratings', matrix_table => 'fm_copy_item');
SELECT fm_attach('copy', 'ratings', matrix_table => 'lists');
SELECT fm_attach('copy', 'ratings');
SELECT fm_predict(1, 2, 'copy');
INSERT INTO fm_copy_version TABLE fm_m_version;
SELECT fm_predict(1, 2, 'copy');
INSERT INTO fm_copy_user TABLE fm_m_user;
INSERT INTO fm_copy_item TABLE fm_m_item;
INSERT INTO fm_copy_matrix TABLE fm_m_matrix;
SELECT count(*) AS differences FROM (
    (TABLE lists EXCEPT SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM fm_top_x_all(5, 'copy') t)) d;
SELECT c.active_version - m.active_version AS behind, c.attached, c.ratings, c.solver
FROM fm_models m, fm_models c WHERE m.model = 'm' AND c.model = 'copy';

-- The version activated last is served, in the transaction that brings it and after its commit.
BEGIN;
UPDATE fm_copy_version SET activation = activation + 10 WHERE version = (SELECT min(version) FROM fm_copy_version);
SELECT active_version = (SELECT min(version) FROM fm_copy_version) AS oldest FROM fm_models WHERE model = 'copy';
ROLLBACK;
SELECT active_version = (SELECT min(version) FROM fm_copy_version) AS oldest FROM fm_models WHERE model = 'copy';
SELECT fm_train('copy');
CALL fm_refresh('copy');
SELECT fm_set('copy', keep_versions => 1);
SELECT fm_activate('copy', 1);
SELECT fm_drop('copy');
SELECT count(*) > 0 AS tables_stay FROM fm_copy_user;
SELECT fm_attach('copy', NULL);
SELECT count(*) FROM fm_top_x(1, 100, 'copy');

-- Schedules need pg_cron (test/cluster/schedule.pl has it).
SELECT fm_schedule('m');
SELECT fm_unschedule('m');
SELECT fm_schedule(NULL);
SELECT fm_schedule('m', NULL);
SELECT fm_schedule('m', on_conflict => NULL);
SELECT fm_schedule('m', '0 4 * * *', 'perhaps');
SELECT fm_schedule('copy');
SELECT fm_schedule('nosuch');
SET ROLE fm_operate_reader;
SELECT fm_schedule('m');
SELECT fm_unschedule('m');
RESET ROLE;
SELECT * FROM fm_schedules;

SELECT fm_drop('m'), fm_drop('copy');
SET client_min_messages = warning;
DROP SCHEMA operate CASCADE;
DROP ROLE fm_operate_reader;
