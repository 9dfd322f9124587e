-- CALL fm_refresh: train again, publish, rewrite tables; what fm_runs shows, also after a failure.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fmtopx;
CREATE SCHEMA refresh;
SET search_path = refresh, public;
RESET client_min_messages;

CREATE TABLE ratings (user_id int, item_id int, rating real);
INSERT INTO ratings
SELECT u, i, CASE WHEN (u <= 6) = (i % 2 = 1) THEN 5 ELSE 1 END
FROM generate_series(1, 12) u, generate_series(1, 10) i WHERE (u + i) % 4 <> 0;
SELECT version FROM fm_train('likes', ratings => 'ratings', num_factors => 4, iterations => 20);
SELECT fm_write_top_x('lists', 2, 'likes'), fm_write_top_x('everything', 10, 'likes', false);
CREATE VIEW stale AS
    SELECT user_id::text, rank, item_id::text, score, rating FROM lists EXCEPT ALL SELECT * FROM fm_top_x_all(2, 'likes')
    UNION ALL
    SELECT user_id::text, rank, item_id::text, score, rating FROM everything EXCEPT ALL
    SELECT * FROM fm_top_x_all(10, 'likes', false);

-- Nothing has changed: a new version, the same lists, no row touched.
CREATE TABLE before AS SELECT ctid AS at, xmin::text AS by, * FROM everything;
CALL fm_refresh('likes');
SELECT version, status, iterations, ratings, message, finished_at IS NOT NULL AS ended
FROM fm_runs WHERE model = 'likes' ORDER BY 1;
SELECT active_version FROM fm_models WHERE model = 'likes';
SELECT count(*) AS touched FROM (SELECT ctid, xmin::text, * FROM everything EXCEPT ALL SELECT * FROM before) t;

-- All ratings change; a user and an item are deleted, and others are added.
UPDATE ratings SET rating = 6 - rating;
DELETE FROM ratings WHERE user_id = 12 OR item_id = 10;
INSERT INTO ratings SELECT 13, i, CASE WHEN i % 2 = 0 THEN 5 ELSE 1 END FROM generate_series(1, 8) i;
INSERT INTO ratings SELECT u, 11, 3 FROM generate_series(1, 6) u;
CALL fm_refresh('likes');
SELECT count(*) AS stale FROM stale;
SELECT min(user_id), max(user_id), count(DISTINCT user_id) FROM everything;
SELECT min(item_id), max(item_id), count(DISTINCT item_id) FROM everything;
SELECT user_id, item_id % 2 AS odd FROM everything WHERE rank = 1 AND user_id IN (1, 11, 13) ORDER BY 1;

-- In a transaction block, everything runs in the caller's transaction.
BEGIN;
UPDATE ratings SET rating = 6 - rating;
CALL fm_refresh('likes');
SELECT count(*) AS stale FROM stale;
SELECT user_id, item_id % 2 AS odd FROM everything WHERE rank = 1 AND user_id IN (1, 11, 13) ORDER BY 1;
SELECT max(version) FROM fm_runs WHERE model = 'likes';
ROLLBACK;
SELECT max(version) FROM fm_runs WHERE model = 'likes';
SELECT count(*) AS stale FROM stale;
SELECT user_id, item_id % 2 AS odd FROM everything WHERE rank = 1 AND user_id IN (1, 11, 13) ORDER BY 1;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM ratings;
UPDATE ratings SET rating = 6 - rating;
CALL fm_refresh('likes');
SELECT count(*) AS stale FROM stale;
ROLLBACK;
DO $$ BEGIN CALL fm_refresh('likes'); END $$;
DO $$ BEGIN CALL fm_refresh('likes'); EXCEPTION WHEN OTHERS THEN RAISE; END $$;
SELECT count(*) AS stale FROM stale;
SELECT version, status FROM fm_runs WHERE model = 'likes' ORDER BY 1;

-- A failure is raised and recorded, and the last good version is still served.
INSERT INTO ratings VALUES (1, 1, 'NaN');
CALL fm_refresh('likes');
SELECT version, status, message, finished_at IS NOT NULL AS ended FROM fm_runs WHERE model = 'likes' ORDER BY 1 DESC LIMIT 1;
SELECT active_version FROM fm_models WHERE model = 'likes';
DELETE FROM ratings WHERE rating = 'NaN';
SELECT count(*) AS stale FROM stale;
SELECT count(DISTINCT version) FROM fm_likes_user;
SELECT count(*) FROM fm_likes_version;

-- The next training has the next number, and the version before the failure is kept.
CALL fm_refresh('likes');
SELECT array_agg(version ORDER BY version) FROM fm_likes_version;

-- A table of lists that cannot be written does not keep the version or other tables from being written.
ALTER TABLE lists ADD CONSTRAINT full_table CHECK (score < 0) NOT VALID;
UPDATE ratings SET rating = 6 - rating;
\set VERBOSITY terse
CALL fm_refresh('likes');
\set VERBOSITY default
SELECT version, status FROM fm_runs WHERE model = 'likes' ORDER BY 1 DESC LIMIT 1;
SELECT count(*) AS stale FROM
    (SELECT user_id::text, rank, item_id::text, score, rating FROM everything EXCEPT ALL
     SELECT * FROM fm_top_x_all(10, 'likes', false)) t;
ALTER TABLE lists DROP CONSTRAINT full_table;
CALL fm_refresh('likes');
SELECT count(*) AS stale FROM stale;

-- The setting names the model if the call does not.
SET fmtopx.model = 'likes';
CALL fm_refresh(NULL);
CALL fm_refresh(NULL, on_conflict => 'error');
CALL fm_refresh(model => 'likes', on_conflict => 'wait');

SELECT fm_drop('likes');
SET client_min_messages = warning;
DROP SCHEMA refresh CASCADE;
